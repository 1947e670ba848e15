"""Finding a job for whoever asks: their own, and no other."""

import structlog
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from api.authentication import owner
from api.services import Services
from api.views import present
from shared.errors import Conflict, Gone, ImpastoError, NotFound
from shared.jobs import Job, JobRecord, Progress, StoredOutput

MAX_ID_LENGTH = 64
log = structlog.get_logger(__name__)


class JobPath(BaseModel):
    """The job in a URL."""

    job_id: str = Field(description="Id of the job.")


def find(service: Services, job_id: str) -> tuple[JobRecord, int | None]:
    """A job of whoever asks, and its place in the queue.

    Raises:
        NotFound: there is none, or it is somebody else's, which looks the same.
        Gone: it was theirs, and is not kept any more.
    """
    if not job_id.isascii() or not job_id.isprintable() or len(job_id) > MAX_ID_LENGTH:
        raise _unknown(job_id)
    found = service.records.get(job_id)
    if found is None:
        raise no_job(service, job_id)
    if found[0].owner != owner():
        raise _unknown(job_id)
    return found


def no_job(service: Services, job_id: str) -> ImpastoError:
    """Why there is no such job."""
    mine = service.records.owner_of_gone(job_id) == owner()
    return gone(job_id) if mine else _unknown(job_id)


def gone(job_id: str) -> Gone:
    """It was there."""
    return Gone(f"the job {job_id} was deleted, or kept as long as jobs are")


def output(record: JobRecord) -> StoredOutput:
    """What a job has made. Raises `Conflict` if there is nothing."""
    if record.output is None:
        raise Conflict(f"the job is {record.status}: it has no result")
    return record.output


def view(service: Services, record: JobRecord, queue_position: int | None) -> Job:
    """The job as clients see it, with its progress."""
    progress = None
    if record.started_at is not None:
        progress = read_progress(service, [record.id]).get(record.id)
    return present(record, queue_position, progress)


def read_progress(service: Services, job_ids: list[str]) -> dict[str, Progress]:
    """Progress may lie on a Redis of its own; without it the truth is still worth telling."""
    try:
        return service.progress.read(job_ids)
    except RedisError as error:
        log.warning("progress not read", error=repr(error))
        return {}


def _unknown(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id[:MAX_ID_LENGTH]!r}")
