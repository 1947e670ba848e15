"""Webhooks that wait to be sent. A row is written by the same script that ends the job."""

from redis import Redis

from shared import names
from shared.jobs import JobRecord
from shared.records import JobRecords
from shared.scripts import Scripts

SENDING_SECONDS = 60  # a row that a lost sender took comes back after this


class Outbox:
    """Hands out rows that are due, and notes what became of them."""

    def __init__(self, redis: Redis, records: JobRecords) -> None:
        self._scripts = Scripts(redis)
        self._records = records

    def take(self, limit: int) -> list[JobRecord]:
        """Finished jobs whose webhook is due."""
        job_ids = self._scripts.run("take_rows", names.OUTBOX, limit, SENDING_SECONDS)
        return [record for record, _ in self._records.get_many(job_ids)]

    def delivered(self, job_id: str, attempt: int) -> None:
        """The receiver has it, at this attempt, the first being 1."""
        self._scripts.run("webhook_sent", job_id, attempt, "", "")

    def failed(self, job_id: str, attempt: int, error: str, again_in_seconds: float | None) -> None:
        """The receiver does not have it. None: it is given up."""
        again = "" if again_in_seconds is None else again_in_seconds
        self._scripts.run("webhook_sent", job_id, attempt, error or "failed", again)
