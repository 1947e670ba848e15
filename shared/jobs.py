"""The job: its states, its record (the truth, kept in Redis), and how it is shown to a client."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from shared.parameters import Parameters

ANONYMOUS = "anonymous"  # whose the jobs are that came without an API key


class JobStatus(StrEnum):
    """Where a job is. It ends in one of the last three, and stays there."""

    QUEUED = "queued"  # accepted, waits for a worker
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"  # the record names the result
    FAILED = "failed"  # the record says why
    CANCELED = "canceled"  # stopped because somebody asked for it

    @property
    def is_terminal(self) -> bool:
        """Whether the job has come to its end."""
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED})


class Priority(StrEnum):
    """Each is a queue of its own; workers empty the higher ones first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ErrorCode(StrEnum):
    """Why a job failed."""

    DIVERGED = "diverged"  # the loss became infinite or NaN
    OUT_OF_MEMORY = "out_of_memory"  # the device is too small for this size
    DEADLINE_EXCEEDED = "deadline_exceeded"  # the job ran longer than it was allowed to
    MAX_ATTEMPTS = "max_attempts"  # it took too many workers down with it
    STORAGE = "storage"  # an input is gone, or the result could not be stored
    INVALID_INPUT = "invalid_input"  # the images and parameters do not go together
    INTERNAL = "internal"  # a bug; the worker's log has the traceback


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Losses(_Model):
    """Weighted losses of one iterate; `total` is what is minimised."""

    content: float
    style: float
    tv: float
    total: float


class LossCurve(_Model):
    """How the losses of a job fell, in columns of the same length."""

    step: list[int] = Field(description="Steps at which they were read, evenly thinned.")
    content: list[float]
    style: list[float]
    tv: list[float]
    total: list[float]

    @classmethod
    def of(cls, samples: Sequence[tuple[int, Losses]]) -> Self:
        """The columns of these rows."""
        columns = {
            name: [getattr(losses, name) for _, losses in samples] for name in Losses.model_fields
        }
        return cls(step=[step for step, _ in samples], **columns)

    def samples(self) -> Iterator[tuple[int, Losses]]:
        """The rows."""
        rows = zip(*(getattr(self, name) for name in Losses.model_fields), strict=True)
        for step, row in zip(self.step, rows, strict=True):
            yield step, Losses(**dict(zip(Losses.model_fields, row, strict=True)))


class Progress(_Model):
    """How far a running job has come. Lives in Celery's task state and nowhere else."""

    step: int = Field(description="Optimiser steps done, over all levels.")
    total_steps: int = Field(description="Optimiser steps in all.")
    fraction: float = Field(ge=0, le=1, description="Share of the steps that are done.")
    level: int = Field(description="Level of the pyramid, from 1, coarsest first.")
    width_px: int = Field(description="Width of the picture at this level, px.")
    height_px: int = Field(description="Height of the picture at this level, px.")
    losses: Losses | None = Field(description="Losses of the newest iterate.")
    steps_per_second: float | None = Field(description="Speed at this level.")
    eta_seconds: float | None = Field(description="Estimated time to the end, s.")
    previews: list[int] = Field(
        [], description="Steps of which there is a preview, oldest first: `preview?step=`."
    )


class Output(_Model):
    """The finished picture."""

    content_type: str
    width_px: int
    height_px: int
    size_bytes: int
    sha256: str


class JobError(_Model):
    """Why a job failed."""

    code: ErrorCode
    message: str


class StoredOutput(Output):
    """The finished picture and where it lies in S3; the keys are not shown to clients."""

    result_key: str
    manifest_key: str


class Inputs(_Model):
    """SHA-256 of the input files, which is also how they are found in S3."""

    content: str | None = Field(description="The content image; null for a texture.")
    styles: list[str] = Field(description="The style images; none for a reconstruction.")
    masks: list[str] = Field([], description="Where each style applies; none: everywhere.")
    init: str | None = Field(None, description="What the run started from, with init=image.")

    @property
    def digests(self) -> list[str]:
        """All of them, each once."""
        all_of_them = (self.content, *self.styles, *self.masks, self.init)
        return list(dict.fromkeys(each for each in all_of_them if each is not None))


class Idempotency(_Model):
    """A key that came with a request, and that request; both as SHA-256."""

    key_sha256: str
    request_sha256: str


class JobRequest(_Model):
    """What was asked for. Written once, into S3 and into the record, and never changed."""

    id: str
    owner: str = Field(ANONYMOUS, description="Id of the API key that asked for it.")
    priority: Priority = Priority.NORMAL
    params: Parameters
    metadata: dict[str, Any] = {}
    inputs: Inputs
    webhook: str | None = Field(None, description="URL that is told of the end.")
    retried_from: str | None = Field(None, description="The job that this one repeats.")


class StoredRequest(JobRequest):
    """What lies in S3, from which `impasto recover` writes the record again."""

    created_at: Timestamp
    idempotency: Idempotency | None


class JobEnd(_Model):
    """How a job ended; lies in S3 beside what was asked for."""

    status: JobStatus
    started_at: Timestamp | None = None
    finished_at: Timestamp
    output: StoredOutput | None
    error: JobError | None


class Checkpoint(_Model):
    """A saved state of the engine in S3."""

    key: str
    sha256: str
    size_bytes: int
    step: int = Field(description="Steps that were done.")


class Event(_Model):
    """A line of a job's history."""

    at: Timestamp
    event: str = Field(description="created, claimed, resumed, lost, released, succeeded, ...")
    fence: int = Field(description="Which claim of the job it belongs to; only grows.")
    detail: str = Field(description="The worker, the step, or the code of the error.")


class JobRecord(JobRequest):
    """Everything that is known of a job, except its progress."""

    status: JobStatus
    created_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    cancel_requested_at: Timestamp | None = None
    attempt: int = 0
    fence: int = 0
    worker: str | None = None
    checkpoints: list[Checkpoint] = Field([], description="Newest first.")
    output: StoredOutput | None = None
    error: JobError | None = None
    webhook_attempts: int = 0
    webhook_delivered_at: Timestamp | None = None
    webhook_error: str | None = None
    history: list[Event] = []

    @property
    def end(self) -> JobEnd | None:
        """How it ended, once it has."""
        if self.finished_at is None:
            return None
        return JobEnd(
            status=self.status,
            started_at=self.started_at,
            finished_at=self.finished_at,
            output=self.output,
            error=self.error,
        )


class Metrics(_Model):
    """How long a job waited and ran, s."""

    queue_seconds: float | None
    run_seconds: float | None


class Webhook(_Model):
    """Who is told of the end, and whether that has worked."""

    url: str
    attempts: int = Field(description="How often it was tried.")
    delivered_at: Timestamp | None = Field(description="When the receiver took it.")
    error: str | None = Field(description="Why it did not, the last time.")


class HistoryEntry(_Model):
    """Something that happened to a job."""

    at: Timestamp
    event: str = Field(description="created, claimed, resumed, lost, released, succeeded, ...")
    detail: str = Field(description="The step, or the code of the error; often empty.")


class Urls(_Model):
    """Where a client finds the rest."""

    self: str
    cancel: str
    retry: str
    delete: str
    events: str
    preview: str
    losses: str
    result: str
    manifest: str


class Job(_Model):
    """A job as clients see it."""

    id: str
    status: JobStatus
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at: Timestamp | None
    cancel_requested_at: Timestamp | None
    attempt: int = Field(
        description="How many workers have begun this job, without those that gave it back."
    )
    retried_from: str | None = Field(description="The job that this one repeats.")
    priority: Priority
    queue_position: int | None = Field(
        description="Jobs before this one, while it is queued. Those of a key at its limit may be"
        " overtaken."
    )
    params: Parameters
    metadata: dict[str, Any]
    inputs: Inputs
    progress: Progress | None
    output: Output | None
    error: JobError | None
    webhook: Webhook | None
    history: list[HistoryEntry] = Field(description="What happened to the job, newest last.")
    metrics: Metrics
    urls: Urls


class JobList(_Model):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None = Field(
        description="Pass as `cursor` for the next page; null at the end."
    )
