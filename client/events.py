"""What a job's stream of events says."""

from dataclasses import dataclass

from httpx_sse import ServerSentEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from client.errors import ApiProblem
from shared.jobs import Job, Progress


@dataclass(frozen=True)
class StatusChanged:
    """Something other than the progress is new; at first, all there is to know."""

    id: str
    job: Job


@dataclass(frozen=True)
class Progressed:
    """The job has come further."""

    id: str
    progress: Progress | None


@dataclass(frozen=True)
class PreviewMade:
    """There is a preview of this step."""

    id: str
    step: int
    url: str


@dataclass(frozen=True)
class Completed:
    """The job has ended; nothing comes after this."""

    id: str
    job: Job


JobEvent = StatusChanged | Progressed | PreviewMade | Completed


class _Preview(BaseModel):
    step: int
    url: str


_progress: TypeAdapter[Progress | None] = TypeAdapter(Progress | None)


def read_event(sent: ServerSentEvent) -> JobEvent | None:
    """The event; None for a kind that this client does not know, and for a sign of life.

    Raises:
        ApiProblem: its data are not what such an event has.
    """
    try:
        match sent.event:
            case "status":
                return StatusChanged(sent.id, Job.model_validate_json(sent.data))
            case "progress":
                return Progressed(sent.id, _progress.validate_json(sent.data))
            case "preview":
                preview = _Preview.model_validate_json(sent.data)
                return PreviewMade(sent.id, preview.step, preview.url)
            case "completed":
                return Completed(sent.id, Job.model_validate_json(sent.data))
    except ValidationError:
        raise ApiProblem(
            200, "unknown", f"the event {sent.event!r} is not what Impasto sends"
        ) from None
    return None


def advanced(job: Job, event: JobEvent) -> Job:
    """The job after an event."""
    match event:
        case StatusChanged() | Completed():
            return event.job
        case Progressed():
            return job.model_copy(update={"progress": event.progress})
        case PreviewMade():
            return job
