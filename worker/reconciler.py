"""Publishes again what nobody holds: a message can be lost, a record cannot."""

import structlog
from celery import Celery
from redis import Redis

from shared.jobs import Priority
from shared.messaging import queue_name, wake_a_worker
from shared.records import JobRecords

MAX_PUBLISHED_AT_ONCE = 100
LOCK = "impasto:reconciler"
log = structlog.get_logger(__name__)


class Reconciler:
    """Any worker runs it; a lock that expires lets one of them do so in every interval."""

    def __init__(
        self, redis: Redis, records: JobRecords, app: Celery, interval_seconds: float
    ) -> None:
        self._redis = redis
        self._records = records
        self._app = app
        self._interval_ms = int(interval_seconds * 1000)

    def run_if_due(self) -> None:
        """Look after lost jobs unless somebody did so a moment ago."""
        if self._redis.set(LOCK, "1", nx=True, px=self._interval_ms):
            self.run()

    def run(self) -> None:
        """Publish jobs whose worker is gone, and jobs that wait although no message does.

        A message too many does no harm: whoever takes it finds the job held or finished.
        """
        lost = self._records.abandoned()
        if self._no_message_waits():
            lost += self._records.waiting(MAX_PUBLISHED_AT_ONCE)
        for job_id, priority in lost:
            log.warning("job published again", job_id=job_id)
            wake_a_worker(self._app, job_id, priority)

    def _no_message_waits(self) -> bool:
        with self._app.connection_for_write() as connection:
            channel = connection.default_channel
            return all(
                channel.client.llen(queue_name(priority)) == 0  # kombu keeps a queue as a list
                for priority in Priority
            )
