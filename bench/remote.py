"""An object in a process of its own: with its own allocator, threads and peak of memory."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Self

from worker.commands.worker import MALLOC

ROOT = Path(__file__).resolve().parents[1]


class RemoteError(Exception):
    """What went wrong there: its traceback, or how the process ended."""


class Remote:
    """What `make(*args)` returns, made and called in another process. Leaving it ends the process.

    The object waits on a pipe and computes only when it is asked: several of them can be taken in
    turns without ever computing at the same time. What is sent and returned is pickled; no tensors,
    which PyTorch would share rather than send.
    """

    def __init__(self, make: Callable[..., Any], *args: Any) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.remote", str(descriptor)],
                pass_fds=[descriptor],
                cwd=ROOT,
                env={**MALLOC, **os.environ},  # as a worker runs
            )
        self._pipe.send((make, args))

    def __enter__(self) -> Self:
        """Wait until the object is made."""
        self.answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.wait()

    def ask(self, method: str, *args: Any) -> None:
        """Call a method, without waiting for it."""
        self._pipe.send((method, args))

    def answer(self) -> Any:
        """Wait for the method that was asked for, and return what it returned.

        Raises:
            RemoteError: it raised, or the process ended.
        """
        try:
            value, error = self._pipe.recv()
        except EOFError:
            raise RemoteError(f"the process ended with {self._process.wait()}") from None
        if error:
            raise RemoteError(error)
        return value

    def call(self, method: str, *args: Any) -> Any:
        """Call a method and wait for it."""
        self.ask(method, *args)
        return self.answer()


def start_all(stack: ExitStack, makers: Mapping[str, tuple[Any, ...]]) -> dict[str, Remote]:
    """A process for each of `makers`, a `make` and its `args`; all start at the same time."""
    remotes = {name: Remote(*maker) for name, maker in makers.items()}
    return {name: stack.enter_context(remote) for name, remote in remotes.items()}


def _serve(pipe: Connection) -> None:
    """Make the object and do what is asked of it, until nobody asks any more."""

    def attempt(work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            return work(*args), None
        except Exception:
            return None, traceback.format_exc()

    make, args = pipe.recv()
    made, error = attempt(make, args)
    pipe.send((None, error))
    while True:
        try:
            method, args = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(getattr(made, method), args))


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
