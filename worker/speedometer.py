"""Measures how fast this worker paints, when nobody waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from shared.estimates import Speed
from worker.threads import Threads

# A job that waited for a worker comes at once, and is not met by a measurement.
FIRST_AFTER_SECONDS = 2.0
# So often a measurement is given up for a job. Then the next job waits: else the speed of a worker
# that never rests would not be known.
MOST_GIVEN_UP = 3
log = structlog.get_logger(__name__)


class GivenUp(Exception):
    """Somebody wants the device."""


class Speedometer:
    """A thread that measures the speed once, and again when the worker has got more or fewer
    threads.

    Not beside a job, which it would slow down, and which would make the speed look low.
    """

    def __init__(
        self,
        threads: Threads,
        measure: Callable[[Callable[[], None]], Speed],
        tell: Callable[[Speed], None],
        look_every_seconds: float,
    ) -> None:
        """
        Args:
            threads: those of the worker.
            measure: takes what it has to call now and then, and what may raise.
            tell: is given the speed.
            look_every_seconds: how often it looks whether there is something to measure.
        """
        self._threads = threads
        self._measure = measure
        self._tell = tell
        self._look_every_seconds = look_every_seconds
        self._measured_with: int | None = None
        self._given_up = 0
        self._device = threading.Lock()
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Measure soon."""
        self._thread.start()

    def stop(self) -> None:
        """Measure no more."""
        self._stopping.set()
        self._thread.join(timeout=1)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Have the device to oneself as long as the block runs."""
        self._wanted.set()
        with self._device:
            self._wanted.clear()
            yield

    def _run(self) -> None:
        pause = FIRST_AFTER_SECONDS
        while not self._stopping.wait(pause):
            pause = self._look_every_seconds
            try:
                with self._device:
                    self._measure_if_due()
            except GivenUp:
                self._given_up += 1
                self._measured_with = None
            except Exception as error:  # nobody's picture depends on it
                log.warning("speed not measured", error=repr(error))

    def _measure_if_due(self) -> None:
        threads = self._threads.take()
        if threads == self._measured_with:
            return
        self._measured_with = threads  # also if it fails, as with too little memory
        speed = self._measure(self._look)
        self._given_up = 0
        if not self._stopping.is_set():  # a worker that has withdrawn is not announced again
            self._tell(speed)

    def _look(self) -> None:
        wanted = self._wanted.is_set() and self._given_up < MOST_GIVEN_UP
        if wanted or self._stopping.is_set():
            raise GivenUp
