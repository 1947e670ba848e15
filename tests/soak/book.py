"""What customers were told, which has to stay true."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.jobs import Job, JobStatus
from tests.soak.journal import Journal
from tests.soak.kinds import Kind


@dataclass(frozen=True)
class Order:
    """A job as a customer asked for it."""

    key: str
    kind: Kind
    content: Path | None
    styles: list[Path]
    has_webhook: bool


class Book:
    """Orders, the jobs that they became, and how these ended as far as the API said so."""

    def __init__(self, journal: Journal) -> None:
        self.answers: Counter[str] = Counter()
        self.orders: dict[str, Order] = {}  # by key
        self.accepted: dict[str, Order] = {}  # by id
        self.ended: dict[str, JobStatus] = {}
        self.deleted: dict[str, float] = {}  # when the API said so
        # Of their ends, or of their deletion, S3 did not know when Redis was wiped.
        self.forgotten: set[str] = set()
        self.slowest_seconds = 0.0
        self._ids: dict[str, str] = {}  # by key
        self._end_heard: dict[str, float] = {}  # when, by id
        self._journal = journal
        self._lock = threading.Lock()

    @property
    def unfinished(self) -> list[str]:
        """Ids of jobs of whose end nobody has heard."""
        with self._lock:
            return [job_id for job_id in self.accepted if job_id not in self.ended]

    def order(self, order: Order) -> None:
        """Note what is about to be asked for."""
        with self._lock:
            self.orders[order.key] = order

    def accept(self, key: str, order: Order, job: Job, asked: float) -> None:
        """Note a 202: from now on this job may not be lost, and the key has no other."""
        with self._lock:
            first = self._ids.setdefault(key, job.id)
            self.accepted[job.id] = order
            self.answers["accepted" if first == job.id else "doubled"] += 1
        if first != job.id:
            self._journal.violation("a key makes one job", key=key, jobs=[first, job.id])
        self.told(job, asked)

    def told(self, job: Job, asked: float) -> None:
        """Note what the API says of a job, when it was asked at `asked`."""
        with self._lock:
            gone = self.deleted.get(job.id, asked) < asked
            before = self.ended.get(job.id)
            # Two answers may cross on their way; what was asked for after an end has to know it.
            is_news = self._end_heard.get(job.id, asked) < asked or job.status.is_terminal
            if job.status.is_terminal and before is None:
                self.ended[job.id] = job.status
                self._end_heard[job.id] = time.monotonic()
        if gone:
            self._journal.violation("a deleted job is gone", job=job.id, status=job.status)
        if before is not None and before != job.status and is_news:
            self._journal.violation(
                "an end is the end", job=job.id, before=before, status=job.status
            )

    def delete(self, job_id: str) -> None:
        """Note that the API has deleted a job."""
        with self._lock:
            self.deleted[job_id] = time.monotonic()

    def count(self, answer: str, seconds: float) -> None:
        """Count an answer of the API."""
        with self._lock:
            self.answers[answer] += 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Take back what was told of jobs, since it is lost by design."""
        with self._lock:
            for job_id in job_ids:
                self.forgotten.add(job_id)
                self.ended.pop(job_id, None)
                self._end_heard.pop(job_id, None)
                self.deleted.pop(job_id, None)
