"""Job records in Redis: the only truth about a job's state, attempt, fence and result.

Every change of state is one Lua script (`shared/lua`), under Redis's own clock. Next to the records
lie a queue, the jobs to look after, and an index for each owner and status, sorted by id; ids are
UUIDv7, so by age. Listing and queue position cost O(log n), and nothing scans keys.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel
from redis import Redis
from uuid_utils.compat import uuid7

from shared import names
from shared.garbage import STRAGGLER_SECONDS
from shared.idempotency import Ticket
from shared.jobs import (
    Checkpoint,
    ErrorCode,
    Event,
    JobEnd,
    JobError,
    JobRecord,
    JobRequest,
    JobStatus,
    Priority,
    StoredOutput,
    StoredRequest,
)
from shared.scripts import PRIORITY_RANK, Scripts
from shared.settings import Settings

PREVIEW_WANTED_SECONDS = 30
CHECKPOINTS_KEPT = 2
WITHDRAWN_SECONDS = 3600  # longer than a command lies in the buffers of a frozen server
TOLD_AGAIN_SECONDS = 86_400  # of an older end the webhook tells no more when the job is restored
NEXT_JOBS = 2  # for each worker, that are not put off for long


def new_job_id() -> str:
    """An id that sorts by the time at which it was made."""
    return str(uuid7())


def new_claim() -> str:
    """A name for one claim of a job, however often it is asked for."""
    return secrets.token_hex(8)


class Refusal(StrEnum):
    """Why a job was not accepted."""

    QUEUE_FULL = "queue_full"
    TOO_MANY_JOBS = "too_many_jobs"  # of this owner
    TOO_MANY_KEPT = "too_many_kept"  # likewise, those that have ended too
    SUPERSEDED = "superseded"  # the next request with the same idempotency key went ahead


class Renewal(StrEnum):
    """What became of a lease that was to be renewed."""

    HELD = "held"
    OVERDUE = "overdue"  # held, but the job has run longer than it may
    LOST = "lost"  # stop, and write nothing


@dataclass(frozen=True)
class Lease:
    """The right to run a job. Whoever holds an older one can no longer write."""

    job_id: str
    fence: int
    attempt: int
    claim: str  # a name of its own for every claim

    @property
    def token(self) -> str:
        """What tells this lease from all others of the job, also where Redis lost some claims."""
        return f"{self.fence}-{self.claim}"


class Due(NamedTuple):
    """A job that needs a message."""

    job_id: str
    priority: Priority
    begun: bool  # a worker had it
    leased: bool = False  # and its lease has run out
    held_back: bool = False  # its turn had come, when as many of its owner ran as may


@dataclass(frozen=True)
class Wishes:
    """What somebody asked of a running job since it began."""

    cancel: bool
    preview: bool


class JobRecords:
    """Reads and changes job records."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis: Any = redis  # its types say that every reply may be awaited
        self._settings = settings
        self._scripts = Scripts(redis)

    # -- what clients ask for -------------------------------------------------------------------

    def create(
        self,
        request: JobRequest,
        ticket: Ticket | None = None,
        *,
        max_unfinished_jobs: int | None = None,
        max_running_jobs: int | None = None,
    ) -> Refusal | None:
        """Accept a job, and with it the idempotency key of its ticket. Returns why not, or None.

        Args:
            request: the job.
            ticket: drawn for its idempotency key, if it has one.
            max_unfinished_jobs: how many its owner may have. The settings say it when None.
            max_running_jobs: how many of its owner's jobs run at a time, from now on and whenever
                they were accepted. The settings say it when None.
        """
        limit = self._settings.max_running_jobs if max_running_jobs is None else max_running_jobs
        outcome = self._scripts.run(
            "create",
            request.id,
            request.owner,
            request.priority,
            *self._most(max_unfinished_jobs),
            "" if limit is None else limit,
            self._settings.republish_seconds,
            request.inputs.model_dump_json(),
            ticket.idempotency.key_sha256 if ticket else "",
            ticket.number if ticket else "",
            self._settings.idempotency_seconds,
            *_fields(request),
        )
        return None if outcome == "created" else Refusal(outcome)

    def withdraw(self, job_id: str) -> bool:
        """Whether a job was not accepted, and then it cannot be any more.

        For a `create` of which nobody has heard: it may still be on its way.
        """
        with self._redis.pipeline() as pipe:
            pipe.set(names.gone(job_id), "", ex=WITHDRAWN_SECONDS)
            pipe.exists(names.record(job_id))
            _, accepted = pipe.execute()
        return not accepted

    def restore(
        self, request: StoredRequest, end: JobEnd | None, checkpoints: Sequence[Checkpoint] = ()
    ) -> bool:
        """Write a record that was lost. False: it is there, or the job was deleted.

        One that has not ended waits in the queue again, with a fence above all that it had, and
        goes on from its `checkpoints`, the newest of which comes first. How many jobs of its owner
        run at a time say the settings, until the next one is accepted.
        """
        known = request.idempotency
        limit = self._settings.max_running_jobs
        pairs = _fields(request)
        if checkpoints:
            pairs += ["checkpoints", json.dumps([each.model_dump() for each in checkpoints])]
        if end is not None:
            for name, value in (("output", end.output), ("error", end.error)):
                pairs += [name, value.model_dump_json()] if value else []
            if end.started_at is not None:
                pairs += ["started_at", str(end.started_at.timestamp())]
        return bool(
            self._scripts.run(
                "restore",
                request.id,
                request.owner,
                request.priority,
                request.created_at.timestamp(),
                end.status if end else JobStatus.QUEUED,
                end.finished_at.timestamp() if end else "",
                self._settings.retention_seconds,
                request.inputs.model_dump_json(),
                known.key_sha256 if known else "",
                known.request_sha256 if known else "",
                self._settings.idempotency_seconds,
                "" if limit is None else limit,
                TOLD_AGAIN_SECONDS,
                *pairs,
            )
        )

    def refusal(self, owner: str, *, max_unfinished_jobs: int | None = None) -> Refusal | None:
        """Why `create` would take no job of `owner` now, if it would not; one round trip."""
        outcome = self._scripts.run("refusal", owner, *self._most(max_unfinished_jobs))
        return Refusal(outcome) if outcome else None

    def _most(self, max_unfinished_jobs: int | None) -> tuple[int, int, int]:
        """How many jobs may wait, how many of an owner may be unfinished, and how many kept."""
        most = self._settings.max_unfinished_jobs
        most_unfinished = most if max_unfinished_jobs is None else max_unfinished_jobs
        return self._settings.max_queued_jobs, most_unfinished, self._settings.max_kept_jobs

    def waiting_before(self, priority: Priority) -> int:
        """How many jobs a new one of this priority would have before it."""
        return int(self._redis.zcount(names.QUEUE, "-inf", PRIORITY_RANK[priority]))

    def get(self, job_id: str) -> tuple[JobRecord, int | None] | None:
        """The record and, while it is queued, the number of jobs before it; one round trip."""
        found = self.get_many([job_id])
        return found[0] if found else None

    def get_many(self, job_ids: list[str]) -> list[tuple[JobRecord, int | None]]:
        """`get` for those of the jobs that are there; one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                for question in questions(job_id):
                    pipe.execute_command(*question)
            replies = pipe.execute()
        return [
            (parse_record(job_id, fields), position)
            for job_id, fields, position in zip(job_ids, replies[::2], replies[1::2], strict=True)
            if fields
        ]

    def owners(self, job_ids: list[str]) -> list[str | None]:
        """Whose jobs these are; one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hget(names.record(job_id), "owner")
            found: list[str | None] = pipe.execute()
        return found

    def owner_of_gone(self, job_id: str) -> str | None:
        """Whose job it was, if it was deleted or has expired, and not long ago."""
        owner: str | None = self._redis.get(names.gone(job_id))
        return owner

    def page(
        self, owner: str, statuses: frozenset[JobStatus], limit: int, before: str | None
    ) -> list[str]:
        """Ids of at most `limit` jobs of `owner` in `statuses`, below `before`, newest first."""
        upper = f"({before}" if before else "+"
        with self._redis.pipeline(transaction=False) as pipe:
            for status in statuses:
                pipe.zrevrangebylex(names.index(owner, status), upper, "-", 0, limit)
            ids = sorted((job_id for page in pipe.execute() for job_id in page), reverse=True)
        return list(dict.fromkeys(ids))[:limit]

    def cancel(self, job_id: str) -> JobStatus | None:
        """Ask for the end of a job. Returns its status now, or None when there is none."""
        status = self._scripts.run("cancel", job_id, self._settings.retention_seconds)
        return JobStatus(status) if status else None

    def delete(self, job_id: str) -> bool | None:
        """Forget a finished job. False: it is unfinished. None: there is no such job.

        Whoever deletes a job removes what it stored. The sweep looks an hour later what is left, or
        was stored since by a worker that was cut off.
        """
        outcome = self._scripts.run(
            "delete", job_id, self._settings.retention_seconds, STRAGGLER_SECONDS
        )
        return None if outcome is None else bool(outcome == "deleted")

    def want_preview(self, *job_ids: str) -> None:
        """Note that somebody looks at these jobs, so their workers make previews for a while."""
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.set(names.preview_wanted(job_id), "1", ex=PREVIEW_WANTED_SECONDS)
            pipe.execute()

    # -- what workers do ------------------------------------------------------------------------

    def is_free(self, job_id: str) -> bool:
        """Whether a claim would get the job, most likely."""
        return bool(self._scripts.run("is_free", job_id))

    def claim(self, job_id: str, worker: str, claim: str | None = None) -> Lease | str:
        """Take the job's lease, or return why not.

        Whoever has no answer asks again with the same `claim`, a name that `new_claim` made.

        That is gone, finished, busy, or held_back (as many jobs of its owner run as may; it is
        called up when one of them ends); or the job ended right now: canceled, exhausted (it lost
        too many workers) or overdue (it ran longer than it may).
        """
        exhausted = JobError(
            code=ErrorCode.MAX_ATTEMPTS,
            message=f"{self._settings.max_attempts} workers were lost while they ran this job",
        )
        claim = claim or new_claim()
        reply = self._scripts.run(
            "claim",
            job_id,
            worker,
            claim,
            self._settings.lease_seconds,
            self._settings.max_attempts,
            self._settings.max_run_seconds,
            self._settings.retention_seconds,
            exhausted.model_dump_json(),
            self.overdue.model_dump_json(),
        )
        if reply[0] != "claimed":
            return str(reply[0])
        return Lease(job_id, fence=int(reply[1]), attempt=int(reply[2]), claim=claim)

    @property
    def overdue(self) -> JobError:
        """The reason of a job that ran longer than it may."""
        longest = self._settings.max_run_seconds
        return JobError(
            code=ErrorCode.DEADLINE_EXCEEDED,
            message=f"the job ran longer than {longest:g} s, the most that is allowed here",
        )

    def renew(self, lease: Lease) -> Renewal:
        """Keep the lease."""
        return Renewal(
            self._scripts.run("renew", lease.job_id, lease.token, self._settings.lease_seconds)
        )

    def wishes(self, job_id: str) -> Wishes:
        """What was asked of a running job; one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(names.record(job_id), "cancel_requested_at")
            pipe.exists(names.preview_wanted(job_id))
            canceled, wanted = pipe.execute()
        return Wishes(cancel=canceled is not None, preview=bool(wanted))

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> list[str] | None:
        """Let the next worker go on from here. Returns keys that are no longer needed.

        None: the lease was lost, and the checkpoint is not used.
        """
        dropped: list[str] | None = self._scripts.run(
            "checkpoint", lease.job_id, lease.token, checkpoint.model_dump_json(), CHECKPOINTS_KEPT
        )
        return dropped

    def resumed(self, lease: Lease, step: int) -> None:
        """Note from which step this worker goes on."""
        self._scripts.run("resumed", lease.job_id, lease.token, step)

    def succeed(self, lease: Lease, output: StoredOutput) -> bool:
        """Publish the result. False: the lease was lost, and the result is not published."""
        return self._finish(lease, JobStatus.SUCCEEDED, output=output)

    def fail(self, lease: Lease, error: JobError) -> bool:
        """End the job with its reason. False: the lease was lost."""
        return self._finish(lease, JobStatus.FAILED, error.code, error=error)

    def stop(self, lease: Lease) -> bool:
        """End the job because somebody asked for it. False: the lease was lost."""
        return self._finish(lease, JobStatus.CANCELED)

    def release(self, lease: Lease, unreachable: JobError | None = None) -> JobStatus | None:
        """Give the job back unfinished. Returns its status now, None if the lease was lost.

        Args:
            lease: the right to run it.
            unreachable: the worker did not reach a server. This is the reason with which the job
                fails if that has happened `max_attempts` times.
        """
        status = self._scripts.run(
            "release",
            lease.job_id,
            lease.token,
            self._settings.retention_seconds,
            self._settings.max_attempts,
            unreachable.model_dump_json() if unreachable else "",
        )
        return JobStatus(status) if status else None

    def take_due(self, limit: int) -> list[Due]:
        """Jobs whose lease has run out, then jobs that wait for a while.

        Each is put off by being taken: a running job comes again after `republish_seconds`, a
        waiting one when it has waited twice as long.
        """
        workers = self._redis.zcard(names.WORKERS)
        lost, waiting = self._scripts.run(
            "take_due", limit, self._settings.republish_seconds, NEXT_JOBS * max(1, workers)
        )
        return [*_due_jobs(lost, leased=True), *_due_jobs(waiting)]

    def called_up(self, job_id: str) -> list[Due]:
        """Jobs that need a message since a worker is done with this one.

        That is this one, if it was given back, and those of its owner that were held back and may
        run now. They are due: whoever is done sends their messages so that they need not wait for
        the reconciler.
        """
        return _due_jobs(self._scripts.run("called_up", job_id))

    def due_at_once(self, jobs: Sequence[Due]) -> None:
        """Take back that these were taken: their messages could not be sent."""
        taken = [(job.job_id, int(job.leased)) for job in jobs]
        self._scripts.run("untake", *(part for pair in taken for part in pair))

    def _finish(self, lease: Lease, status: JobStatus, code: str = "", **fields: BaseModel) -> bool:
        pairs = [part for name, value in fields.items() for part in (name, value.model_dump_json())]
        return bool(
            self._scripts.run(
                "finish",
                lease.job_id,
                lease.token,
                status,
                self._settings.retention_seconds,
                code,
                *pairs,
            )
        )


_JSON_FIELDS = frozenset({"params", "metadata", "inputs", "output", "error", "checkpoints"})
_TIME_FIELDS = frozenset(
    {
        "created_at",
        "started_at",
        "finished_at",
        "expires_at",
        "cancel_requested_at",
        "webhook_delivered_at",
    }
)


def _fields(request: JobRequest) -> list[str]:
    """What is written into the record as it was asked for."""
    pairs = [
        ("priority", request.priority.value),
        ("params", request.params.model_dump_json()),
        ("metadata", json.dumps(request.metadata)),
        ("inputs", request.inputs.model_dump_json()),
        ("webhook", request.webhook),
        ("retried_from", request.retried_from),
    ]
    return [part for name, value in pairs if value is not None for part in (name, value)]


def _due_jobs(found: Sequence[Any], *, leased: bool = False) -> list[Due]:
    rows = zip(*(found[column::4] for column in range(4)), strict=True)
    return [
        Due(str(job_id), Priority(priority), bool(begun), leased, held_back=bool(held_back))
        for job_id, priority, begun, held_back in rows
    ]


def questions(job_id: str) -> list[tuple[str, ...]]:
    """Commands that ask what `parse_record` makes a record of, and for the place in the queue."""
    return [("HGETALL", names.record(job_id)), ("ZRANK", names.QUEUE, job_id)]


def parse_record(job_id: str, fields: dict[str, str]) -> JobRecord:
    """The record that Redis keeps as these fields."""
    values: dict[str, Any] = {"id": job_id}
    for name, text in fields.items():
        if name in _JSON_FIELDS:
            values[name] = json.loads(text)
        elif name in _TIME_FIELDS:
            values[name] = datetime.fromtimestamp(float(text), UTC)
        elif name == "history":
            values[name] = [_event(line) for line in text.split("\n") if line]
        else:
            values[name] = text
    return JobRecord.model_validate(values)


def _event(line: str) -> Event:
    at, event, fence, detail = line.split(" ", 3)
    return Event(
        at=datetime.fromtimestamp(float(at), UTC), event=event, fence=int(fence), detail=detail
    )
