"""The routes under `/v1/jobs`."""

import contextlib
import hashlib
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import structlog
from flask import Response, make_response, redirect, request, url_for
from flask_openapi3 import APIBlueprint, Tag
from flask_openapi3.models import RawModel
from pydantic import BaseModel, ConfigDict, Field, field_validator
from redis.exceptions import RedisError

from api.acceptance import MAX_KEY_LENGTH, accept, check_webhook, fingerprint, once
from api.authentication import owner
from api.problems import problems
from api.services import Services, services
from api.uploads import read_upload
from api.views import present
from shared.errors import Conflict, Gone, ImpastoError, NotFound
from shared.idempotency import Ticket
from shared.jobs import (
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
from shared.storage import (
    STORAGE_ERRORS,
    ObjectMissing,
    Storage,
    input_key,
    job_prefix,
    preview_key,
)

POLL_AFTER_SECONDS = 1
MAX_ID_LENGTH = 64
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


class IdempotencyHeader(BaseModel):
    """By which a request is known when it is sent again."""

    key: str | None = Field(
        None,
        alias="Idempotency-Key",
        description="Makes it safe to send the request again: a key makes one job. Anything of"
        f" 1 to {MAX_KEY_LENGTH} printable ASCII characters that no other request has.",
    )


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


@blueprint.post("", responses={"202": Job, **problems(400, 409, 410, 413, 415, 422, 429)})
def create_job(raw: Upload, header: IdempotencyHeader) -> Response:
    """Accept a job: check the images and parameters, store them, wake a worker."""
    service = services()
    upload = read_upload(raw, service.settings)
    job = JobRequest(
        id=new_job_id(),
        owner=owner(),
        priority=upload.priority,
        params=upload.params,
        metadata=upload.metadata,
        inputs=upload.inputs,
        webhook=upload.webhook,
    )

    def accepted(ticket: Ticket | None) -> JobRequest:
        check_webhook(job.webhook, service.settings)  # only now: it asks the network
        accept(service, job, ticket, partial(_store, service.storage, upload.files))
        return job

    asked = job.model_dump(mode="json", exclude={"id", "owner"})
    return _accepted_response(service, once(service, header.key, fingerprint(asked), accepted))


@blueprint.get("", responses={"200": JobList, **problems(422)})
def list_jobs(query: ListQuery) -> Response:
    """List jobs, newest first."""
    service = services()
    # One more than asked for tells whether there is a next page.
    found = service.records.page(owner(), query.status, query.limit + 1, query.cursor)
    shown = found[: query.limit]
    progress = _progress(service, [record.id for record, _ in shown])
    jobs = [present(record, position, progress.get(record.id)) for record, position in shown]
    page = JobList(jobs=jobs, next_cursor=jobs[-1].id if jobs and len(found) > len(shown) else None)
    return Response(page.model_dump_json(), content_type="application/json")


@blueprint.get("/<job_id>", responses={"200": Job, **problems(404, 410)})
def get_job(path: JobPath) -> Response:
    """Say how a job is doing."""
    service = services()
    return _conditional(_job_response(service, *_find(service, path.job_id)))


@blueprint.delete("/<job_id>", responses={"204": None, **problems(404, 409, 410)})
def delete_job(path: JobPath) -> Response:
    """Remove a finished job and its files."""
    service = services()
    _find(service, path.job_id)
    deleted = service.records.delete(path.job_id)
    if deleted is None:  # somebody was quicker
        raise _no_job(service, path.job_id)
    if not deleted:
        raise Conflict("the job has not ended yet: cancel it first")
    try:
        service.storage.delete_prefix(job_prefix(path.job_id))
    except STORAGE_ERRORS as error:
        log.warning("left to the sweep", job_id=path.job_id, error=repr(error))
    return Response(status=204)


@blueprint.post("/<job_id>/cancel", responses={"200": Job, **problems(404, 409, 410)})
def cancel_job(path: JobPath) -> Response:
    """Cancel a job: at once while it waits, at its next step while it runs."""
    service = services()
    before, _ = _find(service, path.job_id)
    status = service.records.cancel(path.job_id)
    if status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise Conflict(f"the job has already {status}")
    record, position = _find(service, path.job_id)
    if record.end is not None and not before.status.is_terminal:
        # `impasto recover` should know of it, and the visitor need not wait for that.
        service.afterwards.later(partial(service.archive.write_end, record.id, record.end))
    return _job_response(service, record, position)


@blueprint.post("/<job_id>/retry", responses={"202": Job, **problems(400, 404, 409, 410, 422, 429)})
def retry_job(path: JobPath, header: IdempotencyHeader) -> Response:
    """Accept a new job like a finished one: the same images, parameters, metadata and webhook."""
    service = services()

    def accepted(ticket: Ticket | None) -> JobRequest:
        record, _ = _find(service, path.job_id)
        if not record.status.is_terminal:
            raise Conflict(f"the job is {record.status}: only a finished one can be tried again")
        job = JobRequest(
            **{name: getattr(record, name) for name in JobRequest.model_fields}
            | {"id": new_job_id(), "retried_from": record.id}
        )
        accept(service, job, ticket, partial(_require, service.storage, job.inputs))
        return job

    asked = {"retry": path.job_id}
    return _accepted_response(service, once(service, header.key, fingerprint(asked), accepted))


@blueprint.get(
    "/<job_id>/result",
    responses={
        "200": {"content": {"image/*": {}}},
        "303": {"description": "Where the picture lies"},
        **problems(404, 409, 410, 422),
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
    responses={"200": {"content": {"application/json": {}}}, **problems(404, 409, 410)},
)
def get_manifest(path: JobPath) -> Response:
    """Fetch what reproduces the picture: parameters, inputs, weights, versions, losses."""
    service = services()
    output = _output(_find(service, path.job_id)[0])
    manifest = service.storage.get(output.manifest_key)
    return Response(manifest, content_type="application/json")


@blueprint.get(
    "/<job_id>/preview", responses={"200": {"content": {PREVIEW_TYPE: {}}}, **problems(404, 410)}
)
def get_preview(path: JobPath) -> Response:
    """Fetch the newest preview. Asking keeps them coming for half a minute."""
    service = services()
    record, _ = _find(service, path.job_id)
    if record.status == JobStatus.RUNNING:
        with contextlib.suppress(RedisError):  # one that is full takes no wishes
            service.records.want_preview(path.job_id)
    try:
        preview = service.storage.get(preview_key(path.job_id))
    except ObjectMissing:
        raise NotFound("this job has no preview yet") from None
    response = Response(preview, content_type=PREVIEW_TYPE)
    response.set_etag(hashlib.sha256(preview).hexdigest())
    response.cache_control.no_cache = True
    return _conditional(response)


def _store(storage: Storage, files: list[bytes]) -> None:
    for data in files:
        storage.put_input(data)


def _require(storage: Storage, inputs: Inputs) -> None:
    """Whether the inputs of a job are still there."""
    digests = {inputs.content, *inputs.styles, *inputs.masks, inputs.init} - {None}
    if not all(storage.exists(input_key(str(digest))) for digest in digests):
        raise Gone("an image of this job is not kept any more: post the images again")


def _accepted_response(service: Services, accepted: JobRequest | str) -> Response:
    """202 with the job: as it is now, if its id is all that is known of it."""
    replayed = isinstance(accepted, str)
    job_id = accepted if isinstance(accepted, str) else accepted.id
    try:
        found = service.records.get(job_id)
    except RedisError:
        if isinstance(accepted, str):
            raise
        # It went away just now, but the job is accepted and need not be sent again.
        found = _as_created(accepted), None
    if found is None:
        raise _gone(job_id)
    response = _job_response(service, *found, status=202)
    response.headers["Location"] = url_for("jobs.get_job", job_id=job_id)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


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
    """A job of whoever asks. Others' jobs look as if there were none."""
    if not job_id.isascii() or not job_id.isprintable() or len(job_id) > MAX_ID_LENGTH:
        raise _unknown(job_id)
    found = service.records.get(job_id)
    if found is None:
        raise _no_job(service, job_id)
    if found[0].owner != owner():
        raise _unknown(job_id)
    return found


def _no_job(service: Services, job_id: str) -> ImpastoError:
    mine = service.records.owner_of_gone(job_id) == owner()
    return _gone(job_id) if mine else _unknown(job_id)


def _gone(job_id: str) -> Gone:
    return Gone(f"the job {job_id} was deleted, or kept as long as jobs are")


def _unknown(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id[:MAX_ID_LENGTH]!r}")


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
