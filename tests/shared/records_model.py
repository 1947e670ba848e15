"""What the scripts of `shared/lua` should do, said a second time in plain Python.

The model keeps no index and no queue: it knows jobs, and what lies beside them in Redis follows
from these. Times are multiples of 1/4 s, so that sums are the same in Lua and in Python.
"""

import math
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from shared import names
from shared.garbage import POSTING_SECONDS, REMOVING_SECONDS, STRAGGLER_SECONDS, Removal
from shared.idempotency import IN_FLIGHT_SECONDS, Ticket
from shared.jobs import (
    Checkpoint,
    ErrorCode,
    JobEnd,
    JobError,
    JobRequest,
    JobStatus,
    Priority,
    StoredOutput,
    StoredRequest,
)
from shared.outbox import SENDING_SECONDS
from shared.records import (
    CHECKPOINTS_KEPT,
    NEXT_JOBS,
    PREVIEW_WANTED_SECONDS,
    TOLD_AGAIN_SECONDS,
    Due,
    Lease,
    Refusal,
    Renewal,
)
from shared.scripts import DURATION_BUCKETS
from shared.settings import Settings

MAX_HISTORY_BYTES = 400  # less than it is, so that there is more than that
START = 1_800_000_000.0

Database = dict[str, Any]  # every key with its value, as `tests.shared.snapshot` gives it


@dataclass
class ModelJob:
    """A record, and when somebody looks after it."""

    request: JobRequest
    created_at: float
    queued_at: float | None
    due: float | None  # None: it is held back, and nobody looks after it until it is called up
    held_back: bool = False  # or was called up, and no worker has taken it yet
    status: JobStatus = JobStatus.QUEUED
    fence: int = 0
    attempt: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    cancel_requested_at: float | None = None
    worker: str | None = None
    claim: str | None = None
    resumed: str | None = None
    unreached: int | None = None
    claimed_at: float | None = None
    lease_until: float | None = None
    deadline_at: float | None = None
    ran_seconds: float | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    output: StoredOutput | None = None
    error: JobError | None = None
    webhook_due: float | None = None
    webhook_attempts: int | None = None
    webhook_delivered_at: float | None = None
    webhook_error: str | None = None
    history: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> set[str]:
        """Hashes of what it uses."""
        inputs = self.request.inputs
        return {*inputs.styles, *inputs.masks, *filter(None, (inputs.content, inputs.init))}

    @property
    def turn(self) -> tuple[int, str]:
        """The order among the jobs of an owner that are held back."""
        begun = self.started_at is not None
        return -1 if begun else [*Priority].index(self.request.priority), self.request.id

    @property
    def end(self) -> JobEnd | None:
        """How it ended, once it has."""
        if self.finished_at is None:
            return None
        return JobEnd.model_validate(
            {
                "status": self.status,
                "started_at": self.started_at,
                "finished_at": self.finished_at,
                "output": self.output,
                "error": self.error,
            }
        )

    def hash(self) -> dict[str, Any]:
        """The record as it lies in Redis."""
        request = self.request
        fields = {
            "owner": request.owner,
            "priority": request.priority,
            "params": request.params.model_dump(mode="json"),
            "metadata": request.metadata,
            "inputs": request.inputs.model_dump(),
            "webhook": request.webhook,
            "retried_from": request.retried_from,
            "checkpoints": [checkpoint.model_dump() for checkpoint in self.checkpoints] or None,
            "output": self.output and self.output.model_dump(),
            "error": self.error and self.error.model_dump(mode="json"),
            "history": "".join(self.history),
        }
        as_it_is = (
            "status fence attempt created_at queued_at started_at finished_at expires_at"
            " cancel_requested_at worker claim resumed unreached claimed_at lease_until deadline_at"
            " ran_seconds webhook_attempts webhook_delivered_at webhook_error"
        )
        fields |= {name: getattr(self, name) for name in as_it_is.split()}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass
class ModelKey:
    """An idempotency key."""

    request: str
    until: float
    ticket: str | None = None
    job: str | None = None

    def hash(self) -> dict[str, str]:
        """As it lies in Redis."""
        fields = {"request": self.request, "ticket": self.ticket, "job": self.job}
        return {name: value for name, value in fields.items() if value is not None}


class Model:
    """Every method answers what the one of the same name in `shared` should."""

    def __init__(self, settings: Settings, overdue: JobError) -> None:
        self.settings = settings
        self.overdue = overdue
        self.now = START
        self.clear()

    def clear(self) -> None:
        """Lose everything but the time."""
        self.jobs: dict[str, ModelJob] = {}
        self.keys: dict[tuple[str, str], ModelKey] = {}
        self.unused: dict[str, float] = {}
        self.deleting: dict[str, tuple[str, float]] = {}
        self.gone: dict[str, tuple[str, float]] = {}
        self.previews: dict[str, float] = {}
        self.garbage: dict[str, float] = {}
        self.counters: Counter[str] = Counter()
        self.running_limits: dict[str, int] = {}

    def save(self) -> dict[str, Any]:
        """A copy of everything but the time."""
        fixed = ("settings", "overdue", "now")
        return deepcopy({name: of for name, of in vars(self).items() if name not in fixed})

    def load(self, saved: dict[str, Any]) -> None:
        """Go back to the copy."""
        vars(self).update(deepcopy(saved))

    def advance(self, seconds: float) -> None:
        """Let time pass, and with it what is only kept for a while."""
        self.now += seconds
        self.keys = {name: key for name, key in self.keys.items() if key.until > self.now}
        self.deleting = {name: of for name, of in self.deleting.items() if of[1] > self.now}
        self.gone = {name: gone for name, gone in self.gone.items() if gone[1] > self.now}
        self.previews = {name: at for name, at in self.previews.items() if at > self.now}

    # -- what clients ask for -------------------------------------------------------------------

    def create(
        self,
        request: JobRequest,
        ticket: Ticket | None,
        max_unfinished_jobs: int | None,
        max_running_jobs: int | None,
    ) -> Refusal | None:
        if request.id in self.jobs:
            return None
        name = (ticket.owner, ticket.idempotency.key_sha256) if ticket else None
        key = self.keys.get(name) if name else None
        if ticket and (key is None or key.ticket != ticket.number or key.job):
            return Refusal.SUPERSEDED
        if refusal := self.refusal(request.owner, max_unfinished_jobs):
            return refusal
        self.running_limits.pop(request.owner, None)
        if max_running_jobs is not None:
            self.running_limits[request.owner] = max_running_jobs
        self._call_up(request.owner)
        due = self.now + self.settings.republish_seconds
        self._add(ModelJob(request, self.now, self.now, due), "created", "created")
        if key:
            key.job = request.id
            key.until = self.now + self.settings.idempotency_seconds
        return None

    def restore(
        self, request: StoredRequest, end: JobEnd | None, checkpoints: Sequence[Checkpoint]
    ) -> bool:
        job_id = request.id
        if job_id in self.jobs or job_id in self.gone or f"jobs/{job_id}/" in self.garbage:
            return False
        created_at = request.created_at.timestamp()
        job = ModelJob(request, created_at, self.now, self.now, fence=int(self.now))
        job.checkpoints = list(checkpoints)
        if end is not None:
            job.queued_at = None
            job.started_at = end.started_at.timestamp() if end.started_at else None
            self.garbage[f"jobs/{job_id}/checkpoints/"] = self.now
            job.status, job.output, job.error = end.status, end.output, end.error
            job.finished_at = end.finished_at.timestamp()
            job.expires_at = job.finished_at + self.settings.retention_seconds
            if request.webhook and self.now - job.finished_at < TOLD_AGAIN_SECONDS:
                job.webhook_due = self.now
        if request.idempotency:
            name = (request.owner, request.idempotency.key_sha256)
            seconds_left = created_at + self.settings.idempotency_seconds - self.now
            until = self.now + math.ceil(seconds_left)
            known = self.keys.get(name)
            if until > self.now and not (known and known.job):
                request_sha256 = request.idempotency.request_sha256
                ticket = known.ticket if known else None  # of a request that comes too late
                self.keys[name] = ModelKey(request_sha256, until, ticket, job_id)
        self._add(job, "restored", "restored", job.status)
        limit = self.settings.max_running_jobs
        if end is None and limit is not None:
            self.running_limits.setdefault(request.owner, limit)
        return True

    def _add(self, job: ModelJob, counter: str, event: str, detail: str = "") -> None:
        self.jobs[job.request.id] = job
        self.counters[counter] += 1
        self._note(job, event, job.fence, detail)

    def unfinished(self) -> list[ModelJob]:
        """Jobs that have not ended."""
        return [job for job in self.jobs.values() if not job.status.is_terminal]

    def queue(self) -> list[str]:
        """Waiting jobs, the next first."""
        waiting = [job for job in self.jobs.values() if job.status == JobStatus.QUEUED]
        rank = {priority: rank for rank, priority in enumerate(Priority)}
        waiting.sort(key=lambda job: (rank[job.request.priority], job.request.id))
        return [job.request.id for job in waiting]

    def refusal(self, owner: str, max_unfinished_jobs: int | None) -> Refusal | None:
        if len(self.queue()) >= self.settings.max_queued_jobs:
            return Refusal.QUEUE_FULL
        unfinished = [job for job in self.unfinished() if job.request.owner == owner]
        most = self.settings.max_unfinished_jobs
        if len(unfinished) >= (most if max_unfinished_jobs is None else max_unfinished_jobs):
            return Refusal.TOO_MANY_JOBS
        kept = [job for job in self.jobs.values() if job.request.owner == owner]
        return Refusal.TOO_MANY_KEPT if len(kept) >= self.settings.max_kept_jobs else None

    def page(
        self, owner: str, statuses: frozenset[JobStatus], limit: int, before: str | None
    ) -> list[str]:
        found = [
            job_id
            for job_id, job in self.jobs.items()
            if job.request.owner == owner and job.status in statuses
            if before is None or job_id < before
        ]
        return sorted(found, reverse=True)[:limit]

    def cancel(self, job_id: str) -> JobStatus | None:
        job = self.jobs.get(job_id)
        if job is None:
            return None
        if job.status.is_terminal or job.cancel_requested_at is not None:
            return job.status
        job.cancel_requested_at = self.now
        if job.status == JobStatus.RUNNING:
            self._note(job, "canceling", job.fence)
        else:
            self._end(job, JobStatus.CANCELED)
        return job.status

    def delete(self, job_id: str) -> bool | None:
        job = self.jobs.get(job_id)
        if job is None:
            return None
        if not job.status.is_terminal:
            return False
        self._forget(job, self.now + STRAGGLER_SECONDS)
        self.counters["deleted"] += 1
        return True

    def want_preview(self, job_id: str) -> None:
        self.previews[job_id] = self.now + PREVIEW_WANTED_SECONDS

    def begin(self, ticket: Ticket) -> str | None:
        name, idempotency = (ticket.owner, ticket.idempotency.key_sha256), ticket.idempotency
        known = self.keys.get(name)
        if known is None:
            until = self.now + IN_FLIGHT_SECONDS
            self.keys[name] = ModelKey(idempotency.request_sha256, until, ticket.number)
            return None
        if known.request != idempotency.request_sha256:
            return "mismatch"
        if known.job is None:
            return None if known.ticket == ticket.number else "in_flight"
        self.counters["replayed"] += 1
        return known.job

    def abandon(self, ticket: Ticket) -> None:
        name = (ticket.owner, ticket.idempotency.key_sha256)
        known = self.keys.get(name)
        if known and known.ticket == ticket.number and known.job is None:
            del self.keys[name]

    # -- what workers do ------------------------------------------------------------------------

    def claim(self, job_id: str, worker: str, name: str) -> Lease | str:
        """`name` is that of this claim: the same when it is asked again."""
        job = self.jobs.get(job_id)
        if job is None:
            return "gone"
        if job.status.is_terminal:
            return "finished"
        ran = job.ran_seconds or 0.0
        if job.status == JobStatus.RUNNING:
            if job.claim == name:
                job.lease_until = job.due = self.now + self.settings.lease_seconds
                return Lease(job_id, job.fence, job.attempt, name)
            assert job.lease_until is not None
            assert job.claimed_at is not None
            if self.now < job.lease_until:
                self.counters["busy"] += 1
                return "busy"
            ran += job.lease_until - job.claimed_at
            self.counters["lost"] += 1
            self._note(job, "lost", job.fence, job.worker or "")
        if job.cancel_requested_at is not None:
            self._end(job, JobStatus.CANCELED)
            return "canceled"
        if job.attempt >= self.settings.max_attempts:
            most = self.settings.max_attempts
            message = f"{most} workers were lost while they ran this job"
            job.error = JobError(code=ErrorCode.MAX_ATTEMPTS, message=message)
            self._end(job, JobStatus.FAILED)
            return "exhausted"
        if ran >= self.settings.max_run_seconds:
            job.error = self.overdue
            self._end(job, JobStatus.FAILED)
            return "overdue"
        if job.status == JobStatus.QUEUED and self._is_held_back(job):
            job.held_back, job.due = True, None
            self.counters["held_back"] += 1
            return "held_back"
        job.held_back = False
        job.attempt += 1
        job.fence += 1
        job.status, job.worker, job.claim = JobStatus.RUNNING, worker, name
        job.claimed_at, job.ran_seconds = self.now, ran
        job.lease_until = job.due = self.now + self.settings.lease_seconds
        job.deadline_at = self.now + self.settings.max_run_seconds - ran
        if job.started_at is None:
            job.started_at = self.now
            self._observe("queue_seconds", self.now - job.created_at)
        self.counters["claims"] += 1
        self._note(job, "claimed", job.fence, worker)
        return Lease(job_id, job.fence, job.attempt, name)

    def is_free(self, job_id: str) -> bool:
        """Those that the order among its owner's jobs would hold back are not seen."""
        job = self.jobs.get(job_id)
        if job is None or job.status.is_terminal:
            return False
        if job.status == JobStatus.RUNNING:
            assert job.lease_until is not None
            return job.lease_until <= self.now
        limit = self.running_limits.get(job.request.owner, math.inf)
        return len(self._running(job.request.owner)) < limit

    def _running(self, owner: str) -> list[ModelJob]:
        jobs = (job for job in self.jobs.values() if job.status == JobStatus.RUNNING)
        return [job for job in jobs if job.request.owner == owner]

    def _held_back(self, owner: str) -> list[ModelJob]:
        """Also those that were called up; the next first."""
        jobs = (job for job in self.jobs.values() if job.held_back and job.request.owner == owner)
        return sorted(jobs, key=lambda job: job.turn)

    def _is_held_back(self, job: ModelJob) -> bool:
        owner = job.request.owner
        before = [other for other in self._held_back(owner) if other.turn < job.turn]
        limit = self.running_limits.get(owner, math.inf)
        return len(self._running(owner)) + len(before) >= limit

    def _allowed(self, owner: str) -> list[ModelJob]:
        """Those of the jobs that are held back that may run now."""
        held_back = self._held_back(owner)
        if owner not in self.running_limits:
            return held_back
        free = self.running_limits[owner] - len(self._running(owner))
        return held_back[: max(0, free)]

    def _call_up(self, owner: str) -> None:
        for job in self._allowed(owner):
            if job.due is None:
                job.due = job.queued_at = self.now
            job.held_back = owner in self.running_limits

    def called_up(self, job_id: str) -> list[Due]:
        if job_id not in self.jobs:
            return []
        this = self.jobs[job_id]
        jobs = self._allowed(this.request.owner)
        if this.status == JobStatus.QUEUED and not this.held_back:
            jobs.append(this)
        return [self._message(job) for job in jobs if job.due is not None and job.due <= self.now]

    def _message(self, job: ModelJob, *, leased: bool = False) -> Due:
        request = job.request
        begun = job.started_at is not None
        return Due(request.id, request.priority, begun, leased, job.held_back)

    def is_held(self, lease: Lease) -> bool:
        """Whether this lease is the one that counts."""
        job = self.jobs.get(lease.job_id)
        return bool(job and job.status == JobStatus.RUNNING and self._is_last(job, lease))

    def _held(self, lease: Lease) -> ModelJob | None:
        """The job, if this lease is the one that counts."""
        if self.is_held(lease):
            return self.jobs[lease.job_id]
        self.counters["stale_writes"] += 1
        return None

    def _is_last(self, job: ModelJob, lease: Lease) -> bool:
        """Whether nobody claimed the job after this lease was given."""
        return (job.fence, job.claim) == (lease.fence, lease.claim)

    def renew(self, lease: Lease) -> Renewal:
        if not self.is_held(lease):
            return Renewal.LOST
        job = self.jobs[lease.job_id]
        assert job.deadline_at is not None
        job.lease_until = job.due = self.now + self.settings.lease_seconds
        return Renewal.OVERDUE if job.deadline_at < self.now else Renewal.HELD

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> list[str] | None:
        job = self._held(lease)
        if job is None:
            return None
        if job.checkpoints and job.checkpoints[0].key == checkpoint.key:
            return []
        others = [other for other in job.checkpoints if other.key != checkpoint.key]
        job.checkpoints = [checkpoint, *others][:CHECKPOINTS_KEPT]
        self.counters["checkpoints"] += 1
        self.counters["checkpoint_bytes"] += checkpoint.size_bytes
        return [other.key for other in others[CHECKPOINTS_KEPT - 1 :]]

    def resumed(self, lease: Lease, step: int) -> None:
        job = self.jobs[lease.job_id] if self.is_held(lease) else None
        if job and job.resumed != lease.token:
            job.resumed = lease.token
            self.counters["resumed"] += 1
            self._note(job, "resumed", job.fence, f"step {step}")

    def finish(self, lease: Lease, end: StoredOutput | JobError | None) -> bool:
        """With an output it succeeded, with an error it failed, with neither it was stopped."""
        match end:
            case StoredOutput():
                status = JobStatus.SUCCEEDED
            case JobError():
                status = JobStatus.FAILED
            case None:
                status = JobStatus.CANCELED
        known = self.jobs.get(lease.job_id)
        if known and known.status == status and self._is_last(known, lease):
            return True
        job = self._held(lease)
        if job is None:
            return False
        job.output = end if isinstance(end, StoredOutput) else None
        job.error = end if isinstance(end, JobError) else None
        self._end(job, status)
        return True

    def release(self, lease: Lease, unreachable: JobError | None) -> JobStatus | None:
        known = self.jobs.get(lease.job_id)
        if known and known.status != JobStatus.RUNNING and self._is_last(known, lease):
            return known.status
        job = self._held(lease)
        if job is None:
            return None
        if job.cancel_requested_at is not None:
            self._end(job, JobStatus.CANCELED)
            return JobStatus.CANCELED
        if unreachable:
            job.unreached = (job.unreached or 0) + 1
            if job.unreached >= self.settings.max_attempts:
                job.error = unreachable
                self._end(job, JobStatus.FAILED)
                return JobStatus.FAILED
        assert job.claimed_at is not None
        assert job.ran_seconds is not None
        self.counters["released"] += 1
        self._note(job, "released", job.fence, job.worker or "")
        job.status, job.worker = JobStatus.QUEUED, None
        job.lease_until = job.deadline_at = None
        job.ran_seconds += self.now - job.claimed_at
        job.attempt -= 1
        job.queued_at = job.due = self.now
        job.held_back = job.request.owner in self.running_limits
        self._call_up(job.request.owner)
        return JobStatus.QUEUED

    def take_due(self, limit: int) -> list[Due]:
        republish_seconds = self.settings.republish_seconds
        due_ones = [job_id for job_id in self.queue() if self.jobs[job_id].due is not None]
        for job_id in due_ones[:NEXT_JOBS]:
            due = self.jobs[job_id].due or 0
            self.jobs[job_id].due = min(due, self.now + republish_seconds)
        lost = self._first_due(self.look_after(JobStatus.RUNNING), limit)
        waiting = self._first_due(self.look_after(JobStatus.QUEUED), limit - len(lost))
        for job_id in lost:
            self.jobs[job_id].due = self.now + republish_seconds
        for job_id in waiting:
            job = self.jobs[job_id]
            assert job.queued_at is not None
            job.due = self.now + max(republish_seconds, self.now - job.queued_at)
        self.counters["republished"] += len(lost) + len(waiting)
        return [
            self._message(self.jobs[job_id], leased=job_id in lost) for job_id in (*lost, *waiting)
        ]

    def due_at_once(self, jobs: list[Due]) -> None:
        for due in jobs:
            job = self.jobs.get(due.job_id)
            if job and job.status == (JobStatus.RUNNING if due.leased else JobStatus.QUEUED):
                job.due = None if job.due is None else self.now

    def look_after(self, status: JobStatus) -> dict[str, float]:
        """Jobs in this status, and when somebody looks after them."""
        jobs = {job_id: job for job_id, job in self.jobs.items() if job.status == status}
        return {job_id: job.due for job_id, job in jobs.items() if job.due is not None}

    # -- webhooks -------------------------------------------------------------------------------

    def take_rows(self, limit: int) -> list[tuple[str, int]]:
        """With the number of the attempt that is to come."""
        rows = {job_id: job.webhook_due for job_id, job in self.jobs.items() if job.webhook_due}
        taken = self._first_due(rows, limit)
        for job_id in taken:
            self.jobs[job_id].webhook_due = self.now + SENDING_SECONDS
        return [(job_id, (self.jobs[job_id].webhook_attempts or 0) + 1) for job_id in taken]

    def webhook_sent(
        self, job_id: str, attempt: int, error: str | None, again: float | None
    ) -> None:
        job = self.jobs.get(job_id)
        if job is None or job.webhook_due is None or (job.webhook_attempts or 0) != attempt - 1:
            return
        job.webhook_attempts = attempt
        job.webhook_error = error
        job.webhook_due = None
        if error is None:
            job.webhook_delivered_at = self.now
            self.counters["webhooks_delivered"] += 1
        elif again is None:
            self.counters["webhooks_given_up"] += 1
        else:
            job.webhook_due = self.now + again
            self.counters["webhooks_failed"] += 1

    # -- garbage --------------------------------------------------------------------------------

    def uses(self) -> Counter[str]:
        """How many jobs use each input."""
        return Counter(digest for job in self.jobs.values() for digest in job.inputs)

    def touch_inputs(self, digests: list[str]) -> frozenset[str] | None:
        if any(digest in self.deleting for digest in digests):
            return None
        known = frozenset(digests) & (self.unused.keys() | self.uses().keys())
        for digest in digests:
            self._unused_since(digest, self.now + POSTING_SECONDS)
        return known

    def _unused_since(self, digest: str, since: float) -> None:
        self.unused[digest] = max(self.unused.get(digest, since), since)

    def take_unused_input(self, number: str) -> str | None:
        """`number` is that of the removal."""
        unused_seconds = self.settings.unused_input_seconds
        uses = self.uses()
        for since, digest in sorted((since, digest) for digest, since in self.unused.items()):
            if since > self.now - unused_seconds:
                break
            if not uses[digest]:
                self.deleting[digest] = (number, self.now + REMOVING_SECONDS)
                self.unused[digest] = self.now + REMOVING_SECONDS - unused_seconds
                return digest
            del self.unused[digest]
        return None

    def removed_input(self, removal: Removal) -> bool:
        number, _ = self.deleting.get(removal.digest, (None, None))
        if number != removal.number:
            return False
        del self.deleting[removal.digest]
        self.unused.pop(removal.digest, None)
        self.counters["inputs_removed"] += 1
        return True

    def found_inputs(self, digests: list[str]) -> int:
        uses = self.uses()
        unused = [digest for digest in digests if not uses[digest]]
        self.unused = dict.fromkeys(unused, self.now) | self.unused
        return len(unused)

    def expire_jobs(self, limit: int) -> int:
        kept = {job_id: job.expires_at for job_id, job in self.jobs.items() if job.expires_at}
        expired = self._first_due(kept, limit)
        for job_id in expired:
            self._forget(self.jobs[job_id], self.now)
        self.counters["expired"] += len(expired)
        return len(expired)

    def take_prefix(self) -> str | None:
        taken = self._first_due(self.garbage, 1)
        self.garbage |= dict.fromkeys(taken, self.now + STRAGGLER_SECONDS)
        return taken[0] if taken else None

    def found_empty(self, prefix: str) -> None:
        self.garbage.pop(prefix, None)

    def _first_due(self, rows: dict[str, float], limit: int) -> list[str]:
        due = sorted((at, name) for name, at in rows.items() if at <= self.now)
        return [name for _, name in due[:limit]]

    # -- parts ----------------------------------------------------------------------------------

    def _note(self, job: ModelJob, event: str, fence: int, detail: str = "") -> None:
        job.history.append(f"{self.now:.3f} {event} {fence} {detail}\n")
        while sum(map(len, job.history)) > MAX_HISTORY_BYTES:
            del job.history[1]

    def _observe(self, what: str, seconds: float) -> None:
        self.counters.update(f"{what}:{bound}" for bound in DURATION_BUCKETS if seconds <= bound)
        self.counters[f"{what}:count"] += 1
        self.counters[f"{what}:sum"] += seconds  # type: ignore[assignment]

    def _end(self, job: ModelJob, status: JobStatus) -> None:
        if job.started_at is not None:
            self.garbage[f"jobs/{job.request.id}/checkpoints/"] = self.now
        job.status, job.finished_at = status, self.now
        job.expires_at = self.now + self.settings.retention_seconds
        job.lease_until = job.deadline_at = None
        job.checkpoints = []
        if job.request.webhook:
            job.webhook_due = self.now
        if job.started_at is not None:
            self._observe("run_seconds", self.now - job.started_at)
        job.held_back = False
        if not any(other.request.owner == job.request.owner for other in self.unfinished()):
            self.running_limits.pop(job.request.owner, None)
        self._call_up(job.request.owner)
        code = job.error.code if job.error else ""
        self.counters[f"{status}:{code}" if code else status] += 1
        self._note(job, status, job.fence, code)

    def _forget(self, job: ModelJob, sweep_at: float) -> None:
        job_id, owner = job.request.id, job.request.owner
        del self.jobs[job_id]
        uses = self.uses()
        for digest in job.inputs:
            if not uses[digest]:
                self._unused_since(digest, self.now)
        self.previews.pop(job_id, None)
        self.garbage[f"jobs/{job_id}/"] = sweep_at
        self.gone[job_id] = (owner, self.now + math.ceil(self.settings.retention_seconds))

    # -- everything -----------------------------------------------------------------------------

    def database(self) -> Database:
        """Every key that is in Redis, with its value."""
        jobs = self.jobs
        rank = {priority: rank for rank, priority in enumerate(Priority)}
        expected: Database = {
            names.QUEUE: {i: rank[jobs[i].request.priority] for i in self.queue()},
            names.DUE: self.look_after(JobStatus.QUEUED),
            names.LEASES: self.look_after(JobStatus.RUNNING),
            names.EXPIRY: {i: job.expires_at for i, job in jobs.items() if job.expires_at},
            names.OUTBOX: {i: job.webhook_due for i, job in jobs.items() if job.webhook_due},
            names.GARBAGE: {**self.garbage},
            names.INPUT_USES: self.uses(),
            names.UNUSED_INPUTS: {**self.unused},
            names.COUNTERS: {what: times for what, times in self.counters.items() if times},
            names.STATUSES: Counter(job.status for job in jobs.values()),
            names.UNFINISHED: Counter(job.request.owner for job in self.unfinished()),
            names.RUNNING_LIMITS: {**self.running_limits},
        }
        for job_id, job in jobs.items():
            expected[names.record(job_id)] = job.hash()
            expected.setdefault(names.index(job.request.owner, job.status), {})[job_id] = 0
            if job.held_back:
                line = expected.setdefault(names.held_back(job.request.owner), {})
                line[job_id] = job.turn[0]
        for (owner, key), known in self.keys.items():
            expected[names.idempotency(owner, key)] = known.hash()
        for digest, (number, _) in self.deleting.items():
            expected[names.input_deleting(digest)] = number
        for job_id, (owner, _) in self.gone.items():
            expected[names.gone(job_id)] = owner
        for job_id in self.previews:
            expected[names.preview_wanted(job_id)] = "1"
        return {key: value for key, value in expected.items() if value}

    def kept_until(self) -> dict[str, float]:
        """Keys that Redis forgets by itself, and when."""
        return (
            {names.idempotency(*name): key.until for name, key in self.keys.items()}
            | {names.input_deleting(digest): at for digest, (_, at) in self.deleting.items()}
            | {names.gone(job_id): at for job_id, (_, at) in self.gone.items()}
            | {names.preview_wanted(job_id): at for job_id, at in self.previews.items()}
        )
