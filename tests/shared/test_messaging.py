"""Messages and progress between the API and the workers, through a real broker."""

import json
import time
import uuid

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from shared.jobs import Losses, Priority, Progress
from shared.messaging import (
    TASK_NAME,
    VISIBILITY_TIMEOUT_SECONDS,
    ProgressReader,
    Publisher,
    parse_progress,
    queue_name,
    worker_config,
)
from shared.settings import Settings

# Celery's own way of storing a result.
celery_stores = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
PROGRESS = Progress(
    step=12,
    total_steps=50,
    fraction=0.24,
    level=2,
    width_px=96,
    height_px=72,
    losses=Losses(content=1.5, style=2.5, tv=0.0, total=4.0),
    steps_per_second=6.25,
    eta_seconds=6.08,
)


def read(valkey: redis.Redis, job_ids: list[str]) -> dict[str, Progress]:
    """The progress of those jobs that have any."""
    states = zip(job_ids, ProgressReader(valkey).states(job_ids), strict=True)
    found = {job_id: parse_progress(state) for job_id, state in states if state}
    return {job_id: progress for job_id, progress in found.items() if progress}


@pytest.mark.parametrize("priority", Priority)
def test_a_message_lands_in_the_queue_of_its_priority(
    valkey: redis.Redis, settings: Settings, priority: Priority
) -> None:
    Publisher(settings).publish("the-job", priority)

    lengths = {p: valkey.llen(queue_name(p)) for p in Priority}
    assert lengths == {p: int(p == priority) for p in Priority}
    message = json.loads(str(valkey.lindex(queue_name(priority), 0)))
    assert message["headers"]["task"] == TASK_NAME
    assert message["headers"]["id"] == "the-job"
    assert message["content-type"] == "application/json"


def test_a_message_carries_the_id_of_the_job_and_nothing_else(
    valkey: redis.Redis, settings: Settings
) -> None:
    Publisher(settings).publish("the-job", Priority.NORMAL)
    app = Celery(broker=settings.broker)
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get(queue_name(Priority.NORMAL))
        arguments, options, _ = message.decode()
        message.ack()
    assert (arguments, options) == (["the-job"], {})


def test_publishing_gives_up_in_time_for_a_request() -> None:
    publisher = Publisher(Settings(broker_url="redis://127.0.0.1:9/0", _env_file=None))
    started = time.monotonic()
    with pytest.raises(OperationalError):
        publisher.publish("the-job", Priority.NORMAL)
    assert time.monotonic() - started < 2


@celery_stores
def test_progress_that_a_worker_put_into_its_task_is_read(
    valkey: redis.Redis, settings: Settings
) -> None:
    running, done, failed, pending = (str(uuid.uuid4()) for _ in range(4))
    app = Celery("worker", set_as_current=False)
    app.conf.update(worker_config(settings))
    app.backend.store_result(running, PROGRESS.model_dump(mode="json"), "PROGRESS")
    app.backend.mark_as_done(done, PROGRESS.model_dump(mode="json"))
    app.backend.mark_as_failure(failed, ValueError("broken"))

    found = read(valkey, [running, done, failed, pending])

    assert found == {running: PROGRESS, done: PROGRESS}
    assert read(valkey, []) == {}


@celery_stores
def test_the_newest_progress_is_read(valkey: redis.Redis, settings: Settings) -> None:
    app = Celery("worker", set_as_current=False)
    app.conf.update(worker_config(settings))
    for step in (1, 2, 3):
        progress = PROGRESS.model_copy(update={"step": step})
        app.backend.store_result("job", progress.model_dump(mode="json"), "PROGRESS")
    assert read(valkey, ["job"])["job"].step == 3


def test_a_worker_is_set_up_so_that_no_job_is_lost_or_run_twice() -> None:
    """Each value answers a trap; see docs/decisions/0003-job-record-as-truth.md."""
    settings = Settings(
        redis_url="redis://one/0",
        broker_url="redis://two/0",
        result_backend_url="redis://three/0",
        retention_seconds=1234,
        _env_file=None,
    )
    app = Celery("worker", set_as_current=False)
    app.conf.update(worker_config(settings))
    conf = app.conf

    assert (conf.broker_url, conf.result_backend) == ("redis://two/0", "redis://three/0")
    # 3: a blip must not cancel what runs. 4: a result is stored once Redis is back.
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False
    assert (conf.result_backend_always_retry, conf.result_backend_max_retries) == (True, 60)
    # 5: nothing that runs is handed out again. 6: what a dead worker held is, soon.
    transport = conf.broker_transport_options
    assert transport["visibility_timeout"] == VISIBILITY_TIMEOUT_SECONDS == 9000
    assert conf.result_backend_transport_options["visibility_timeout"] == 9000
    assert conf.visibility_timeout == 9000
    assert (transport["unacked_restore_interval"], transport["unacked_restore_throttle"]) == (15, 1)
    # 8: nobody hoards messages, and a message is gone only when its job has ended.
    assert (conf.worker_prefetch_multiplier, conf.task_acks_late) == (1, True)
    # 12: loading VGG-19 takes a while. 14: progress lasts as long as its job.
    assert conf.worker_proc_alive_timeout == 120
    assert conf.result_expires == 1234
    # 21: a worker outlasts any outage, and takes only JSON.
    assert conf.broker_connection_retry_on_startup is True
    assert conf.broker_connection_max_retries is None
    assert conf.broker_channel_error_retry is True
    assert transport["socket_timeout"] == 10
    assert transport["socket_keepalive"] is True
    assert transport["health_check_interval"] == 25
    assert conf.accept_content == ["json"]
    assert conf.task_reject_on_worker_lost in (None, False)  # 7


def test_workers_empty_the_higher_queues_first() -> None:
    config = worker_config(Settings(_env_file=None))
    assert [queue.name for queue in config["task_queues"]] == [
        "impasto.resume",  # begun jobs have waited for their turn already
        "impasto.high.turn",  # so have those that were held back, at their priority
        "impasto.high",
        "impasto.normal.turn",
        "impasto.normal",
        "impasto.low.turn",
        "impasto.low",
    ]
    assert config["broker_transport_options"]["queue_order_strategy"] == "priority"
