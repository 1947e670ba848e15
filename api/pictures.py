"""The routes that give pictures: the result and what reproduces it, previews, and the inputs."""

import contextlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from flask import Response, make_response, redirect, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from api.answers import answer, media, not_modified
from api.lookup import JobPath, find, look, output
from api.problems import problems
from api.services import services
from api.views import JOBS_PATH
from shared.errors import NotFound
from shared.images import CONTENT_TYPES
from shared.jobs import JobStatus, LossCurve
from shared.storage import Download, ObjectMissing, input_key, losses_key, preview_key

PREVIEW_TYPE = "image/jpeg"
# How the files begin that are taken as images.
BEGINNINGS = {b"\xff\xd8": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
OTHERWISE = "image/tiff"
FOR_EVER_SECONDS = 31_536_000
MAX_STEP = 10**9  # no run has so many

blueprint = APIBlueprint(
    "pictures",
    __name__,
    url_prefix=JOBS_PATH,
    abp_tags=[Tag(name="pictures", description="Fetch what was painted, and from what")],
)


class InputPath(JobPath):
    """An image that a job was made from."""

    sha256: str = Field(description="One of the job's `inputs`.")


class ResultQuery(BaseModel):
    """How to get the bytes."""

    proxy: bool = Field(False, description="Send it through the API instead of redirecting to S3.")


class PreviewQuery(BaseModel):
    """Which preview."""

    step: Annotated[int, Field(ge=0, le=MAX_STEP)] | None = Field(
        None, description="One of the steps in `progress.previews`; the newest when left out."
    )


@blueprint.get(
    "/<job_id>/result",
    responses={
        "200": media(
            "The picture, with `proxy`",
            *CONTENT_TYPES.values(),
            headers=("Content-Disposition", "ETag", "Cache-Control"),
        ),
        "303": answer("Where the picture lies, for a while", headers=("Location",)),
        "304": not_modified("Cache-Control", "Content-Disposition"),
        **problems(404, 409, 410, 422),
    },
)
def get_result(path: JobPath, query: ResultQuery) -> Response:
    """Fetch the finished picture: from S3, or through the API."""
    service = services()
    found = output(find(service, path.job_id)[0])
    filename = f"{path.job_id}.{found.result_key.rsplit('.', 1)[-1]}"
    if not query.proxy:
        url = service.storage.presigned_url(found.result_key, filename)
        return make_response(redirect(url, code=303))

    def fetch() -> Response:
        return _streamed(service.storage.download(found.result_key), found.content_type)

    response = _never_changing(found.sha256, fetch)
    response.headers["Content-Disposition"] = f'inline; filename="{filename}"'
    return response


@blueprint.get(
    "/<job_id>/manifest",
    responses={
        "200": answer("It, as the worker wrote it", "Manifest", examples=("manifest",)),
        **problems(404, 409, 410),
    },
)
def get_manifest(path: JobPath) -> Response:
    """Fetch what reproduces the picture: parameters, inputs, weights, versions, losses."""
    service = services()
    manifest = service.storage.get(output(find(service, path.job_id)[0]).manifest_key)
    return Response(manifest, content_type="application/json")


@blueprint.get(
    "/<job_id>/preview",
    responses={
        "200": media("The picture at that step", PREVIEW_TYPE, headers=("ETag", "Cache-Control")),
        "304": not_modified("Cache-Control"),
        **problems(404, 410, 422),
    },
)
def get_preview(path: JobPath, query: PreviewQuery) -> Response:
    """Fetch a preview. Asking keeps new ones coming for half a minute."""
    service = services()
    job = look(service, path.job_id)
    if job.status == JobStatus.RUNNING:
        with contextlib.suppress(RedisError):  # one that is full takes no wishes
            service.records.want_preview(path.job_id)
    step = query.step
    if step is None:
        if job.progress is None or not job.progress.previews:
            raise NotFound("this job has no preview yet")
        step = job.progress.previews[-1]

    def fetch() -> Response:
        return Response(
            service.storage.get(preview_key(path.job_id, step)), content_type=PREVIEW_TYPE
        )

    if query.step is not None:
        return _never_changing(f"{path.job_id}-{step}", fetch)
    response = fetch()
    response.add_etag()
    response.cache_control.no_cache = True
    response.make_conditional(request)
    return response


@blueprint.get(
    "/<job_id>/losses",
    responses={
        "200": answer("They, until the newest preview", LossCurve, examples=("losses",)),
        **problems(404, 410),
    },
)
def get_losses(path: JobPath) -> Response:
    """Fetch how the losses fell; they are kept from the first preview on."""
    service = services()
    find(service, path.job_id)
    try:
        curve = service.storage.get(losses_key(path.job_id))
    except ObjectMissing:
        raise NotFound("no losses of this job are kept yet") from None
    return Response(curve, content_type="application/json")


@blueprint.get(
    "/<job_id>/inputs/<sha256>",
    responses={
        "200": media(
            "It, as it was posted", *CONTENT_TYPES.values(), headers=("ETag", "Cache-Control")
        ),
        "304": not_modified("Cache-Control"),
        **problems(404, 410),
    },
)
def get_input(path: InputPath) -> Response:
    """Fetch an image that the job was made from."""
    service = services()
    record, _ = find(service, path.job_id)
    if path.sha256 not in record.inputs.digests:
        raise NotFound("the job was not made from such an image: its `inputs` name them")

    def fetch() -> Response:
        image = service.storage.download(input_key(path.sha256))
        return _streamed(image, _media_type(image.beginning))

    return _never_changing(path.sha256, fetch)


def _media_type(beginning: bytes) -> str:
    return next(
        (kind for mark, kind in BEGINNINGS.items() if beginning.startswith(mark)), OTHERWISE
    )


def _streamed(download: Download, content_type: str) -> Response:
    """As the client takes it: one that is slow does not fill our memory."""
    response = Response(download.blocks, content_type=content_type)
    response.content_length = download.size_bytes
    response.call_on_close(download.close)
    return response


def _never_changing(etag: str, fetch: Callable[[], Response]) -> Response:
    """What stays as it is: a browser may keep it without asking again, and nobody else may."""
    has_it = request.if_none_match.contains_weak(etag)
    response = Response(status=HTTPStatus.NOT_MODIFIED) if has_it else fetch()
    response.set_etag(etag)
    response.cache_control.private = True
    response.cache_control.max_age = FOR_EVER_SECONDS
    response.cache_control.immutable = True
    return response
