"""The routes about the service itself: presets, workers, health."""

from concurrent.futures import ThreadPoolExecutor

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from api.authentication import owner
from api.problems import problems
from api.services import services
from shared.catalog import PresetList, catalog
from shared.storage import STORAGE_ERRORS
from shared.workers import WorkerList

blueprint = APIBlueprint(
    "system", __name__, abp_tags=[Tag(name="service", description="What is there and how it is")]
)


class Health(BaseModel):
    """The process is alive."""

    status: str


class Readiness(BaseModel):
    """Whether jobs can be accepted."""

    status: str
    redis: bool
    storage: bool
    workers: int | None = Field(description="Workers that are up; information only.")


@blueprint.get("/v1/presets", responses={"200": PresetList})
def list_presets() -> Response:
    """List the presets: source, the value of every parameter, and which images each needs."""
    return _json(catalog())


@blueprint.get("/v1/workers", responses={"200": WorkerList, **problems(503)})
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


@blueprint.get("/healthz", responses={"200": Health})
def healthz() -> Response:
    """Answer as long as the process lives."""
    return _json(Health(status="ok"))


@blueprint.get("/readyz", responses={"200": Readiness, "503": Readiness})
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


def _json(view: BaseModel, status: int = 200) -> Response:
    return Response(view.model_dump_json(), status, content_type="application/json")
