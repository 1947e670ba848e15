"""The routes under `/v1/jobs`."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated

import structlog
from flask import Response, make_response, redirect, request, url_for
from flask_openapi3 import APIBlueprint, Tag
from flask_openapi3.models import RawModel
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, Field, field_validator
from redis.exceptions import RedisError

from api.problems import problems
from api.services import Services, services
from api.uploads import Upload as CheckedUpload
from api.uploads import read_upload
from api.views import present
from shared.errors import Conflict, NotFound, Unavailable
from shared.jobs import (
    ANONYMOUS,
    Inputs,
    Job,
    JobList,
    JobRecord,
    JobRequest,
    JobStatus,
    Progress,
    StoredOutput,
)
from shared.records import new_job_id
from shared.settings import Settings
from shared.storage import ObjectMissing, Storage, preview_key

POLL_AFTER_SECONDS = 1
PREVIEW_TYPE = "image/jpeg"
log = structlog.get_logger(__name__)


blueprint = APIBlueprint(
    "jobs",
    __name__,
    url_prefix="/v1/jobs",
    abp_tags=[Tag(name="jobs", description="Paint pictures")],
    abp_responses=problems(503),
)


class JobPath(BaseModel):
    """The job in a URL."""

    job_id: str = Field(description="Id of the job.")


class ResultQuery(BaseModel):
    """How to get the bytes."""

    proxy: bool = Field(False, description="Send it through the API instead of redirecting to S3.")


class ListQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    status: frozenset[JobStatus] = Field(
        frozenset(JobStatus), description="Only these statuses, separated by commas."
    )
    limit: Annotated[int, Field(ge=1, le=100, description="Most jobs to return.")] = 20
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")

    @field_validator("status", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        parts = value if isinstance(value, list) else [value]
        return {word for part in parts for word in str(part).split(",")}


class Upload(RawModel):
    """The body is read by `api.uploads`."""

    mimetypes = ["multipart/form-data"]  # noqa: RUF012 - how flask-openapi3 declares it


@blueprint.post("", responses={"202": Job, **problems(400, 413, 415, 422)})
def create_job(raw: Upload) -> Response:
    """Accept a job: check the images and parameters, store them, wake a worker."""
    service = services()
    upload = read_upload(raw, service.settings)
    if service.records.queue_is_full():  # before the images are stored
        raise _queue_full(service.settings)
    inputs = _store(service.storage, upload)
    job = JobRequest(
        id=new_job_id(),
        priority=upload.priority,
        params=upload.params,
        metadata=upload.metadata,
        inputs=inputs,
    )
    job_id = job.id
    if service.records.create(job) is not None:
        raise _queue_full(service.settings)
    try:
        service.publisher.publish(job_id, upload.priority)
    except (OperationalError, RedisError, OSError) as error:
        # The job is accepted: its record stands, and the reconciler publishes it.
        log.warning("publishing failed", job_id=job_id, error=repr(error))
    log.info("job accepted", job_id=job_id)
    try:
        record, position = _find(service, job_id)
    except RedisError:  # it went away just now, but the job is accepted and may not be sent again
        record, position = _as_created(job), None
    response = _job_response(service, record, position, status=202)
    response.headers["Location"] = url_for("jobs.get_job", job_id=job_id)
    return response


@blueprint.get("", responses={"200": JobList, **problems(422)})
def list_jobs(query: ListQuery) -> Response:
    """List jobs, newest first."""
    service = services()
    # One more than asked for tells whether there is a next page.
    found = service.records.page(ANONYMOUS, query.status, query.limit + 1, query.cursor)
    shown = found[: query.limit]
    progress = _progress(service, [record.id for record, _ in shown])
    jobs = [present(record, position, progress.get(record.id)) for record, position in shown]
    page = JobList(jobs=jobs, next_cursor=jobs[-1].id if jobs and len(found) > len(shown) else None)
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.get("/<job_id>", responses={"200": Job, **problems(404)})
def get_job(path: JobPath) -> Response:
    """Say how a job is doing."""
    service = services()
    return _conditional(_job_response(service, *_find(service, path.job_id)))


@blueprint.post("/<job_id>/cancel", responses={"200": Job, **problems(404, 409)})
def cancel_job(path: JobPath) -> Response:
    """Cancel a job: at once while it waits, at its next step while it runs."""
    service = services()
    status = service.records.cancel(_known_id(path.job_id))
    if status is None:
        raise _no_job(path.job_id)
    if status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise Conflict(f"the job has already {status}")
    return _job_response(service, *_find(service, path.job_id))


@blueprint.get(
    "/<job_id>/result",
    responses={
        "200": {"content": {"image/*": {}}},
        "303": {"description": "Where the picture lies"},
        **problems(404, 409, 422),
    },
)
def get_result(path: JobPath, query: ResultQuery) -> Response:
    """Fetch the finished picture: from S3, or through the API."""
    service = services()
    output = _output(_find(service, path.job_id)[0])
    filename = f"{path.job_id}.{output.result_key.rsplit('.', 1)[-1]}"
    if not query.proxy:
        url = service.storage.presigned_url(output.result_key, filename)
        return make_response(redirect(url, code=303))
    response = Response(service.storage.get(output.result_key), content_type=output.content_type)
    response.headers["Content-Disposition"] = f'inline; filename="{filename}"'
    response.set_etag(output.sha256)
    return _conditional(response)


@blueprint.get(
    "/<job_id>/manifest",
    responses={"200": {"content": {"application/json": {}}}, **problems(404, 409)},
)
def get_manifest(path: JobPath) -> Response:
    """Fetch what reproduces the picture: parameters, inputs, weights, versions, losses."""
    service = services()
    output = _output(_find(service, path.job_id)[0])
    manifest = service.storage.get(output.manifest_key)
    return Response(manifest, content_type="application/json")


@blueprint.get(
    "/<job_id>/preview", responses={"200": {"content": {PREVIEW_TYPE: {}}}, **problems(404)}
)
def get_preview(path: JobPath) -> Response:
    """Fetch the newest preview. Asking keeps them coming for half a minute."""
    service = services()
    record, _ = _find(service, path.job_id)
    if record.status == JobStatus.RUNNING:
        service.records.want_preview(path.job_id)
    try:
        preview = service.storage.get(preview_key(path.job_id))
    except ObjectMissing:
        raise NotFound("this job has no preview yet") from None
    response = Response(preview, content_type=PREVIEW_TYPE)
    response.set_etag(hashlib.sha256(preview).hexdigest())
    response.cache_control.no_cache = True
    return _conditional(response)


def _store(storage: Storage, upload: CheckedUpload) -> Inputs:
    put = storage.put_input
    return Inputs(
        content=None if upload.content is None else put(upload.content),
        styles=[put(style) for style in upload.styles],
        masks=[put(mask) for mask in upload.masks],
        init=None if upload.init is None else put(upload.init),
    )


def _conditional(response: Response) -> Response:
    """304 without a body when the client has it already."""
    response.make_conditional(request)
    return response


def _as_created(job: JobRequest) -> JobRecord:
    return JobRecord(**dict(job), status=JobStatus.QUEUED, created_at=datetime.now(UTC))


def _progress(service: Services, job_ids: list[str]) -> dict[str, Progress]:
    """Progress may lie on a Redis of its own; without it the truth is still worth telling."""
    try:
        return service.progress.read(job_ids)
    except RedisError as error:
        log.warning("progress not read", error=repr(error))
        return {}


def _find(service: Services, job_id: str) -> tuple[JobRecord, int | None]:
    found = service.records.get(_known_id(job_id))
    if found is None:
        raise _no_job(job_id)
    return found


def _known_id(job_id: str) -> str:
    if not job_id.isascii() or not job_id.isprintable() or len(job_id) > 64:
        raise _no_job(job_id)
    return job_id


def _no_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id[:64]!r}")


def _queue_full(settings: Settings) -> Unavailable:
    return Unavailable(f"the queue is full: {settings.max_queued_jobs:,} jobs wait")


def _output(record: JobRecord) -> StoredOutput:
    if record.output is None:
        raise Conflict(f"the job is {record.status}: it has no result")
    return record.output


def _job_response(
    service: Services, record: JobRecord, queue_position: int | None, status: int = 200
) -> Response:
    progress = None
    if record.started_at is not None:
        progress = _progress(service, [record.id]).get(record.id)
    job = present(record, queue_position, progress)
    response = Response(job.model_dump_json(), status, content_type="application/json")
    response.add_etag()
    response.cache_control.no_cache = True
    if not record.status.is_terminal:
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    return response
