"""Cancelling in every state and every race: the job ends once, and stays ended."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from shared.jobs import JobStatus
from tests.faults.jobs import LONG, SMALL
from tests.faults.proxy import Moment
from tests.faults.rig import LEASE_SECONDS, Rig, until


def running_job(rig: Rig) -> str:
    job = rig.submit(**LONG)
    rig.wait_until_under_way(job.id)
    return job.id


def cancel(rig: Rig, job_id: str) -> int:
    """The status that the API answers with."""
    return httpx.post(f"{rig.url}/v1/jobs/{job_id}/cancel", timeout=30).status_code


def test_a_job_that_is_canceled_while_it_waits_stays_canceled_when_redis_restarts(
    rig: Rig,
) -> None:
    for _ in rig.workers:
        running_job(rig)
    waiting = rig.submit(**SMALL)
    rig.client.cancel(waiting.id)
    time.sleep(1.5)  # the append-only file is synced every second
    with rig.without_redis():
        pass
    time.sleep(1)
    record = rig.record(waiting.id)
    assert (record.status, record.attempt) == (JobStatus.CANCELED, 0)


def test_a_running_job_is_canceled_soon(rig: Rig) -> None:
    job_id = running_job(rig)
    rig.client.cancel(job_id)
    record = rig.wait_for_end(job_id, seconds=5)
    assert (record.status, record.attempt) == (JobStatus.CANCELED, 1)


def test_two_who_cancel_at_once_cancel_it_once(rig: Rig) -> None:
    job_id = running_job(rig)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(rig.client.cancel, [job_id] * 8))
    assert {answer.status for answer in answers} <= {JobStatus.RUNNING, JobStatus.CANCELED}
    assert rig.wait_for_end(job_id, seconds=5).status == JobStatus.CANCELED


def test_a_job_that_is_canceled_when_its_worker_is_gone_never_runs_again(rig: Rig) -> None:
    job_id = running_job(rig)
    rig.holder(job_id).kill()
    rig.client.cancel(job_id)
    record = rig.wait_for_end(job_id, seconds=4 * LEASE_SECONDS)
    assert (record.status, record.attempt) == (JobStatus.CANCELED, 1)


@pytest.mark.parametrize(
    ("moment", "answer"),
    [(Moment.BEFORE, 200), (Moment.AFTER, 409)],
)
def test_a_cancel_that_races_the_end_of_a_job_ends_it_once(
    rig: Rig, moment: Moment, answer: int
) -> None:
    answers: list[int] = []
    job = rig.submit(**SMALL)
    races = [
        worker.redis.when(
            *(b"EVALSHA", job.id.encode(), b"succeeded"),
            do=lambda: answers.append(cancel(rig, job.id)),
            moment=moment,
        )
        for worker in rig.workers
    ]
    record = rig.wait_for_end(job.id)
    until(lambda: any(race.happened for race in races), "the race")
    assert answers == [answer]
    assert record.status in (JobStatus.SUCCEEDED, JobStatus.CANCELED)


def test_cancels_at_any_time_end_every_job_once(rig: Rig) -> None:
    jobs = [rig.submit(**SMALL) for _ in range(8)]
    for number, job in enumerate(jobs):
        time.sleep(0.1 * (number % 3))
        assert cancel(rig, job.id) in (200, 409)
    ends = {rig.wait_for_end(job.id).status for job in jobs}
    assert ends <= {JobStatus.SUCCEEDED, JobStatus.CANCELED}
