"""The routes under `/v1/jobs`."""

import json
import re
import time
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated

import structlog
from flask import Response, request, url_for
from flask_openapi3 import APIBlueprint, Tag
from flask_openapi3.models import RawModel
from pydantic import BaseModel, ConfigDict, Field, field_validator
from redis.exceptions import RedisError

from api.acceptance import MAX_KEY_LENGTH, accept, check_webhook, fingerprint, once
from api.answers import answer, not_modified
from api.authentication import owner
from api.display import Shown
from api.lookup import JobPath, RequestHeader, find, gone, look, no_job
from api.problems import problems
from api.services import Services, services
from api.uploads import Image, read_upload
from api.views import JOBS_PATH
from shared.errors import Conflict, Gone, TooMany, Unavailable
from shared.idempotency import Ticket
from shared.jobs import Inputs, Job, JobList, JobRecord, JobRequest, JobStatus
from shared.records import new_job_id
from shared.storage import STORAGE_ERRORS, Storage, input_key, job_prefix

POLL_AFTER_SECONDS = 1
MAX_WAIT_SECONDS = 60
LINKS = (
    "get_job",
    "follow_job",
    "cancel_job",
    "retry_job",
    "delete_job",
    "get_preview",
    "get_losses",
    "get_result",
    "get_manifest",
)
ACCEPTED, RETRIED = (
    answer(
        "The job, accepted: it waits for a worker, or with `Prefer: wait=N` may have ended",
        Job,
        headers=(
            "Location",
            "Retry-After",
            "ETag",
            "Cache-Control",
            "Idempotent-Replayed",
            "Preference-Applied",
        ),
        examples=(example, "succeeded"),
        links=LINKS,
    )
    for example in ("queued", "retried")
)
log = structlog.get_logger(__name__)


blueprint = APIBlueprint(
    "jobs",
    __name__,
    url_prefix=JOBS_PATH,
    abp_tags=[Tag(name="jobs", description="Paint pictures")],
)


class CreationHeader(RequestHeader):
    """How to make a job."""

    key: str | None = Field(
        None,
        alias="Idempotency-Key",
        description="Makes it safe to send the request again: a key makes one job. Anything of"
        f" 1 to {MAX_KEY_LENGTH} printable ASCII characters that no other request has.",
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_KEY_LENGTH,
            "pattern": "^[ -~]+$",
        },
    )
    prefer: str | None = Field(
        None,
        alias="Prefer",
        description=f"`wait=N`: answer when the job has ended, after N s at the latest, and"
        f" {MAX_WAIT_SECONDS} at most (RFC 7240).",
    )

    @property
    def wait_seconds(self) -> int:
        """For how long the client would wait; 0 if it would not."""
        asked = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})", self.prefer or "", re.IGNORECASE)
        return min(int(asked[1]), MAX_WAIT_SECONDS) if asked else 0


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


@blueprint.post(
    "",
    responses={"202": ACCEPTED, **problems(400, 403, 409, 410, 413, 415, 422)},
)
def create_job(raw: Upload, header: CreationHeader) -> Response:
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
        accept(service, job, ticket, partial(_store, service.storage, upload.images))
        return job

    asked = job.model_dump(mode="json", exclude={"id", "owner"})
    made = once(service, header.key, fingerprint(asked), accepted)
    request.close()  # the images lie in S3 now: whoever waits does not keep them on our disk
    return _accepted_response(service, made, header.wait_seconds)


@blueprint.get(
    "",
    responses={
        "200": answer("A page of them", JobList, examples=("page",)),
        **problems(422),
    },
)
def list_jobs(query: ListQuery) -> Response:
    """List jobs, newest first."""
    service = services()
    # One more than asked for tells whether there is a next page.
    found = service.records.page(owner(), query.status, query.limit + 1, query.cursor)
    page = found[: query.limit]
    jobs = ",".join(shown.json for shown in service.display.show_many(page).values())
    next_cursor = json.dumps(page[-1] if len(found) > len(page) else None)
    body = f'{{"jobs":[{jobs}],"next_cursor":{next_cursor}}}'
    return Response(body, content_type="application/json")


@blueprint.get(
    "/<job_id>",
    responses={
        "200": answer(
            "The job; `Retry-After` as long as it has not ended",
            Job,
            headers=("ETag", "Cache-Control", "Retry-After"),
            examples=("queued", "running", "succeeded", "failed", "canceled"),
            links=LINKS,
        ),
        "304": not_modified("Cache-Control", "Retry-After"),
        **problems(404, 410),
    },
)
def get_job(path: JobPath) -> Response:
    """Say how a job is doing."""
    job = look(services(), path.job_id)
    if request.if_none_match.contains_weak(job.etag):
        return _job_response(job, "", HTTPStatus.NOT_MODIFIED)
    return _job_response(job, job.json)


@blueprint.delete(
    "/<job_id>",
    responses={"204": answer("It is forgotten"), **problems(404, 409, 410)},
)
def delete_job(path: JobPath) -> Response:
    """Remove a finished job and its files."""
    service = services()
    find(service, path.job_id)
    deleted = service.records.delete(path.job_id)
    if deleted is None:  # somebody was quicker
        raise no_job(service, path.job_id)
    if not deleted:
        raise Conflict("the job has not ended yet: cancel it first")
    try:
        service.storage.delete_prefix(job_prefix(path.job_id))
    except STORAGE_ERRORS as error:
        log.warning("left to the sweep", job_id=path.job_id, error=repr(error))
    return Response(status=204)


@blueprint.post(
    "/<job_id>/cancel",
    responses={
        "200": answer(
            "The job: it has ended, or will at its next step",
            Job,
            headers=("ETag", "Cache-Control", "Retry-After"),
            examples=("canceled", "running"),
        ),
        **problems(404, 409, 410),
    },
)
def cancel_job(path: JobPath) -> Response:
    """Cancel a job: at once while it waits, at its next step while it runs."""
    service = services()
    before = look(service, path.job_id)
    status = service.records.cancel(path.job_id)
    if status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise Conflict(f"the job has already {status}")
    job = look(service, path.job_id)
    if job.status.is_terminal and not before.status.is_terminal:
        # `impasto recover` should know of it, and the visitor need not wait for that.
        service.afterwards.later(partial(_archive_end, service, job.id))
    return _job_response(job, job.json)


@blueprint.post(
    "/<job_id>/retry",
    responses={"202": RETRIED, **problems(400, 403, 404, 409, 410, 422)},
)
def retry_job(path: JobPath, header: CreationHeader) -> Response:
    """Accept a new job like a finished one: the same images, parameters, metadata and webhook."""
    service = services()

    def accepted(ticket: Ticket | None) -> JobRequest:
        record, _ = find(service, path.job_id)
        if not record.status.is_terminal:
            raise Conflict(f"the job is {record.status}: only a finished one can be tried again")
        job = JobRequest(
            **{name: getattr(record, name) for name in JobRequest.model_fields}
            | {"id": new_job_id(), "retried_from": record.id}
        )
        accept(service, job, ticket, partial(_require, service.storage, job.inputs))
        return job

    asked = {"retry": path.job_id}
    made = once(service, header.key, fingerprint(asked), accepted)
    return _accepted_response(service, made, header.wait_seconds)


def _store(storage: Storage, images: list[Image], known: frozenset[str]) -> None:
    for sha256, image in {image.sha256: image for image in images}.items():
        storage.put_input(image.file, sha256, may_be_there=sha256 in known)


def _archive_end(service: Services, job_id: str) -> None:
    found = service.records.get(job_id)
    if found is not None and found[0].end is not None:
        service.archive.write_end(job_id, found[0].end)


def _require(storage: Storage, inputs: Inputs, _: frozenset[str]) -> None:
    """Whether the inputs of a job are still there, also those that Redis knows nothing of."""
    if not all(storage.exists(input_key(digest)) for digest in inputs.digests):
        raise Gone("an image of this job is not kept any more: post the images again")


def _accepted_response(
    service: Services, accepted: JobRequest | str, wait_seconds: int
) -> Response:
    """202 with the job: as it is now, if its id is all that is known of it."""
    replayed = isinstance(accepted, str)
    job_id = accepted if isinstance(accepted, str) else accepted.id
    waited = wait_seconds > 0 and _wait_for_the_end(service, job_id, wait_seconds)
    try:
        job = service.display.show(job_id)
    except RedisError:
        if isinstance(accepted, str):
            raise
        # It went away just now, but the job is accepted and need not be sent again.
        job = Shown.of(_as_created(accepted), None, None)
    if job is None:
        raise gone(job_id)
    response = _job_response(job, job.json, HTTPStatus.ACCEPTED)
    response.headers["Location"] = url_for("jobs.get_job", job_id=job_id)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if waited:
        response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    return response


def _wait_for_the_end(service: Services, job_id: str, seconds: int) -> bool:
    """Wait until a job has ended, or for so long. False: too many wait already."""
    until = time.monotonic() + seconds
    try:
        with service.watching.watch(job_id, owner()) as watch:
            while not watch.is_over and (left := until - time.monotonic()) > 0:
                job = watch.news(left)
                if job is not None and job.status.is_terminal:
                    break
    except (Unavailable, TooMany):  # a preference, not a condition
        return False
    return True


def _as_created(job: JobRequest) -> JobRecord:
    return JobRecord(**dict(job), status=JobStatus.QUEUED, created_at=datetime.now(UTC))


def _job_response(job: Shown, body: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = [("ETag", f'"{job.etag}"'), ("Cache-Control", "private, no-cache")]
    if not job.status.is_terminal:
        headers.append(("Retry-After", str(POLL_AFTER_SECONDS)))
    return Response(body, status, headers, content_type="application/json")
