"""Finding a job for whoever asks: their own, and no other."""

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import BaseModel, Field

from api.authentication import owner
from api.display import Shown
from api.services import Services
from shared.errors import Conflict, Gone, ImpastoError, NotFound
from shared.jobs import JobRecord, StoredOutput

MAX_ID_LENGTH = 64


class JobPath(BaseModel):
    """The job in a URL."""

    job_id: str = Field(description="Id of the job.")


class RequestHeader(BaseModel):
    """Headers that a route reads."""

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """As pydantic makes it, but once: flask-openapi3 asks for it at every request."""
        return _schema(super().model_json_schema, *args, **options)


@cache
def _schema(make: Callable[..., dict[str, Any]], *args: Any, **options: Any) -> dict[str, Any]:
    return make(*args, **options)


def find(service: Services, job_id: str) -> tuple[JobRecord, int | None]:
    """A job of whoever asks, and its place in the queue.

    Raises:
        NotFound: there is none, or it is somebody else's, which looks the same.
        Gone: it was theirs, and is not kept any more.
    """
    _check(job_id)
    found = service.records.get(job_id)
    if found is None:
        raise no_job(service, job_id)
    _check_owner(job_id, found[0].owner)
    return found


def look(service: Services, job_id: str) -> Shown:
    """A job of whoever asks, as it is shown; one round trip. Raises as `find`."""
    _check(job_id)
    shown = service.display.show(job_id)
    if shown is None:
        raise no_job(service, job_id)
    _check_owner(job_id, shown.owner)
    return shown


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


def _check(job_id: str) -> None:
    if not job_id.isascii() or not job_id.isprintable() or len(job_id) > MAX_ID_LENGTH:
        raise _unknown(job_id)


def _check_owner(job_id: str, owner_of_job: str) -> None:
    if owner_of_job != owner():
        raise _unknown(job_id)


def _unknown(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id[:MAX_ID_LENGTH]!r}")
