"""Work that is done again and again beside the jobs, each kind in a thread of its own."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Round:
    """Repeats `work` until `stop`, whatever goes wrong with it."""

    def __init__(self, name: str, work: Callable[[], None], every_seconds: float) -> None:
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Work for the first time after one pause."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no other round. The thread does not hold up the end of the process."""
        self._stopping.set()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the round at hand, but not longer."""
        self._thread.join(seconds)

    def _repeat(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            try:
                self._work()
            except Exception as error:  # a heart that stops would cost every job its lease
                log.warning(f"{self._name} failed", error=repr(error))
