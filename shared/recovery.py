"""Writes job records again that Redis has lost, from what S3 knows of each job.

S3 has what was asked for (`request.json`), how the job ended (`end.json`, written after the record
said so), results with their manifests, and checkpoints. What is there decides:

- an end: the job ends as it did;
- no end, but a whole result, whose hash is that of its manifest: the job has succeeded. Redis was
  lost before it could be told so;
- neither: the job waits again, and goes on from its newest checkpoint.

A record that is there stays as it is, and a job that was deleted stays deleted, so that this may be
done at any time, twice, and while the service runs.

What S3 does not know is lost with Redis:

- attempts and history of unfinished jobs: they begin to count again;
- a cancel that no worker has seen yet, and an end that could not be archived since S3 was away at
  that moment: such a job runs again, or has succeeded if its picture was stored;
- a deletion whose objects could not be removed from S3 yet: the job is there until it expires;
- that a request was refused, if the API was lost at that very moment: it becomes a job;
- whether a webhook was delivered: those of the last day are sent again;
- API keys: new ones for the same owners open the same jobs.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from redis import Redis

from shared import names
from shared.garbage import Garbage
from shared.jobs import ANONYMOUS
from shared.records import JobRecords
from shared.remains import Remains, RemainsReader
from shared.storage import INPUTS, JOBS, Storage, StorageCorrupt, job_prefix

THREADS = 16
BATCH = 256


class Outcome(StrEnum):
    """What became of a job that was found in S3."""

    KNOWN = "known"  # its record is there
    DELETED = "deleted"  # it was deleted, or has expired
    QUEUED = "queued"  # it waits again, from its start
    RESUMED = "resumed"  # it waits again, and goes on from a checkpoint
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    LEFTOVER = "leftover"  # a part of what was removed: nobody knows what was asked for
    UNREADABLE = "unreadable"  # what was asked for is there, but cannot be read

    @property
    def is_restored(self) -> bool:
        """Whether a record was written."""
        return self in _RESTORED


_RESTORED = frozenset(
    {
        Outcome.QUEUED,
        Outcome.RESUMED,
        Outcome.SUCCEEDED,
        Outcome.FAILED,
        Outcome.CANCELED,
    }
)


@dataclass
class Report:
    """What was found, and what became of it."""

    jobs: Counter[Outcome] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)  # what is wrong with each
    owners: set[str] = field(default_factory=set)  # of restored jobs, whose API key is lost
    unused_inputs: int | None = None  # None: inputs were left alone

    @property
    def restored(self) -> int:
        """How many records were written."""
        return sum(number for outcome, number in self.jobs.items() if outcome.is_restored)


class Recovery:
    """Goes through all jobs in S3 once."""

    def __init__(
        self,
        redis: Redis,
        records: JobRecords,
        garbage: Garbage,
        storage: Storage,
        *,
        dry_run: bool = False,
    ) -> None:
        self._redis: Any = redis  # its types say that every reply may be awaited
        self._records = records
        self._garbage = garbage
        self._storage = storage
        self._reader = RemainsReader(storage)
        self._dry_run = dry_run

    def run(self, told: Callable[[int, int], None] = lambda done, total: None) -> Report:
        """Write what is missing. `told` hears now and then how many jobs of how many are done.

        Raises `RedisError` or one of `STORAGE_ERRORS` when a server is away. What is done is done;
        the next run does the rest.
        """
        report = Report()
        job_ids = list(self._storage.folders(JOBS))
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(job_ids), BATCH):
                told(start, len(job_ids))
                missing = []
                for job_id, known in self._known(job_ids[start : start + BATCH]):
                    if known is None:
                        missing.append(job_id)
                    else:
                        report.jobs[known] += 1
                for outcome, owner, fault in pool.map(self._recover, missing):
                    if outcome is None:
                        continue
                    report.jobs[outcome] += 1
                    report.unreadable += [fault] if fault else []
                    report.owners |= {owner} if owner and outcome.is_restored else set()
        told(len(job_ids), len(job_ids))
        report.owners = self._without_key(report.owners)
        # What cannot be read may need any of them. It has to be mended or removed first.
        if not report.unreadable and not self._dry_run:
            report.unused_inputs = self._note_inputs()
        return report

    def _known(self, job_ids: list[str]) -> Iterator[tuple[str, Outcome | None]]:
        """What Redis knows of each job; None: nothing."""
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.exists(names.record(job_id))
                pipe.exists(names.gone(job_id))
                pipe.zscore(names.GARBAGE, job_prefix(job_id))
            replies = pipe.execute()
        for job_id, record, gone, removed_since in zip(
            job_ids, replies[::3], replies[1::3], replies[2::3], strict=True
        ):
            if record:
                yield job_id, Outcome.KNOWN
            elif gone or removed_since is not None:
                yield job_id, Outcome.DELETED
            else:
                yield job_id, None

    def _recover(self, job_id: str) -> tuple[Outcome | None, str | None, str | None]:
        """What became of a job, whose it is, and what is wrong with it, if known."""
        try:
            remains = self._reader.read(job_id)
        except StorageCorrupt as error:
            return Outcome.UNREADABLE, None, str(error)
        if remains is None:
            # Some servers go on listing folders in which there is nothing any more.
            is_empty = next(self._storage.keys(job_prefix(job_id)), None) is None
            return None if is_empty else Outcome.LEFTOVER, None, None
        request = remains.request
        if not self._dry_run and not self._records.restore(
            request, remains.end, remains.checkpoints
        ):
            return Outcome.KNOWN, None, None  # somebody was quicker
        return _outcome(remains), request.owner, None

    def _without_key(self, owners: set[str]) -> set[str]:
        named = sorted(owners - {ANONYMOUS})
        known = self._redis.hmget(names.KEYS, named) if named else []
        return {owner for owner, key in zip(named, known, strict=True) if key is None}

    def _note_inputs(self) -> int:
        digests = [key.removeprefix(INPUTS) for key in self._storage.keys(INPUTS)]
        return sum(
            self._garbage.found_inputs(digests[start : start + BATCH])
            for start in range(0, len(digests), BATCH)
        )


def _outcome(remains: Remains) -> Outcome:
    if remains.end is not None:
        return Outcome(remains.end.status)
    return Outcome.RESUMED if remains.checkpoints else Outcome.QUEUED
