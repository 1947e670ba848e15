"""Paints one job: inputs from S3, the engine, the result to S3."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
import torch

from shared.images import CONTENT_TYPES, decode_image, encode_image
from shared.jobs import JobRecord, StoredOutput
from shared.jobs import Progress as JobProgress
from shared.records import Wishes
from shared.storage import Storage, input_key, manifest_key, result_key
from worker.engine import Losses, Progress, Stylization
from worker.manifest import build_manifest
from worker.node import Node
from worker.pace import Interval
from worker.pictures import to_image, to_tensor
from worker.reports import Reporter

WISHES_INTERVAL_SECONDS = 0.25


log = structlog.get_logger(__name__)


class Interrupted(Exception):
    """The run was stopped between two steps."""


class Canceled(Interrupted):
    """Somebody asked for the end of the job."""


class LeaseLost(Interrupted):
    """Another worker has the job; nothing may be written any more."""


class ShuttingDown(Interrupted):
    """This worker is going; another one takes the job."""


class Flag(Protocol):
    """`threading.Event` and `multiprocessing.Event` are flags."""

    def is_set(self) -> bool:
        """Whether somebody raised it."""


@dataclass(frozen=True)
class Stops:
    """What ends a run before its time."""

    lease_lost: Flag
    shutting_down: Flag
    wishes: Callable[[], Wishes]


def paint(
    node: Node,
    record: JobRecord,
    fence: int,
    stops: Stops,
    publish: Callable[[JobProgress], None],
) -> tuple[StoredOutput, JobProgress]:
    """Run a job to its end and store what it made.

    Raises:
        Interrupted: one of the `stops`.
        ObjectMissing: an input is gone.
        EngineError: the images and parameters do not go together, or the run diverged.
        STORAGE_ERRORS: S3 did not take the result.
    """
    content, *styles = (
        to_tensor(decode_image(node.storage.get(input_key(digest)), node.settings.image_limits))
        for digest in (record.inputs.content, *record.inputs.styles)
    )
    run = Stylization(node.network, content, styles, record.params)
    reporter = Reporter(record.id, run, node.storage, node.settings, publish)
    started = time.monotonic()
    last = _run_steps(run, reporter, stops)
    seconds = time.monotonic() - started
    output = _store_result(node.storage, record, fence, run, seconds)
    return output, reporter.describe(last)


def _run_steps(run: Stylization, reporter: Reporter, stops: Stops) -> Progress:
    look = Interval(WISHES_INTERVAL_SECONDS)
    preview_wanted = False
    progress: Progress | None = None
    for progress in run:
        if stops.lease_lost.is_set():
            raise LeaseLost
        if look.is_due():
            wishes = stops.wishes()
            if wishes.cancel:
                raise Canceled
            preview_wanted = wishes.preview
        if stops.shutting_down.is_set():
            raise ShuttingDown
        reporter.step(progress, preview_wanted=preview_wanted)
    if progress is None:
        raise AssertionError("a run has at least one step")
    return progress


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device, or the machine, had too little memory."""
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in str(error)  # PyTorch's RuntimeError on a CPU
    )


def _losses(run: Stylization) -> Losses | None:
    """Losses of the delivered picture. Not worth a finished job where memory is short."""
    try:
        return run.delivered_losses(run.provenance.precision)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.warning("too little memory to evaluate the delivered picture")
        return None


def _store_result(
    storage: Storage, record: JobRecord, fence: int, run: Stylization, seconds: float
) -> StoredOutput:
    image = to_image(run.picture())
    data = encode_image(image, record.params.output)
    content_type = CONTENT_TYPES[record.params.output.format]
    output = StoredOutput(
        content_type=content_type,
        width_px=image.width,
        height_px=image.height,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        result_key=result_key(record.id, fence, record.params.output.format),
        manifest_key=manifest_key(record.id, fence),
    )
    storage.put(output.result_key, data, content_type)
    manifest = build_manifest(
        parameters=record.params,
        content_sha256=record.inputs.content,
        style_sha256s=record.inputs.styles,
        provenance=run.provenance,
        losses=_losses(run),
        seconds=seconds,
        output=output,
    )
    storage.put(output.manifest_key, manifest, "application/json")
    return output
