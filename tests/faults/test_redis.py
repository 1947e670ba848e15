"""Redis dies, is away, says nothing, or cuts connections: nothing that was accepted is lost."""

import time

import pytest

from shared.jobs import JobStatus, Priority
from shared.messaging import queue_name
from tests.faults.jobs import LASTS, LONG, SMALL
from tests.faults.rig import LEASE_SECONDS, Rig, until


def running_job(rig: Rig) -> str:
    job = rig.submit(**LASTS)
    rig.wait_until_under_way(job.id)
    return job.id


def test_jobs_outlive_a_redis_that_is_killed(rig: Rig) -> None:
    running = running_job(rig)
    waiting = [rig.submit(**SMALL).id for _ in range(3)]
    time.sleep(1.5)  # the append-only file is synced every second
    with rig.without_redis():
        pass
    for job_id in [running, *waiting]:
        assert rig.wait_for_end(job_id).status == JobStatus.SUCCEEDED


def test_a_redis_that_is_away_for_longer_than_a_lease_loses_no_job(rig: Rig) -> None:
    job_id = running_job(rig)
    with rig.without_redis():
        assert not rig.answers()
        time.sleep(1.5 * LEASE_SECONDS)
        assert not rig.answers()
    until(lambda: rig.answers(), "the API's return")
    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    assert record.attempt <= 2


def test_a_redis_that_says_nothing_for_longer_than_a_lease_loses_no_job(rig: Rig) -> None:
    job_id = running_job(rig)
    for part in rig.parts:
        part.redis.black_hole()
    started = time.monotonic()
    assert not rig.answers()
    time.sleep(max(0.0, 1.5 * LEASE_SECONDS - (time.monotonic() - started)))
    for part in rig.parts:
        part.redis.pass_on()
    until(lambda: rig.answers(), "the API's return")
    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    assert record.attempt <= 2


def test_connections_that_are_killed_do_not_run_a_job_twice(rig: Rig) -> None:
    job_id = running_job(rig)
    worker = rig.holder(job_id)
    for address in worker.redis.addresses:
        rig.redis.client_kill_filter(addr=address)
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt, record.fence) == (JobStatus.SUCCEEDED, 1, 1)


def test_an_api_without_redis_does_not_touch_the_work(rig: Rig) -> None:
    job_id = running_job(rig)
    rig.api.redis.black_hole()
    assert not rig.answers()
    record = rig.wait_for_end(job_id)
    rig.api.redis.pass_on()
    until(lambda: rig.answers(), "the API's return")
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("when", ["while it runs", "when it has ended"])
def test_a_job_whose_celery_result_has_expired_is_known_all_the_same(rig: Rig, when: str) -> None:
    job_id = running_job(rig) if when == "while it runs" else rig.submit(**SMALL).id
    if when == "when it has ended":
        rig.wait_for_end(job_id)
    rig.redis.delete(f"celery-task-meta-{job_id}")
    assert rig.client.job(job_id).status == rig.record(job_id).status
    assert rig.wait_for_end(job_id).status == JobStatus.SUCCEEDED


def test_a_job_whose_message_is_lost_is_painted(rig: Rig) -> None:
    busy = [rig.submit(**LONG).id for _ in rig.workers]
    for job_id in busy:
        rig.wait_until_under_way(job_id)
    job = rig.submit(**SMALL)
    assert rig.redis.delete(queue_name(Priority.NORMAL)) == 1
    for job_id in busy:
        rig.client.cancel(job_id)
    assert rig.wait_for_end(job.id).status == JobStatus.SUCCEEDED


def test_a_full_redis_takes_no_job_and_loses_none(rig: Rig) -> None:
    job_id = running_job(rig)
    waiting = [rig.submit(**SMALL).id for _ in range(3)]
    rig.redis.config_set("maxmemory", 1)
    assert not rig.accepts()
    record = rig.wait_for_end(job_id)  # what is there goes on
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)
    rig.redis.config_set("maxmemory", 0)
    for waits in waiting:
        assert rig.wait_for_end(waits).status == JobStatus.SUCCEEDED
    until(lambda: rig.accepts(), "the API's return")


def test_a_full_disk_of_redis_takes_no_job_and_loses_none(rig: Rig) -> None:
    job_id = running_job(rig)
    with rig.full_disk(rig.valkey):
        until(lambda: not rig.accepts(), "refusals")
        time.sleep(1.5 * LEASE_SECONDS)
    until(lambda: rig.accepts(), "the API's return")
    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    assert record.attempt <= 2


def test_a_redis_that_lost_everything_gets_its_jobs_back_from_s3(rig: Rig) -> None:
    done = rig.submit(**SMALL).id
    output = rig.wait_for_end(done).output
    job_id = running_job(rig)
    checkpoint = rig.wait_for_checkpoint(job_id)
    rig.stop_redis()
    rig.wipe_redis()
    rig.start_redis()
    assert rig.records.get(job_id) is None

    rig.run_command("recover")

    restored = rig.record(done)
    assert (restored.status, restored.output) == (JobStatus.SUCCEEDED, output)
    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    resumed = [event.detail for event in record.history if event.event == "resumed"]
    assert [int(detail.split()[1]) >= checkpoint.step for detail in resumed] == [True]


def test_a_job_that_no_worker_ended_stays_ended_when_redis_loses_everything(rig: Rig) -> None:
    job = rig.submit(**LONG)
    worker = rig.wait_until_under_way(job.id)
    worker.kill()
    rig.client.cancel(job.id)  # by the next worker who looks at it, not by the one that held it
    assert rig.wait_for_end(job.id).status == JobStatus.CANCELED
    time.sleep(2)
    rig.stop_redis()
    rig.wipe_redis()
    rig.start_redis()

    rig.run_command("recover")
    assert rig.record(job.id).status == JobStatus.CANCELED


def test_two_workers_that_hold_one_fence_publish_one_result(rig: Rig) -> None:
    """Redis comes back from an older file, and gives a claim that it has forgotten once more."""
    for worker in rig.workers:
        worker.freeze()
    job = rig.submit(**LASTS)
    time.sleep(1.5)  # the append-only file is written every second
    copy = rig.keep_redis()
    for worker in rig.workers:
        worker.thaw()
    first = rig.wait_until_under_way(job.id)
    first.cut_off()
    rig.stop_redis()
    rig.bring_back_redis(copy)
    rig.start_redis()
    until(lambda: rig.record(job.id).worker not in (None, first.name), "the second claim")
    first.mend()
    record = rig.wait_for_end(job.id)
    assert (record.status, record.fence) == (JobStatus.SUCCEEDED, 1)
    assert record.worker != first.name
