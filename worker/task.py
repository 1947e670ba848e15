"""The life of a job on a worker: take its lease, paint, publish the end of it once."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery.exceptions import Ignore

from shared.errors import ImpastoError
from shared.jobs import ErrorCode, JobError, Progress
from shared.messaging import AWAY
from shared.records import Lease, Wishes, new_claim
from shared.storage import PROBE_KEY, STORAGE_ERRORS, ObjectMissing
from worker.engine import EngineError
from worker.engine.memory import is_out_of_memory, release_memory
from worker.errand import Errand
from worker.heartbeat import Hold
from worker.node import Node
from worker.painter import paint
from worker.reconciler import publish
from worker.stops import (
    Canceled,
    Flag,
    LeaseLost,
    Overdue,
    ShuttingDown,
    Stops,
    Unreachable,
)

ARCHIVE_SECONDS = 5.0
REACH_SECONDS = 10.0
RELEASE_SECONDS = 3.0
ENDED_BY_CLAIM = ("canceled", "exhausted", "overdue")
STORAGE_AWAY = JobError(
    code=ErrorCode.STORAGE, message="several workers waited for the object storage in vain"
)
log = structlog.get_logger(__name__)


def run_job(node: Node, job_id: str, shutting_down: Flag) -> dict[str, Any]:
    """Run a job that a message woke us for. Returns its last progress, Celery's result.

    Raises:
        Ignore: there is nothing to do here, or the job ended otherwise; its record says how.
    """
    with structlog.contextvars.bound_contextvars(job_id=job_id), node.speedometer.resting():
        # A message that is one too many, or too early, costs a claim and no look at S3.
        if _is_free(node, job_id) and not _reaches_storage(node, shutting_down):
            _publish_again(node, job_id)
            log.warning("job not taken: S3 is away")
            raise Ignore("S3 is away")
        asked, lease = _claim(node, job_id, shutting_down)
        if not isinstance(lease, Lease):
            log.info("job not taken", why=lease)
            if lease in ENDED_BY_CLAIM:
                _publish_called_up(node, job_id)
                _archive_end(node, job_id)
            raise Ignore(lease)
        with (
            structlog.contextvars.bound_contextvars(attempt=lease.attempt),
            node.heartbeat.holding(lease, asked) as hold,
        ):
            node.threads.take()
            try:
                return _run_held(node, hold, shutting_down)
            except LeaseLost:
                log.warning("lease lost; another worker has the job")
                raise Ignore("lost") from None
            except ShuttingDown:
                _give_back(node, lease)
                raise Ignore("shutting down") from None
            except Unreachable as error:
                _give_back(node, lease, STORAGE_AWAY)
                raise Ignore(repr(error)) from None
            finally:
                release_memory(node.network.device)


def _is_free(node: Node, job_id: str) -> bool:
    try:
        return node.records.is_free(job_id)
    except AWAY:  # then the claim waits for it
        return True


def _claim(node: Node, job_id: str, shutting_down: Flag) -> tuple[float, Lease | str]:
    """The lease of a job, or why not, and when it was asked for. Waits for a Redis that is away:
    the message that woke us may be the only one for a long time."""
    claim = new_claim()
    while True:
        asked = time.monotonic()
        try:
            return asked, node.records.claim(job_id, node.name, claim)
        except AWAY as error:
            log.warning("Redis is away; the claim waits", error=repr(error))
        if shutting_down.is_set():
            return asked, "Redis is away"
        time.sleep(1.0)


def _run_held(node: Node, hold: Hold, shutting_down: Flag) -> dict[str, Any]:
    """Paint, and tell how it ended. It has not where an `Interrupted` is raised."""
    lease = hold.lease

    def publish(progress: Progress) -> None:
        try:
            node.progress.write(lease.job_id, progress)
        except AWAY as error:  # painting goes on, and the next report will say how far it is
            log.warning("progress not published", error=repr(error))

    def wishes() -> Wishes:
        try:
            return node.records.wishes(lease.job_id)
        except AWAY:
            return Wishes(cancel=False, preview=False)

    stops = Stops(hold, shutting_down, wishes, node.settings.outage_patience_seconds)
    try:
        found = stops.with_redis(partial(node.records.get, lease.job_id))
        if found is None:
            raise LeaseLost
        record, _ = found
        log.info("job started", preset=record.params.preset, size=record.params.size)
        output, progress = paint(node, record, lease, stops, publish)
    except (LeaseLost, ShuttingDown, Unreachable):
        raise
    except Canceled:
        _end(node, stops, lease, lambda: node.records.stop(lease))
        log.info("job canceled")
        raise Ignore("canceled") from None
    except Exception as error:
        reason = node.records.overdue if isinstance(error, Overdue) else _reason(error)
        _end(node, stops, lease, lambda: node.records.fail(lease, reason))
        log.warning("job failed", code=reason.code, exc_info=reason.code == ErrorCode.INTERNAL)
        raise Ignore("failed") from None

    publish(progress)  # before the end is known: who sees the end sees the last step
    _end(node, stops, lease, lambda: node.records.succeed(lease, output))
    log.info("job succeeded", sha256=output.sha256)
    return progress.model_dump(mode="json")


def _end(node: Node, stops: Stops, lease: Lease, finish: Callable[[], bool]) -> None:
    """End the job, and keep in S3 how. Raises `LeaseLost`: somebody else has it."""
    if not stops.tell(finish):
        raise LeaseLost
    _publish_called_up(node, lease.job_id)
    _archive_end(node, lease.job_id)


def _archive_end(node: Node, job_id: str) -> None:
    """Keep in S3 how a job ended, as its record says."""

    def archive() -> None:
        found = node.records.get(job_id)
        if found is not None and found[0].end is not None:
            node.archive.write_end(job_id, found[0].end)

    archiving = Errand(archive)
    try:
        if archiving.wait(ARCHIVE_SECONDS):
            archiving.result()
    except (*STORAGE_ERRORS, *AWAY) as error:  # only needed where Redis is lost, and then guessed
        log.warning("the end is not archived", error=repr(error))


def _give_back(node: Node, lease: Lease, unreachable: JobError | None = None) -> None:
    """Let another worker have the job. `unreachable`: why, if that may not go on for ever."""
    releasing = Errand(partial(node.records.release, lease, unreachable))
    try:
        if not releasing.wait(RELEASE_SECONDS):
            log.warning("job not given back: Redis does not answer")
            return
        status = releasing.result()
    except AWAY as error:  # the lease runs out, and the reconciler sends a message
        log.warning("job not given back", error=repr(error))
        return
    log.info("job given back", status=status)
    if status is not None:
        _publish_called_up(node, lease.job_id)
    if status is not None and status.is_terminal:
        _archive_end(node, lease.job_id)


def _publish_called_up(node: Node, job_id: str) -> None:
    """Wake workers for what can run since we are done with a job: it, or others of its owner."""
    try:
        for job in node.records.called_up(job_id):
            publish(node.publisher, job)
    except AWAY as error:  # they are due, and the reconciler does it
        log.warning("jobs not published", error=repr(error))


def _publish_again(node: Node, job_id: str) -> None:
    try:
        found = node.records.get(job_id)
        if found is not None and not found[0].status.is_terminal:
            record = found[0]
            node.publisher.publish(job_id, record.priority, begun=record.started_at is not None)
    except AWAY as error:  # the reconciler does it
        log.warning("job not published", error=repr(error))


def _reaches_storage(node: Node, shutting_down: Flag) -> bool:
    """Whether this worker can store anything, before it takes what another one could paint."""
    until = time.monotonic() + REACH_SECONDS
    while True:
        try:
            node.quick_storage.put(PROBE_KEY, b"", "text/plain")
        except STORAGE_ERRORS as error:
            log.warning("S3 takes nothing from this worker", error=repr(error))
        else:
            return True
        if shutting_down.is_set() or time.monotonic() > until:
            return False
        time.sleep(1.0)


def _reason(error: Exception) -> JobError:
    if isinstance(error, EngineError) and error.code in list(ErrorCode):
        return JobError(code=ErrorCode(error.code), message=str(error))
    if isinstance(error, ImpastoError):  # an input that the API took and we cannot read
        return JobError(code=ErrorCode.INVALID_INPUT, message=str(error))
    if isinstance(error, ObjectMissing):
        return JobError(code=ErrorCode.STORAGE, message=f"the object {error} is gone")
    if is_out_of_memory(error):  # outside the steps: a picture to decode, to resample, to encode
        return JobError(
            code=ErrorCode.OUT_OF_MEMORY,
            message="the worker has too little memory for the pictures",
        )
    return JobError(code=ErrorCode.INTERNAL, message="something broke on our side")
