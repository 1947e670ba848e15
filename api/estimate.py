"""`POST /v1/estimate`: what a job would take, before anybody paints it."""

from flask import Request, Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.answers import answer
from api.json_body import check_limits, json_object
from api.problems import invalid_parameters, problems
from api.services import services
from api.uploads import MAX_TEXT_BYTES, check_numbers
from shared.errors import Fault, InvalidImage, InvalidRequest, UnsupportedMedia
from shared.estimates import JobEstimate, Plan, SecondsRange, plan
from shared.images import check_size
from shared.jobs import Priority
from shared.parameters import Parameters
from shared.settings import Settings
from shared.workers import Worker

# What is said of memory as long as no worker is up: the kind of device that takes the most.
MODEST = ("float32", True)

blueprint = APIBlueprint(
    "estimate", __name__, abp_tags=[Tag(name="jobs", description="Paint pictures")]
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImageSize(_Strict):
    """The size of an image that would be posted."""

    width_px: int = Field(ge=1, description="Width when it is upright, px.")
    height_px: int = Field(ge=1, description="Height when it is upright, px.")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height_px, self.width_px


class EstimateRequest(_Strict):
    """A job without its images: how large they are is enough."""

    params: Parameters = Field(Parameters(), description="As of `POST /v1/jobs`.")
    content: ImageSize | None = Field(None, description="The photograph; null for a texture.")
    styles: list[ImageSize] = Field([], description="The paintings; none for a reconstruction.")
    masks: int = Field(0, ge=0, description="How many masks there are.")


@blueprint.post(
    "/v1/estimate",
    responses={
        "200": answer("What it would take", JobEstimate, examples=("estimate", "unknown_speed")),
        **problems(400, 413, 415, 422),
    },
)
def estimate_job() -> Response:
    """Say what a job would take: steps, time, memory, and how many are before it."""
    service = services()
    asked = _read(request, service.settings)
    workers = service.workers.up()
    plans = {kind: _plan(asked, *kind) for kind in {*map(_kind, workers)} or {MODEST}}
    largest = max(plans.values(), key=lambda found: found.memory_bytes)
    able = [worker for worker in workers if _fits(plans[_kind(worker)], worker)]
    seconds = [
        plans[_kind(worker)].at(worker.speed).seconds for worker in able if worker.speed is not None
    ]
    answer = JobEstimate(
        steps=sum(level.steps for level in largest.levels),
        width_px=largest.levels[-1].width,
        height_px=largest.levels[-1].height,
        memory_bytes=largest.memory_bytes,
        seconds=SecondsRange(low=min(seconds), high=max(seconds)) if seconds else None,
        workers=len(workers),
        able=len(able),
        waiting_jobs=service.records.waiting_before(Priority.NORMAL),
    )
    return Response(answer.model_dump_json(), content_type="application/json")


def _read(request: Request, settings: Settings) -> EstimateRequest:
    """Everything that would be checked of the job is checked of its estimate."""
    if request.mimetype != "application/json":
        raise UnsupportedMedia("send the estimate as application/json")
    request.max_content_length = MAX_TEXT_BYTES
    try:
        text = request.get_data().decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not valid UTF-8") from None
    try:
        asked = EstimateRequest.model_validate(json_object(text, "body"))
    except ValidationError as error:
        raise invalid_parameters(error) from None
    check_limits(asked.params, settings)
    check_numbers(
        asked.params,
        settings,
        content=asked.content is not None,
        styles=len(asked.styles),
        masks=asked.masks,
        init=asked.params.init == "image",  # whatever its size, it costs nothing
    )
    sizes = {f"styles/{index}": size for index, size in enumerate(asked.styles)}
    if asked.content is not None:
        sizes["content"] = asked.content
    for pointer, size in sizes.items():
        try:
            check_size(size.width_px, size.height_px, settings.image_limits)
        except InvalidImage as error:
            raise InvalidImage(f"{pointer}: {error}", (Fault(pointer, str(error)),)) from None
    return asked


def _kind(worker: Worker) -> tuple[str, bool]:
    """What decides how a worker goes about a job: the precision it takes, and whether on a CPU."""
    return worker.precision, worker.device == "cpu"


def _plan(asked: EstimateRequest, precision: str, on_cpu: bool) -> Plan:
    return plan(
        asked.params,
        asked.content.shape if asked.content else None,
        [size.shape for size in asked.styles],
        precision=precision,
        masked=asked.masks > 0,
        on_cpu=on_cpu,
    )


def _fits(found: Plan, worker: Worker) -> bool:
    return worker.available_bytes is None or found.fits(worker.available_bytes)
