"""Publishes again what nobody holds: a message can be lost, a record cannot."""

import structlog
from redis import Redis

from shared.messaging import AWAY, Publisher
from shared.records import Due, JobRecords
from worker.turns import Turn

MAX_PUBLISHED_AT_ONCE = 1000
log = structlog.get_logger(__name__)


def publish(publisher: Publisher, job: Due) -> None:
    """Send the message of a job that is due. Raises one of `AWAY`."""
    publisher.publish(job.job_id, job.priority, begun=job.begun, held_back=job.held_back)
    log.info("job published again", job_id=job.job_id, begun=job.begun, held_back=job.held_back)


class Reconciler:
    """Any worker runs it; a lock that expires lets one of them do so in every interval."""

    def __init__(
        self, redis: Redis, records: JobRecords, publisher: Publisher, interval_seconds: float
    ) -> None:
        self._turn = Turn(redis, "reconciler", interval_seconds)
        self._records = records
        self._publisher = publisher
        self.interval_seconds = interval_seconds

    def run_if_due(self) -> None:
        """Look after lost jobs unless somebody did so a moment ago."""
        if self._turn.take():
            self.run()

    def run(self) -> None:
        """Publish jobs whose worker is gone, and jobs that have waited for a while.

        A message too many does no harm: whoever takes it finds the job held or finished.
        """
        due = self._records.take_due(MAX_PUBLISHED_AT_ONCE)
        for number, job in enumerate(due):
            try:
                publish(self._publisher, job)
            except AWAY:
                self._records.due_at_once(due[number:])
                raise
