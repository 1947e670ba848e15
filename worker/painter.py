"""Paints one job: inputs from S3, the engine, the result to S3."""

import time
from collections.abc import Callable
from functools import partial

from shared.jobs import JobRecord, StoredOutput
from shared.jobs import Progress as JobProgress
from shared.records import Lease
from shared.storage import Storage, input_key, manifest_key, result_key
from worker.checkpoints import Checkpoints
from worker.delivery import Delivery, deliver, losses_of
from worker.engine import Progress, Stylization
from worker.manifest import Manifest
from worker.node import Node
from worker.pictures import read_mask, read_picture
from worker.reports import Reporter
from worker.stops import ShuttingDown, Stops


def paint(
    node: Node,
    record: JobRecord,
    lease: Lease,
    stops: Stops,
    publish: Callable[[JobProgress], None],
) -> tuple[StoredOutput, JobProgress]:
    """Run a job to its end, from its last checkpoint if it has one, and store what it made.

    Raises:
        Interrupted: one of the `stops`. If the worker is going, the state is saved.
        ObjectMissing: an input is gone.
        EngineError: the images and parameters do not go together, or the run diverged.
    """

    def read(digest: str) -> bytes:
        get = partial(node.storage.get, input_key(digest))
        return stops.with_storage(get)

    limits, params = node.settings.image_limits, record.params
    inputs = record.inputs
    content = None
    if inputs.content is not None and params.uses_content:
        content = read_picture(read(inputs.content), limits, params.size)
    styles = [read_picture(read(style), limits, params.style_size) for style in inputs.styles]
    masks = [read_mask(read(mask), limits, params.size) for mask in inputs.masks]
    init = read_picture(read(inputs.init), limits, params.size) if inputs.init else None

    def start() -> Stylization:
        return Stylization(
            node.network,
            content.pixels if content else None,
            [style.pixels for style in styles],
            params,
            masks=masks,
            init=init.pixels if init else None,
        )

    checkpoints = Checkpoints(
        node.records, node.storage, lease, node.settings.checkpoint_interval_seconds
    )
    resumed = checkpoints.resume(record, start, stops)
    if resumed is not None:
        note = partial(node.records.resumed, lease, resumed.run.step)
        stops.with_redis(note)
    run = resumed.run if resumed else start()
    reporter = Reporter(record.id, run, node.storage, node.settings, publish)
    clock = Clock(resumed.seconds if resumed else 0.0)
    last = _run_steps(run, reporter, checkpoints, stops, clock)
    delivery = deliver(run, inputs, content.alpha if content else None)
    manifest = delivery.manifest(losses_of(run, run.provenance.precision), clock.seconds)
    output = _store(node.storage, record, lease, delivery, manifest, stops)
    return output, last


class Clock:
    """How long a run was painted for, over all workers, s."""

    def __init__(self, before: float) -> None:
        self._started = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Until now."""
        return time.monotonic() - self._started


def _run_steps(
    run: Stylization, reporter: Reporter, checkpoints: Checkpoints, stops: Stops, clock: Clock
) -> JobProgress:
    stops.check()
    progress: Progress | None = None
    for progress in run:
        try:
            stops.check()
        except ShuttingDown:
            checkpoints.save_last(run, clock.seconds)
            raise
        reporter.step(progress, preview_wanted=stops.preview_wanted)
        stops.stepped(reporter.step_seconds)
        checkpoints.save_if_due(run, clock.seconds, reporter.eta_seconds)
    if progress is None:
        raise AssertionError("a run has at least one step left: checkpoints are taken before")
    return reporter.finish(progress)


def _store(
    storage: Storage,
    record: JobRecord,
    lease: Lease,
    delivery: Delivery,
    manifest: Manifest,
    stops: Stops,
) -> StoredOutput:
    output = StoredOutput(
        **delivery.output.model_dump(),
        result_key=result_key(record.id, lease.token, record.params.output.format),
        manifest_key=manifest_key(record.id, lease.token),
    )
    for key, data, content_type in (
        (output.result_key, delivery.data, output.content_type),
        (output.manifest_key, manifest.to_json(), "application/json"),
    ):
        put = partial(storage.put_checked, key, data, content_type)
        stops.with_storage(put)
    return output
