"""The life of a job on a worker: take its lease, paint, publish the end of it once."""

from typing import Any

import structlog
from celery import Task
from celery.exceptions import BackendError, Ignore
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from shared.errors import ImpastoError
from shared.jobs import ErrorCode, JobError, JobRecord, JobStatus, Progress
from shared.messaging import wake_a_worker
from shared.records import Lease, Wishes
from shared.storage import STORAGE_ERRORS, ObjectMissing
from worker.engine import EngineError
from worker.engine.memory import is_out_of_memory, release_memory
from worker.heartbeat import Hold
from worker.node import Node
from worker.painter import (
    Canceled,
    Flag,
    LeaseLost,
    ShuttingDown,
    Stops,
    paint,
)

# What Redis being away looks like, from our client, from Celery and from kombu.
AWAY = (RedisError, BackendError, OperationalError)
log = structlog.get_logger(__name__)


def run_job(node: Node, task: Task, job_id: str, shutting_down: Flag) -> dict[str, Any]:
    """Run a job that a message woke us for. Returns its last progress, Celery's result.

    Raises:
        Ignore: there is nothing to do here, or the job ended otherwise; its record says how.
    """
    with node.speedometer.resting():
        node.threads.take()
        lease = node.records.claim(job_id, node.name)
        if not isinstance(lease, Lease):
            log.info("job not taken", job_id=job_id, why=lease)
            raise Ignore(lease)
        with (
            structlog.contextvars.bound_contextvars(job_id=job_id, attempt=lease.attempt),
            node.heartbeat.holding(lease) as hold,
        ):
            try:
                return _run_held(node, task, hold, shutting_down)
            finally:
                release_memory(node.network.device)


def _run_held(node: Node, task: Task, hold: Hold, shutting_down: Flag) -> dict[str, Any]:
    lease = hold.lease
    found = node.records.get(lease.job_id)
    if found is None:
        raise Ignore("gone")
    record, _ = found
    log.info("job started", preset=record.params.preset, size=record.params.size)

    def publish(progress: Progress) -> None:
        try:
            task.update_state(state="PROGRESS", meta=progress.model_dump(mode="json"))
        except AWAY as error:  # painting goes on, and the next report will say how far it is
            log.warning("progress not published", error=repr(error))

    def wishes() -> Wishes:
        try:
            return node.asking.wishes(lease.job_id)
        except RedisError:
            return Wishes(cancel=False, preview=False)

    stops = Stops(hold.lost, shutting_down, wishes)
    try:
        output, progress = paint(node, record, lease.fence, stops, publish)
    except LeaseLost:
        log.warning("lease lost; another worker has the job")
        raise Ignore("lost") from None
    except Canceled:
        node.records.stop(lease)
        log.info("job canceled")
        raise Ignore("canceled") from None
    except ShuttingDown:
        _give_back(node, task, lease, record)
        raise Ignore("shutting down") from None
    except AWAY:
        # Nobody can be told how the job ended: when its lease has run out, it is painted again.
        log.exception("Redis is away; the job is left to another worker")
        raise Ignore("Redis is away") from None
    except Exception as error:
        reason = _reason(error)
        node.records.fail(lease, reason)
        log.warning("job failed", code=reason.code, exc_info=reason.code == ErrorCode.INTERNAL)
        raise Ignore("failed") from None

    publish(progress)  # before the end is known: who sees the end sees the last step
    if not node.records.succeed(lease, output):
        log.warning("lease lost before the result was published")
        raise Ignore("lost")
    log.info("job succeeded", sha256=output.sha256)
    return progress.model_dump(mode="json")


def _give_back(node: Node, task: Task, lease: Lease, record: JobRecord) -> None:
    status = node.records.release(lease)
    log.info("job given back", status=status)
    if status == JobStatus.QUEUED:
        try:
            wake_a_worker(task.app, lease.job_id, record.priority)
        except AWAY as error:  # the reconciler does it
            log.warning("publishing failed", error=repr(error))


def _reason(error: Exception) -> JobError:
    if isinstance(error, EngineError) and error.code in list(ErrorCode):
        return JobError(code=ErrorCode(error.code), message=str(error))
    if isinstance(error, ImpastoError):  # an input that the API took and we cannot read
        return JobError(code=ErrorCode.INVALID_INPUT, message=str(error))
    if isinstance(error, ObjectMissing):
        return JobError(code=ErrorCode.STORAGE, message=f"the object {error} is gone")
    if isinstance(error, STORAGE_ERRORS):
        return JobError(code=ErrorCode.STORAGE, message="the object storage did not answer")
    if is_out_of_memory(error):  # outside the steps: a picture to decode, to resample, to encode
        return JobError(
            code=ErrorCode.OUT_OF_MEMORY,
            message="the worker has too little memory for the pictures",
        )
    return JobError(code=ErrorCode.INTERNAL, message="something broke on our side")
