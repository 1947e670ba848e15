"""Celery between the API and the workers: names, queues, and the settings both sides share.

A message only wakes a worker and carries a job id; what the job is stands in its record. The id of
the Celery task is the id of the job, so the task's state is where the job's progress is read.
"""

import json
from typing import Any

from celery import Celery
from celery.exceptions import BackendError
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from shared.jobs import Priority, Progress
from shared.settings import Settings

# What Redis being away looks like, from our client, from Celery and from kombu.
AWAY = (RedisError, BackendError, OperationalError, OSError)
# Jobs that a worker had begun. Emptied before the others: they have waited for their turn already.
RESUME_QUEUE = "impasto.resume"
TASK_NAME = "impasto.stylize"
# When it passes, Redis hands the message to a second worker, who finds the job held.
VISIBILITY_TIMEOUT_SECONDS = 9000


def queue_name(priority: Priority, *, held_back: bool = False) -> str:
    """The queue of a priority: `impasto.high`, `impasto.normal`, `impasto.low`.

    Before each comes one (`impasto.high.turn`) of jobs whose turn had come when as many of their
    owner ran as may. They do not wait for the whole queue once more.
    """
    return f"impasto.{priority}.turn" if held_back else f"impasto.{priority}"


def worker_config(settings: Settings) -> dict[str, Any]:
    """Celery's configuration of a worker.

    Each line here answers a way in which jobs were seen to be lost or run twice
    (docs/decisions/0003-job-record-as-truth.md).
    """
    transport = {
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        "unacked_restore_interval": 15,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
    return {
        "broker_url": settings.broker,
        "result_backend": settings.result_backend,
        "broker_transport_options": transport,
        "result_backend_transport_options": {"visibility_timeout": VISIBILITY_TIMEOUT_SECONDS},
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 10,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 25,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "result_backend_always_retry": True,
        "result_backend_max_retries": 60,
        "result_expires": settings.retention_seconds,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_prefetch_multiplier": 1,
        "worker_proc_alive_timeout": 120,
        "task_acks_late": True,
        # The last resort against a process that not even its heartbeat can end
        "task_time_limit": settings.max_run_seconds + 2 * settings.step_timeout_seconds,
        "task_queues": [
            Queue(RESUME_QUEUE),
            *(Queue(queue_name(each, held_back=is_)) for each in Priority for is_ in (True, False)),
        ],
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
    }


class Publisher:
    """Wakes a worker for a job. Publish-only, and quick to give up: the reconciler asks again."""

    def __init__(self, settings: Settings) -> None:
        retry = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
        self._app = Celery("impasto.api", broker=settings.broker, backend="disabled://")
        self._app.conf.update(
            broker_transport_options={
                "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
                "socket_timeout": 2,
                "socket_connect_timeout": 2,
                "retry_policy": retry,
            },
            task_publish_retry_policy=retry,
            accept_content=["json"],
        )

    def publish(
        self, job_id: str, priority: Priority, *, begun: bool = False, held_back: bool = False
    ) -> None:
        """Send the message that makes a worker look at a job.

        Args:
            job_id: the job.
            priority: its priority.
            begun: whether a worker had it, so that it goes before those that none had.
            held_back: whether its turn has come before, so that it goes before those of its
                priority whose turn has not.

        Raises one of `AWAY` when the broker does not answer; the message may have been sent.
        """
        queue = RESUME_QUEUE if begun else queue_name(priority, held_back=held_back)
        self._app.send_task(TASK_NAME, args=[job_id], task_id=job_id, queue=queue)


class ProgressWriter:
    """Puts the progress of a job into its Celery task's state, or gives up within 2 s."""

    def __init__(self, settings: Settings) -> None:
        app = Celery("impasto.progress", broker=settings.broker, backend=settings.result_backend)
        app.conf.update(
            worker_config(settings)
            | {
                "result_backend_always_retry": False,
                "result_backend_transport_options": {"retry_policy": {"max_retries": 0}},
                "redis_socket_timeout": 2,
                "redis_socket_connect_timeout": 2,
            }
        )
        self._backend = app.backend

    def write(self, job_id: str, progress: Progress) -> None:
        """Replace what was known of the job. Raises one of `AWAY`."""
        self._backend.store_result(job_id, progress.model_dump(mode="json"), "PROGRESS")


class ProgressReader:
    """Reads the progress that a worker put into its Celery task's state."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its types say that every reply may be awaited

    def states(self, job_ids: list[str]) -> list[str | None]:
        """What `parse_progress` makes the progress of each job of, if it has any."""
        if not job_ids:
            return []
        states: list[str | None] = self._redis.execute_command(*self.question(job_ids))
        return states

    @staticmethod
    def question(job_ids: list[str]) -> tuple[str, ...]:
        """The command that asks for the `states` of one job or more."""
        return ("MGET", *(f"celery-task-meta-{job_id}" for job_id in job_ids))

    def is_on(self, redis: Redis) -> bool:
        """Whether progress lies where this client asks."""
        return self._redis is redis


def parse_progress(state: str) -> Progress | None:
    """The progress in the state of a Celery task, if there is any."""
    result = json.loads(state).get("result")
    return (
        Progress.model_validate(result) if isinstance(result, dict) and "step" in result else None
    )
