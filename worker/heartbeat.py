"""Threads that announce this worker, keep the lease of its job, and look after lost jobs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from redis.exceptions import RedisError

from shared.records import JobRecords, Lease, Renewal
from shared.settings import Settings
from shared.workers import Worker, WorkerRegistry
from worker.reconciler import Reconciler

log = structlog.get_logger(__name__)


class Hold:
    """A job that this worker runs. `lost` is set when the lease has gone to somebody else."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lost = threading.Event()


class Heartbeat:
    """Beats every `heartbeat_seconds` until `stop`."""

    def __init__(
        self,
        worker: Worker,
        records: JobRecords,
        registry: WorkerRegistry,
        reconciler: Reconciler,
        settings: Settings,
    ) -> None:
        self._worker = worker
        self._records = records
        self._registry = registry
        self._hold: Hold | None = None
        self._stopping = threading.Event()
        # Apart, so that a broker that is slow to answer does not cost a job its lease.
        self._threads = [
            threading.Thread(target=self._repeat, args=(work, seconds), daemon=True)
            for work, seconds in [
                (self._beat, settings.heartbeat_seconds),
                (reconciler.run_if_due, reconciler.interval_seconds),
            ]
        ]

    def start(self) -> None:
        """Announce the worker and begin to beat."""
        self._announce()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Withdraw the worker."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=1)
        self._registry.withdraw(self._worker)

    def tell(self, **changes: Any) -> None:
        """Announce the worker with other fields."""
        self._worker = self._worker.model_copy(update=changes)
        self._try_to_announce()

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Hold]:
        """Keep the lease as long as the block runs."""
        hold = self._hold = Hold(lease)
        self._try_to_announce()
        try:
            yield hold
        finally:
            self._hold = None
            self._try_to_announce()

    def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while not self._stopping.wait(seconds):
            try:
                work()
            except Exception as error:  # a heart that stops would cost every job its lease
                log.warning("heartbeat missed", error=repr(error))

    def _beat(self) -> None:
        hold = self._hold
        if (
            hold is not None
            and self._records.renew(hold.lease) == Renewal.LOST
            and self._hold is hold
        ):
            hold.lost.set()
        self._announce()

    def _try_to_announce(self) -> None:
        try:
            self._announce()
        except RedisError as error:  # the next beat says it
            log.warning("worker not announced", error=repr(error))

    def _announce(self) -> None:
        hold = self._hold
        job_id = hold.lease.job_id if hold else None
        self._registry.announce(self._worker.model_copy(update={"job_id": job_id}))
