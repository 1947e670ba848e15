"""Job records in Redis: the only truth about a job's state, attempt, fence and result.

Every change of state is one Lua script (`shared/lua`), under Redis's own clock. Next to the records
lie a queue, the jobs to look after, and one index for each status, sorted by id; ids are UUIDv7, so
by age. Listing and queue position cost O(log n), and nothing scans keys.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from uuid_utils.compat import uuid7

from shared.jobs import (
    ErrorCode,
    Inputs,
    JobError,
    JobRecord,
    JobStatus,
    Priority,
    StoredOutput,
)
from shared.parameters import Parameters
from shared.settings import Settings

SCRIPTS = Path(__file__).parent / "lua"
QUEUE = "impasto:queue"  # waiting jobs, by priority, then by age
DUE = "impasto:due"  # unfinished jobs, by when somebody should look after them
PREVIEW_WANTED_SECONDS = 30
PRIORITY_RANK = {priority: rank for rank, priority in enumerate(Priority)}  # 0 is served first


def connect_impatient(url: str) -> Redis:
    """A client that answers or fails within 2 s: a request, or a step, waits."""
    return _connect(url, attempts=1, timeout_seconds=2)


def connect_patient(url: str) -> Redis:
    """A client that outlasts a restart of Redis: hours of work wait."""
    return _connect(url, attempts=60, timeout_seconds=10)


def _connect(url: str, *, attempts: int, timeout_seconds: float) -> Redis:
    """A client that gives up after `attempts` tries of `timeout_seconds` each."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialWithJitterBackoff(cap=2.0, base=0.05), attempts - 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )


@dataclass(frozen=True)
class Lease:
    """The right to run a job. Whoever holds an older fence can no longer write."""

    job_id: str
    fence: int
    attempt: int


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
        self._scripts = {
            path.stem: redis.register_script(path.read_text()) for path in SCRIPTS.glob("*.lua")
        }

    # -- what clients ask for -------------------------------------------------------------------

    def create(
        self, params: Parameters, metadata: dict[str, Any], inputs: Inputs, priority: Priority
    ) -> str | None:
        """Accept a job. Returns its id, or None when the queue is full."""
        job_id = str(uuid7())
        created = self._scripts["create"](
            keys=[_record(job_id), QUEUE, DUE, _index(JobStatus.QUEUED)],
            args=[
                job_id,
                PRIORITY_RANK[priority],
                self._settings.max_queued_jobs,
                self._settings.republish_seconds,
                *("priority", priority.value),
                *("params", params.model_dump_json()),
                *("metadata", json.dumps(metadata)),
                *("inputs", inputs.model_dump_json()),
            ],
        )
        return job_id if created else None

    def queue_is_full(self) -> bool:
        """Whether `create` would take no job now."""
        return int(self._redis.zcard(QUEUE)) >= self._settings.max_queued_jobs

    def get(self, job_id: str) -> tuple[JobRecord, int | None] | None:
        """The record and, while it is queued, the number of jobs before it; one round trip."""
        found = self._get_many([job_id])
        return found[0] if found else None

    def page(
        self, statuses: frozenset[JobStatus], limit: int, before: str | None
    ) -> list[tuple[JobRecord, int | None]]:
        """At most `limit` jobs in `statuses` with ids below `before`, newest first."""
        upper = f"({before}" if before else "+"
        with self._redis.pipeline(transaction=False) as pipe:
            for status in statuses:
                pipe.zrevrangebylex(_index(status), upper, "-", 0, limit)
            ids = sorted((job_id for page in pipe.execute() for job_id in page), reverse=True)
        return self._get_many(list(dict.fromkeys(ids))[:limit])

    def cancel(self, job_id: str) -> JobStatus | None:
        """Ask for the end of a job. Returns its status now, or None when there is none."""
        status = self._scripts["cancel"](
            keys=[
                _record(job_id),
                QUEUE,
                DUE,
                _index(JobStatus.QUEUED),
                _index(JobStatus.CANCELED),
            ],
            args=[job_id, self._settings.retention_seconds],
        )
        return JobStatus(status) if status else None

    def want_preview(self, job_id: str) -> None:
        """Note that somebody looks at this job, so its worker makes previews for a while."""
        self._redis.set(_preview_wanted(job_id), "1", ex=PREVIEW_WANTED_SECONDS)

    # -- what workers do ------------------------------------------------------------------------

    def claim(self, job_id: str, worker: str) -> Lease | str:
        """Take the job's lease, or return why not: gone, finished, busy, canceled or exhausted."""
        exhausted = JobError(
            code=ErrorCode.MAX_ATTEMPTS,
            message=f"{self._settings.max_attempts} workers were lost while they ran this job",
        )
        reply = self._scripts["claim"](
            keys=[
                _record(job_id),
                QUEUE,
                DUE,
                _index(JobStatus.QUEUED),
                _index(JobStatus.RUNNING),
                _index(JobStatus.FAILED),
                _index(JobStatus.CANCELED),
            ],
            args=[
                job_id,
                worker,
                self._settings.lease_seconds,
                self._settings.max_attempts,
                self._settings.retention_seconds,
                exhausted.model_dump_json(),
            ],
        )
        if reply[0] != "claimed":
            return str(reply[0])
        return Lease(job_id, fence=int(reply[1]), attempt=int(reply[2]))

    def renew(self, lease: Lease) -> bool:
        """Keep the lease. False: it is lost, stop and write nothing."""
        return bool(
            self._scripts["renew"](
                keys=[_record(lease.job_id), DUE],
                args=[lease.job_id, lease.fence, self._settings.lease_seconds],
            )
        )

    def wishes(self, job_id: str) -> Wishes:
        """What was asked of a running job; one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(_record(job_id), "cancel_requested_at")
            pipe.exists(_preview_wanted(job_id))
            canceled, wanted = pipe.execute()
        return Wishes(cancel=canceled is not None, preview=bool(wanted))

    def succeed(self, lease: Lease, output: StoredOutput) -> bool:
        """Publish the result. False: the lease was lost, and the result is not published."""
        return self._finish(lease, JobStatus.SUCCEEDED, output=output)

    def fail(self, lease: Lease, error: JobError) -> bool:
        """End the job with its reason. False: the lease was lost."""
        return self._finish(lease, JobStatus.FAILED, error=error)

    def stop(self, lease: Lease) -> bool:
        """End the job because somebody asked for it. False: the lease was lost."""
        return self._finish(lease, JobStatus.CANCELED)

    def release(self, lease: Lease, priority: Priority) -> JobStatus | None:
        """Give the job back unfinished. Returns its status now, None if the lease was lost."""
        status = self._scripts["release"](
            keys=[
                _record(lease.job_id),
                QUEUE,
                DUE,
                _index(JobStatus.QUEUED),
                _index(JobStatus.RUNNING),
                _index(JobStatus.CANCELED),
            ],
            args=[
                lease.job_id,
                lease.fence,
                PRIORITY_RANK[priority],
                self._settings.retention_seconds,
            ],
        )
        return JobStatus(status) if status else None

    def take_due(self, limit: int) -> list[tuple[str, Priority]]:
        """Jobs that wait for a while, or whose lease has run out; each is put off by being taken.

        A running job comes again after `republish_seconds`, a waiting one when it has waited
        twice as long, so that a long queue is not filled with messages about itself.
        """
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1e6
        job_ids = self._redis.zrangebyscore(DUE, "-inf", now, start=0, num=limit)
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(_record(job_id), "status", "created_at", "priority")
            records = pipe.execute()
        found = []
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id, (status, created_at, priority) in zip(job_ids, records, strict=True):
                if status is None:
                    pipe.zrem(DUE, job_id)
                    continue
                waited = now - float(created_at) if status == JobStatus.QUEUED else 0.0
                pause = max(self._settings.republish_seconds, waited)
                pipe.zadd(DUE, {job_id: now + pause}, xx=True)  # not if it has ended meanwhile
                found.append((job_id, Priority(priority)))
            pipe.execute()
        return found

    def _finish(self, lease: Lease, status: JobStatus, **fields: BaseModel) -> bool:
        pairs = [part for name, value in fields.items() for part in (name, value.model_dump_json())]
        return bool(
            self._scripts["finish"](
                keys=[_record(lease.job_id), DUE, _index(JobStatus.RUNNING), _index(status)],
                args=[lease.job_id, lease.fence, status, self._settings.retention_seconds, *pairs],
            )
        )

    def _get_many(self, job_ids: list[str]) -> list[tuple[JobRecord, int | None]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(_record(job_id))
                pipe.zrank(QUEUE, job_id)
            replies = pipe.execute()
        return [
            (_from_hash(job_id, fields), position)
            for job_id, fields, position in zip(job_ids, replies[::2], replies[1::2], strict=True)
            if fields
        ]


_JSON_FIELDS = frozenset({"params", "metadata", "inputs", "output", "error"})
_TIME_FIELDS = frozenset(
    {"created_at", "started_at", "finished_at", "expires_at", "cancel_requested_at"}
)


def _from_hash(job_id: str, fields: dict[str, str]) -> JobRecord:
    values: dict[str, Any] = {"id": job_id}
    for name, text in fields.items():
        if name in _JSON_FIELDS:
            values[name] = json.loads(text)
        elif name in _TIME_FIELDS:
            values[name] = datetime.fromtimestamp(float(text), UTC)
        else:
            values[name] = text
    return JobRecord.model_validate(values)


def _record(job_id: str) -> str:
    return f"impasto:job:{{{job_id}}}"


def _preview_wanted(job_id: str) -> str:
    return f"impasto:job:{{{job_id}}}:preview-wanted"


def _index(status: JobStatus) -> str:
    return f"impasto:jobs:{status}"
