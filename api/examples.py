"""Examples for the OpenAPI document: one job from the moment it is accepted to its end.

They are made by the models and views that make the answers, so that they are never out of date.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.estimate import EstimateRequest, ImageSize
from api.system import Health, Limits, PresetList, Readiness
from api.views import present
from shared.catalog import catalog
from shared.estimates import JobEstimate, NetworkSpeed, SecondsRange, Speed
from shared.jobs import (
    ErrorCode,
    Event,
    Inputs,
    JobError,
    JobList,
    JobRecord,
    JobStatus,
    LossCurve,
    Losses,
    Output,
    Priority,
    Progress,
    StoredOutput,
)
from shared.parameters import Parameters
from shared.settings import Settings
from shared.storage import manifest_key, result_key
from shared.webhooks import EndedJob, Message
from shared.workers import Worker, WorkerList

JOB_ID = "019ab0c3-5d1e-7c3a-9b1f-2f4e6a8c0d11"
OTHER_ID = "019ab0c4-1f2a-7b5c-8d3e-4a6b8c0d2e22"
REQUEST_ID = "5f0c1d2e3b4a49788796a5b4c3d2e1f0"
CONTENT_SHA256 = "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab"
STYLE_SHA256 = "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8"
RESULT_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
WEIGHTS_SHA256 = "3d1b1c2f6a5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4"
CREATED_AT = datetime(2026, 11, 22, 11, 59, 31, 207_000, tzinfo=UTC)
STARTED_AT = CREATED_AT + timedelta(milliseconds=304)
FINISHED_AT = STARTED_AT + timedelta(seconds=28.5)
EXPIRES_AT = FINISHED_AT + timedelta(days=7)
PARAMETERS = {"preset": "default", "size": 512, "style_weight": 8.0}
METADATA = {"order": 17}

_STEPS = Parameters.model_validate(PARAMETERS).steps
_OUTPUT = StoredOutput(
    content_type="image/png",
    width_px=512,
    height_px=384,
    size_bytes=402_113,
    sha256=RESULT_SHA256,
    result_key=result_key(JOB_ID, "1", "png"),
    manifest_key=manifest_key(JOB_ID, "1"),
)
_QUEUED = JobRecord(
    id=JOB_ID,
    params=Parameters.model_validate(PARAMETERS),
    metadata=METADATA,
    priority=Priority.NORMAL,
    inputs=Inputs(content=CONTENT_SHA256, styles=[STYLE_SHA256]),
    webhook="https://shop.example/painted",
    status=JobStatus.QUEUED,
    created_at=CREATED_AT,
    history=[Event(at=CREATED_AT, event="created", fence=0, detail="")],
)
_RUNNING = _QUEUED.model_copy(
    update={
        "status": JobStatus.RUNNING,
        "started_at": STARTED_AT,
        "attempt": 1,
        "history": [*_QUEUED.history, Event(at=STARTED_AT, event="claimed", fence=1, detail="w1")],
    }
)


def _ended(status: JobStatus, detail: str = "", **fields: Any) -> JobRecord:
    end = Event(at=FINISHED_AT, event=status, fence=1, detail=detail)
    times = {"finished_at": FINISHED_AT, "expires_at": EXPIRES_AT}
    history = [*_RUNNING.history, end]
    return _RUNNING.model_copy(update={"status": status, "history": history, **times, **fields})


_SUCCEEDED = _ended(
    JobStatus.SUCCEEDED,
    output=_OUTPUT,
    webhook_attempts=1,
    webhook_delivered_at=FINISHED_AT + timedelta(milliseconds=140),
)
_FAILED = _ended(
    JobStatus.FAILED,
    ErrorCode.OUT_OF_MEMORY,
    error=JobError(
        code=ErrorCode.OUT_OF_MEMORY,
        message="too little memory for a picture of 2048 x 1536 px: it takes about 9.1 GB and there"
        " are 6.2 GB; with these parameters size 1632 fits",
    ),
)
_CANCELED = _ended(JobStatus.CANCELED, cancel_requested_at=FINISHED_AT - timedelta(seconds=0.2))
_RETRIED = _QUEUED.model_copy(update={"id": OTHER_ID, "retried_from": JOB_ID})

PROGRESS = Progress(
    step=72,
    total_steps=_STEPS,
    fraction=round(72 / _STEPS, 2),
    level=2,
    width_px=256,
    height_px=192,
    losses=Losses(content=0.61, style=0.34, tv=0.0, total=0.95),
    steps_per_second=6.1,
    eta_seconds=14.8,
    previews=[1, 24, 48, 72],
)
_DONE = PROGRESS.model_copy(
    update={
        "step": _STEPS,
        "fraction": 1.0,
        "level": 3,
        "width_px": _OUTPUT.width_px,
        "height_px": _OUTPUT.height_px,
        "eta_seconds": 0.0,
        "previews": [1, 24, 48, 72, 96, 120, _STEPS],
    }
)

_LOSSES = LossCurve(
    step=[1, 36, 72],
    content=[0.9, 0.7, 0.61],
    style=[4.1, 0.6, 0.34],
    tv=[0.0, 0.0, 0.0],
    total=[5.0, 1.3, 0.95],
)

QUEUED = present(_QUEUED, 2, None)
RUNNING = present(_RUNNING, None, PROGRESS)
SUCCEEDED = present(_SUCCEEDED, None, _DONE)
FAILED = present(_FAILED, None, PROGRESS)
CANCELED = present(_CANCELED, None, PROGRESS)

_SPEED = NetworkSpeed(
    seconds_per_flop=1.9e-14, seconds_per_value=4.1e-12, seconds_per_weight=2.2e-12
)
_WORKER = Worker(
    name="rack1-gpu0",
    host="rack1",
    pid=4211,
    device="cuda:0",
    device_name="NVIDIA H100 80GB HBM3",
    precision="bfloat16",
    weights="oxford-q8",
    weights_sha256=WEIGHTS_SHA256,
    cores="rack1:0-15",
    speed=Speed(
        float32=_SPEED,
        bfloat16=_SPEED,
        seconds_per_product_flop=2.5e-14,
        seconds_per_byte=5.2e-13,
        seconds_per_call=5.5e-6,
    ),
    started_at="2026-11-22T08:00:00+00:00",
    busy=True,
    job_id=JOB_ID,
    step_seconds=0.16,
    memory_bytes=2_147_483_648,
    available_bytes=83_000_000_000,
)
_ESTIMATE = JobEstimate(
    steps=_STEPS,
    width_px=_OUTPUT.width_px,
    height_px=_OUTPUT.height_px,
    memory_bytes=412_000_000,
    seconds=SecondsRange(low=20.1, high=33.0),
    workers=3,
    able=2,
    waiting_jobs=4,
)
_ASKED = EstimateRequest(
    params=Parameters(),
    content=ImageSize(width_px=1024, height_px=768),
    styles=[ImageSize(width_px=800, height_px=1200)],
)
_WITHOUT_PARAMETERS = _ASKED.model_dump(mode="json", exclude={"params"})
_READY = Readiness(status="ready", redis=True, storage=True, workers=3)
_MANIFEST = {
    "impasto_version": "0.1.0",
    "torch_version": "2.14.0",
    "pillow_version": "12.0.0",
    "libvips_version": "8.17.2",
    "device": "cuda",
    "threads": None,
    "precision": "bfloat16",
    "weights": _WORKER.weights,
    "weights_sha256": WEIGHTS_SHA256,
    "parameters": _QUEUED.params.model_dump(mode="json"),
    "inputs": _QUEUED.inputs.model_dump(mode="json"),
    "created_at": RUNNING.model_dump(mode="json")["started_at"],
    "device_name": _WORKER.device_name,
    "losses": {
        "content": 0.52,
        "style": 0.21,
        "tv": 0.0,
        "total": 0.73,
        "layers": {"relu4_2": 0.3, "relu5_2": 0.22, "relu1_1": 0.21},
    },
    "seconds": 28.1,
    "output": _OUTPUT.model_dump(mode="json", include=set(Output.model_fields)),
}


STREAM = "\n".join(
    [
        "retry: 2000",
        "",
        "event: progress",
        "id: 5a1f0c2b7d9e4f31/72/48",
        f"data: {PROGRESS.model_dump_json()}",
        "",
        "event: preview",
        "id: 5a1f0c2b7d9e4f31/72/72",
        f'data: {{"step": 72, "url": "{RUNNING.urls.preview}?step=72"}}',
        "",
        ":",
        "",
        "",
    ]
)


def _of(summary: str, value: Any) -> dict[str, Any]:
    dumped = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    return {"summary": summary, "value": dumped}


# What answers say, by the names under which routes refer to them.
BODIES: dict[str, dict[str, Any]] = {
    "queued": _of("It waits for a worker", QUEUED),
    "running": _of("A worker paints it", RUNNING),
    "succeeded": _of("The picture is there", SUCCEEDED),
    "failed": _of("It could not be painted", FAILED),
    "canceled": _of("Somebody asked for its end", CANCELED),
    "retried": _of("Again, from the same images", present(_RETRIED, 0, None)),
    "page": _of(
        "A page of jobs, and where the next one begins",
        JobList(jobs=[RUNNING, SUCCEEDED], next_cursor=JOB_ID),
    ),
    "manifest": _of("What reproduces the picture", _MANIFEST),
    "losses": _of("Read at three steps", _LOSSES),
    "stream": _of("A job that is followed", STREAM),
    "estimate": _of("Two of three workers have the memory for it", _ESTIMATE),
    "unknown_speed": _of(
        "No worker is up", _ESTIMATE.model_copy(update={"seconds": None, "workers": 0, "able": 0})
    ),
    "workers": _of("A GPU that paints one's own job", WorkerList(workers=[_WORKER])),
    "alive": _of("The process lives", Health(status="ok")),
    "ready": _of("Jobs are accepted", _READY),
    "away": _of(
        "Redis does not answer",
        _READY.model_copy(update={"status": "unavailable", "redis": False, "workers": None}),
    ),
}
# What is asked. `content` and `style` stand for files.
ESTIMATES: dict[str, dict[str, Any]] = {
    "painting": _of("A photograph and a painting", {"params": PARAMETERS, **_WITHOUT_PARAMETERS}),
    "texture": _of(
        "A texture, which needs no photograph",
        {
            "params": {"preset": "texture", "size": 1024, "aspect_ratio": 1.5},
            "styles": _WITHOUT_PARAMETERS["styles"],
        },
    ),
}
UPLOADS: dict[str, dict[str, Any]] = {
    "painting": _of(
        "A photograph and a painting",
        {"content": "(bytes of harbor.jpg)", "style": ["(bytes of swirl.jpg)"]},
    ),
    "adjusted": _of(
        "Some parameters set, something to know it by, and before others",
        {
            "content": "(bytes of harbor.jpg)",
            "style": ["(bytes of swirl.jpg)"],
            "params": PARAMETERS,
            "metadata": METADATA,
            "priority": Priority.HIGH,
        },
    ),
    "two styles": _of(
        "Two paintings, the second three times as strong as the first",
        {
            "content": "(bytes of harbor.jpg)",
            "style": ["(bytes of swirl.jpg)", "(bytes of mosaic.jpg)"],
            "params": {"style_weights": [1.0, 3.0]},
        },
    ),
    "texture": _of(
        "A texture, which needs no photograph",
        {"style": ["(bytes of swirl.jpg)"], "params": {"preset": "texture"}},
    ),
}
# What a webhook says.
MESSAGES: dict[str, dict[str, Any]] = {
    status: _of(f"The job has {status}" if status != "canceled" else "It was canceled", message)
    for status, message in (
        (
            record.status,
            Message(
                type=f"job.{record.status}",
                timestamp=record.finished_at,
                data=EndedJob(**{name: getattr(job, name) for name in EndedJob.model_fields}),
            ),
        )
        for record, job in ((_SUCCEEDED, SUCCEEDED), (_FAILED, FAILED), (_CANCELED, CANCELED))
    )
}


def presets(settings: Settings) -> dict[str, Any]:
    """The catalogue of this installation, shortened to its first preset."""
    listed = catalog()
    shown = PresetList(
        **{**dict(listed), "presets": listed.presets[:1]}, limits=Limits.of(settings)
    )
    return _of("The first preset", {**shown.model_dump(mode="json"), "parameters_schema": {}})
