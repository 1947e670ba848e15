"""A thread that announces this worker, keeps the lease of its job, and looks after lost jobs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from shared.records import JobRecords, Lease
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
        self._reconciler = reconciler
        self._seconds = settings.heartbeat_seconds
        self._hold: Hold | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Announce the worker and begin to beat."""
        self._announce()
        self._thread.start()

    def stop(self) -> None:
        """Withdraw the worker."""
        self._stopping.set()
        self._thread.join(timeout=1)
        self._registry.withdraw(self._worker.name)

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Hold]:
        """Keep the lease as long as the block runs."""
        self._hold = Hold(lease)
        self._announce()
        try:
            yield self._hold
        finally:
            self._hold = None
            self._announce()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._beat()
            except RedisError as error:
                log.warning("heartbeat missed", error=repr(error))

    def _beat(self) -> None:
        hold = self._hold
        if hold is not None and not self._records.renew(hold.lease) and self._hold is hold:
            hold.lost.set()
        self._announce()
        self._reconciler.run_if_due()

    def _announce(self) -> None:
        hold = self._hold
        job_id = hold.lease.job_id if hold else None
        self._registry.announce(self._worker.model_copy(update={"job_id": job_id}))
