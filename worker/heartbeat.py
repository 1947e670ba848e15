"""The thread that announces this worker and keeps the lease of its job."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from redis.exceptions import RedisError

from shared.records import JobRecords, Lease, Renewal
from shared.settings import Settings
from shared.workers import Worker, WorkerRegistry
from worker.errand import Errand
from worker.rounds import Round

# A lease that was not renewed for this share of its time may soon be somebody else's.
TRUST = 0.75
log = structlog.get_logger(__name__)


class Hold:
    """A job that this worker runs, and what is known of its lease."""

    def __init__(self, lease: Lease, settings: Settings, taken: float) -> None:
        """
        Args:
            lease: the right to run it.
            settings: how long the lease lasts, and a step may.
            taken: when the lease was asked for, by this machine's monotonic clock.
        """
        self.lease = lease
        self.lost = threading.Event()  # it is somebody else's, or has ended
        self.overdue = threading.Event()  # it has run longer than it may
        self.step_seconds: float | None = None  # how long one takes
        self._trust_seconds = TRUST * settings.lease_seconds
        self._step_timeout_seconds = settings.step_timeout_seconds
        self._renewed = taken
        self._stepped = time.monotonic()

    @property
    def is_certain(self) -> bool:
        """Whether nobody else can hold the job. A process that was frozen learns it from this."""
        return time.monotonic() - self._renewed < self._trust_seconds

    @property
    def is_stuck(self) -> bool:
        """Whether the job makes no steps."""
        return time.monotonic() - self._stepped > self._step_timeout_seconds

    def stepped(self) -> None:
        """Note that the job is alive."""
        self._stepped = time.monotonic()

    def renew(self, records: JobRecords) -> None:
        """Ask Redis. Raises `RedisError` when it does not answer."""
        asked = time.monotonic()
        renewal = records.renew(self.lease)
        if renewal == Renewal.LOST:
            self.lost.set()
            return
        self._renewed = asked  # the lease began when Redis read the question, or later
        if renewal == Renewal.OVERDUE:
            self.overdue.set()


def end_process() -> None:
    """End this process at once; the parent starts another."""
    os.kill(os.getpid(), signal.SIGKILL)


class Heartbeat:
    """Beats every `heartbeat_seconds` until `stop`."""

    def __init__(
        self,
        worker: Worker,
        records: JobRecords,
        registry: WorkerRegistry,
        settings: Settings,
        *,
        memory_bytes: Callable[[], int | None] = lambda: None,
        when_stuck: Callable[[], None] = end_process,
    ) -> None:
        """
        Args:
            worker: what is announced.
            records: where leases are renewed.
            registry: where workers are announced.
            settings: how often it beats.
            memory_bytes: how much memory the worker takes.
            when_stuck: what to do with a job that makes no steps.
        """
        self._worker = worker
        self._records = records
        self._registry = registry
        self._settings = settings
        self._memory_bytes = memory_bytes
        self._when_stuck = when_stuck
        self._hold: Hold | None = None
        self._round = Round("heartbeat", self._beat, settings.heartbeat_seconds)

    def start(self) -> None:
        """Announce the worker and begin to beat, though Redis may be away."""
        self._try_to_announce()
        self._round.start()

    def stop(self) -> None:
        """Withdraw the worker."""
        self._round.stop()
        self._round.wait(1)  # or it would announce the worker once more
        # Where Redis is away, the registration runs out by itself
        Errand(partial(self._registry.withdraw, self._worker)).wait(1)

    def tell(self, **changes: Any) -> None:
        """Announce the worker with other fields."""
        self._worker = self._worker.model_copy(update=changes)
        self._try_to_announce()

    @contextmanager
    def holding(self, lease: Lease, taken: float) -> Iterator[Hold]:
        """Keep the lease as long as the block runs; `taken` is when it was asked for."""
        hold = self._hold = Hold(lease, self._settings, taken)
        self._try_to_announce()
        try:
            yield hold
        finally:
            self._hold = None
            self._try_to_announce()

    def _beat(self) -> None:
        hold = self._hold
        if hold is not None and hold.is_stuck:
            log.error(
                "the job makes no steps; the process ends and another worker goes on",
                job_id=hold.lease.job_id,
                seconds=self._settings.step_timeout_seconds,
            )
            self._when_stuck()
            return
        if hold is not None:
            hold.renew(self._records)
        self._announce()

    def _try_to_announce(self) -> None:
        try:
            self._announce()
        except RedisError as error:  # the next beat says it
            log.warning("worker not announced", error=repr(error))

    def _announce(self) -> None:
        hold = self._hold
        now = {
            "busy": hold is not None,
            "job_id": hold.lease.job_id if hold else None,
            "step_seconds": hold.step_seconds if hold else None,
            "memory_bytes": self._memory_bytes(),
        }
        self._registry.announce(self._worker.model_copy(update=now))
