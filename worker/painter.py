"""Paints one job: inputs from S3, the engine, the result to S3."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.jobs import JobRecord, StoredOutput
from shared.jobs import Progress as JobProgress
from shared.records import Wishes
from shared.storage import Storage, input_key, manifest_key, result_key
from worker.delivery import Delivery, deliver, losses_of
from worker.engine import Progress, Stylization
from worker.manifest import Manifest
from worker.node import Node
from worker.pace import Interval
from worker.pictures import read_mask, read_picture
from worker.reports import Reporter

WISHES_INTERVAL_SECONDS = 0.25
WISHES_SHARE = 0.006


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

    def read(digest: str) -> bytes:
        return node.storage.get(input_key(digest))

    limits, params = node.settings.image_limits, record.params
    inputs = record.inputs
    content = None
    if inputs.content is not None and params.uses_content:
        content = read_picture(read(inputs.content), limits, params.size)
    run = Stylization(
        node.network,
        content.pixels if content else None,
        [read_picture(read(style), limits, params.style_size).pixels for style in inputs.styles],
        params,
        masks=[read_mask(read(mask), limits, params.size) for mask in inputs.masks],
        init=read_picture(read(inputs.init), limits, params.size).pixels if inputs.init else None,
    )
    reporter = Reporter(record.id, run, node.storage, node.settings, publish)
    started = time.monotonic()
    last = _run_steps(run, reporter, stops)
    seconds = time.monotonic() - started
    delivery = deliver(run, inputs, content.alpha if content else None)
    manifest = delivery.manifest(losses_of(run, run.provenance.precision), seconds)
    output = _store(node.storage, record, fence, delivery, manifest)
    return output, reporter.describe(last)


def _run_steps(run: Stylization, reporter: Reporter, stops: Stops) -> Progress:
    look = Interval(WISHES_INTERVAL_SECONDS, WISHES_SHARE)
    preview_wanted = False
    progress: Progress | None = None
    for progress in run:
        if stops.lease_lost.is_set():
            raise LeaseLost
        if look.is_due():
            with look.counted():
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


def _store(
    storage: Storage, record: JobRecord, fence: int, delivery: Delivery, manifest: Manifest
) -> StoredOutput:
    output = StoredOutput(
        **delivery.output.model_dump(),
        result_key=result_key(record.id, fence, record.params.output.format),
        manifest_key=manifest_key(record.id, fence),
    )
    storage.put(output.result_key, delivery.data, output.content_type)
    storage.put(output.manifest_key, manifest.to_json(), "application/json")
    return output
