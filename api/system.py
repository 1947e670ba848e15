"""The routes about the service itself: presets, workers, health."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Self

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError

from api.answers import answer, not_modified
from api.authentication import owner
from api.services import services
from shared.catalog import Catalog, catalog
from shared.settings import Settings
from shared.storage import STORAGE_ERRORS
from shared.workers import WorkerList

blueprint = APIBlueprint(
    "system", __name__, abp_tags=[Tag(name="service", description="What is there and how it is")]
)


class Health(BaseModel):
    """The process is alive."""

    status: str


class Limits(BaseModel):
    """What is taken here: files in bytes, pictures in px."""

    model_config = ConfigDict(frozen=True)

    max_request_bytes: int = Field(description="Of all that is posted for a job.")
    max_image_bytes: int = Field(description="Of one file.")
    max_image_pixels: int = Field(description="Of one image, width times height.")
    min_side_px: int
    max_side_px: int
    max_aspect_ratio: float = Field(description="Longer side over shorter.")
    max_styles: int = Field(description="Style images of one job.")
    max_size_px: int = Field(description="Of a result, its long side.")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of this installation."""
        image = settings.image_limits
        return cls(
            max_request_bytes=settings.max_request_bytes,
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=image.max_pixels,
            min_side_px=image.min_side_px,
            max_side_px=image.max_side_px,
            max_aspect_ratio=image.max_aspect_ratio,
            max_styles=settings.max_styles,
            max_size_px=settings.max_size_px,
        )


class PresetList(Catalog):
    """All presets, the schema that parameters follow, and what images may measure."""

    limits: Limits


class Readiness(BaseModel):
    """Whether jobs can be accepted."""

    status: str
    redis: bool
    storage: bool
    workers: int | None = Field(description="Workers that are up; information only.")


@blueprint.get(
    "/v1/presets",
    responses={
        "200": answer(
            "All of them", PresetList, headers=("Cache-Control", "ETag"), examples=("presets",)
        ),
        "304": not_modified("Cache-Control"),
    },
)
def list_presets() -> Response:
    """List the presets: source, the value of every parameter, and which images each needs."""
    response = Response(_presets(Limits.of(services().settings)), content_type="application/json")
    response.add_etag()
    response.cache_control.no_cache = True
    response.make_conditional(request)
    return response


@blueprint.get(
    "/v1/workers", responses={"200": answer("Those that are up", WorkerList, examples=("workers",))}
)
def list_workers() -> Response:
    """List the workers that are up. Which job one paints is told to whom it belongs."""
    service = services()
    workers = service.workers.up()
    busy = [worker.job_id for worker in workers if worker.job_id is not None]
    own = {
        job_id
        for job_id, whose in zip(busy, service.records.owners(busy), strict=True)
        if whose == owner()
    }
    shown = [
        worker if worker.job_id in own else worker.model_copy(update={"job_id": None})
        for worker in workers
    ]
    return _json(WorkerList(workers=shown))


@blueprint.get("/healthz", responses={"200": answer("It does", Health, examples=("alive",))})
def healthz() -> Response:
    """Answer as long as the process lives."""
    return _json(Health(status="ok"))


@blueprint.get(
    "/readyz",
    responses={
        "200": answer("Jobs are accepted", Readiness, examples=("ready",)),
        "503": answer("Not now", Readiness, headers=("Retry-After",), examples=("away",)),
    },
)
def readyz() -> Response:
    """Say whether Redis and S3 can be reached."""
    service = services()
    with ThreadPoolExecutor(1) as beside:  # each may take 2 s to say no
        pinged = beside.submit(service.storage.ping)
        workers: int | None = None
        try:
            workers = service.workers.count()
            redis = True
        except RedisError:
            redis = False
    try:
        pinged.result()
        storage = True
    except STORAGE_ERRORS:
        storage = False
    ready = redis and storage
    view = Readiness(
        status="ready" if ready else "unavailable", redis=redis, storage=storage, workers=workers
    )
    response = _json(view, 200 if ready else 503)
    if not ready:
        response.headers["Retry-After"] = "2"
    return response


@cache
def _presets(limits: Limits) -> bytes:
    """Made once, since anybody may ask for it as often as they like."""
    return PresetList(**dict(catalog()), limits=limits).model_dump_json().encode()


def _json(view: BaseModel, status: int = 200) -> Response:
    return Response(view.model_dump_json(), status, content_type="application/json")
