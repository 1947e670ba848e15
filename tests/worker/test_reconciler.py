"""Jobs that nobody holds are published again."""

import json
import time

import pytest
import redis

from shared.jobs import Priority
from shared.messaging import RESUME_QUEUE, Publisher, queue_name, worker_config
from shared.names import DUE, LEASES
from shared.records import JobRecords, Lease
from shared.settings import Settings
from tests.shared.conftest import job_request
from worker.reconciler import Reconciler


@pytest.fixture
def reconciler(valkey: redis.Redis, records: JobRecords, settings: Settings) -> Reconciler:
    return Reconciler(valkey, records, Publisher(settings), interval_seconds=0.3)


def create(records: JobRecords, priority: Priority = Priority.NORMAL) -> str:
    job = job_request(priority=priority)
    assert records.create(job) is None
    return job.id


def messages(valkey: redis.Redis, queue: str = queue_name(Priority.NORMAL)) -> list[str]:
    """Ids of the jobs that messages wait for, the next one first."""
    waiting = valkey.lrange(queue, 0, -1)
    return [json.loads(str(text))["headers"]["id"] for text in reversed(list(waiting))]


def make_due(valkey: redis.Redis, *job_ids: str) -> None:
    valkey.zadd(DUE, {job_id: number for number, job_id in enumerate(job_ids, start=1)})


def test_jobs_that_have_waited_get_a_message_whatever_else_waits(
    reconciler: Reconciler, records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    low, first, second = create(records, Priority.LOW), create(records), create(records)
    Publisher(settings).publish(second, Priority.NORMAL)
    make_due(valkey, low, first)

    reconciler.run()
    reconciler.run()

    assert messages(valkey) == [second, first]
    assert messages(valkey, queue_name(Priority.LOW)) == [low]
    assert messages(valkey, queue_name(Priority.HIGH)) == []


def test_a_job_that_was_just_accepted_needs_no_second_message(
    reconciler: Reconciler, records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    job_id = create(records)
    Publisher(settings).publish(job_id, Priority.NORMAL)
    reconciler.run()
    assert messages(valkey) == [job_id]


def test_a_job_whose_worker_is_gone_gets_one_message_before_all_that_wait(
    reconciler: Reconciler,
    records: JobRecords,
    valkey: redis.Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.reconciler.MAX_PUBLISHED_AT_ONCE", 3)
    waiting = [create(records, Priority.HIGH) for _ in range(5)]
    make_due(valkey, *waiting)
    lost, held = create(records), create(records)
    for job_id in (lost, held):
        assert isinstance(records.claim(job_id, "w1"), Lease)
    valkey.hset(f"impasto:job:{{{lost}}}", "lease_until", 1)
    valkey.zadd(LEASES, {lost: 1})

    reconciler.run()
    reconciler.run()

    assert messages(valkey, RESUME_QUEUE) == [lost]
    assert worker_config(settings)["task_queues"][0].name == RESUME_QUEUE


def test_finished_and_canceled_jobs_are_left_alone(
    reconciler: Reconciler, records: JobRecords, valkey: redis.Redis
) -> None:
    canceled, stopped = create(records), create(records)
    records.cancel(canceled)
    lease = records.claim(stopped, "w1")
    assert isinstance(lease, Lease)
    records.stop(lease)
    reconciler.run()
    assert messages(valkey) == []


def test_a_long_queue_is_published_in_portions(
    reconciler: Reconciler,
    records: JobRecords,
    valkey: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.reconciler.MAX_PUBLISHED_AT_ONCE", 20)
    jobs = [create(records) for _ in range(25)]
    make_due(valkey, *jobs)
    reconciler.run()
    assert messages(valkey) == jobs[:20]


def test_jobs_that_wait_for_their_owner_get_no_message_and_hide_nobody_behind_them(
    valkey: redis.Redis, settings: Settings
) -> None:
    records = JobRecords(valkey, settings.model_copy(update={"republish_seconds": 0.01}))
    reconciler = Reconciler(valkey, records, Publisher(settings), interval_seconds=60)
    jobs = [job_request(owner="ann") for _ in range(1000)]
    for job in jobs:
        assert records.create(job, max_running_jobs=1) is None
        lease = records.claim(job.id, "w1")
    other = create(records)
    valkey.zadd(DUE, {other: time.time() + 3600})  # its message is lost, and it has waited for long

    for _ in range(3):
        reconciler.run()
        time.sleep(0.02)

    assert lease == "held_back"
    assert set(messages(valkey)) == {other}
    assert len(messages(valkey)) == 2


def test_a_job_that_was_held_back_goes_before_those_of_its_priority_when_it_is_called_up(
    reconciler: Reconciler, records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    first, second = (job_request(owner="ann") for _ in range(2))
    for job in (first, second):
        assert records.create(job, max_running_jobs=1) is None
    lease = records.claim(first.id, "w1")
    assert isinstance(lease, Lease)
    assert records.claim(second.id, "w1") == "held_back"
    records.stop(lease)

    reconciler.run()

    turn = queue_name(Priority.NORMAL, held_back=True)
    assert messages(valkey, turn) == [second.id]
    queues = [queue.name for queue in worker_config(settings)["task_queues"]]
    assert queues.index(turn) == queues.index(queue_name(Priority.NORMAL)) - 1


def test_one_of_many_workers_looks_in_every_interval(
    valkey: redis.Redis, records: JobRecords, settings: Settings
) -> None:
    job_id = create(records)
    workers = [
        Reconciler(valkey, records, Publisher(settings), interval_seconds=60) for _ in range(3)
    ]
    for worker in workers:
        make_due(valkey, job_id)
        worker.run_if_due()
    assert messages(valkey) == [job_id]
