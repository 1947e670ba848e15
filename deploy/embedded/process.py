"""A child process that is started, watched and stopped as a whole."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.embedded import interrupts

STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    # Nothing is left behind even when we are killed and cannot clean up.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class StartError(Exception):
    """A part of the system did not come up; the message has the end of its log."""


class Process:
    """A command with its log file. It gets a session of its own, so Ctrl-C is ours to handle."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        env: Mapping[str, str],
        *,
        stdin: bytes = b"",
        descriptors: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._env = dict(env)
        self._stdin = stdin
        self._descriptors = descriptors
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command, or start it again."""
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                start_new_session=True,
                pass_fds=self._descriptors,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        pipe = self._popen.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(self._stdin)
                pipe.close()

    @property
    def pid(self) -> int:
        """Process id of the command."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the command still runs."""
        return self._popen is not None and self._popen.poll() is None

    def terminate(self) -> None:
        """Ask the command to end; `stop` waits for it."""
        if self.is_running:
            self._signal(signal.SIGTERM, group=False)

    def stop(self) -> None:
        """End the command and everything it started."""
        if self._popen is None:
            return
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL, group=True)
        self._popen.wait()

    def wait_until(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait for the command to be ready. Raises `StartError` when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            interrupts.check()
            if not self.is_running:
                raise self.failure("ended while it was starting")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {seconds:.0f} s")
            time.sleep(POLL_SECONDS)

    def failure(self, what: str) -> StartError:
        """An error that shows what the command said last."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        last = "\n".join(text.strip().splitlines()[-15:])
        return StartError(f"{self.name} {what}. The end of {self.log}:\n{last}")

    def _signal(self, number: signal.Signals, *, group: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
