"""S3 is away, slow, or refuses: jobs wait for it, and no result is published without its bytes."""

import time

import httpx
import pytest

from shared.jobs import ErrorCode, JobStatus
from tests.faults.jobs import LASTS, SMALL
from tests.faults.proxy import Moment
from tests.faults.rig import Rig, until

AWAY_SECONDS = 2.0


def running_job(rig: Rig) -> str:
    job = rig.submit(**LASTS)
    rig.wait_until_under_way(job.id)
    return job.id


def test_a_job_goes_on_while_s3_is_away(rig: Rig) -> None:
    job_id = running_job(rig)
    with rig.without_s3():
        assert not rig.accepts()
        time.sleep(AWAY_SECONDS)
    until(lambda: rig.accepts(), "the API's return")
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


def test_an_s3_that_is_away_when_the_picture_is_ready_gets_it_later(rig: Rig) -> None:
    job_id = running_job(rig)
    worker = rig.holder(job_id)
    death = worker.s3.when(b"PUT ", b"result.", do=rig.stop_s3, moment=Moment.REQUEST_LOST)
    death.wait(60)
    time.sleep(AWAY_SECONDS)
    assert rig.record(job_id).status == JobStatus.RUNNING
    rig.start_s3()
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("moment", [Moment.ANSWER_LOST, Moment.AFTER])
def test_an_s3_that_dies_between_the_picture_and_the_end_has_the_picture(
    rig: Rig, moment: Moment
) -> None:
    job_id = running_job(rig)
    worker = rig.holder(job_id)
    death = worker.s3.when(b"PUT ", b"result.", do=rig.stop_s3, moment=moment)
    death.wait(60)
    time.sleep(1)
    rig.start_s3()
    assert rig.wait_for_end(job_id).status == JobStatus.SUCCEEDED


def test_a_slow_s3_makes_nothing_fail(rig: Rig) -> None:
    for part in rig.parts:
        part.s3.slow(delay_seconds=0.1)
    job = rig.submit(**LASTS)
    record = rig.wait_for_end(job.id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


def test_an_s3_that_refuses_the_workers_key_for_a_while_delays_the_job(rig: Rig) -> None:
    job_id = running_job(rig)
    worker = rig.holder(job_id)
    key = str(rig.settings.s3_access_key_id).encode()
    refused = worker.s3.when(b"PUT ", b"result.", moment=Moment.BEFORE)
    # S3 itself refuses a key that it does not know.
    worker.s3.change_requests(lambda piece: piece.replace(key, key[::-1]))
    refused.wait(60)
    time.sleep(AWAY_SECONDS)
    assert rig.record(job_id).status == JobStatus.RUNNING
    worker.mend()
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


def test_a_worker_whom_alone_s3_refuses_leaves_its_job_to_another(rig: Rig) -> None:
    job_id = running_job(rig)
    worker = rig.holder(job_id)
    key = str(rig.settings.s3_access_key_id).encode()
    worker.s3.change_requests(lambda piece: piece.replace(key, key[::-1]))
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)
    assert record.worker != worker.name


def test_a_picture_that_is_damaged_on_its_way_is_sent_again(rig: Rig) -> None:
    job_id = running_job(rig)
    worker = rig.holder(job_id)
    damaged = worker.s3.when(b"IDAT", moment=Moment.BEFORE)
    worker.s3.change_requests(lambda piece: piece.replace(b"IDAT", b"idat"))
    damaged.wait(60)
    time.sleep(1)
    worker.mend()
    record = rig.wait_for_end(job_id)  # what lies in S3 is compared with its hash afterwards
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


def test_a_full_disk_of_s3_delays_what_has_to_be_stored(rig: Rig) -> None:
    job_id = running_job(rig)
    refused = rig.holder(job_id).s3.when(b"PUT ", b"result.", moment=Moment.AFTER)
    with rig.full_disk(rig.s3):
        assert not rig.accepts()
        refused.wait(60)
        assert rig.record(job_id).status == JobStatus.RUNNING
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)
    until(lambda: rig.accepts(), "the API's return")


def test_an_api_whose_key_s3_refuses_accepts_nothing(rig: Rig) -> None:
    key = str(rig.settings.s3_access_key_id).encode()
    rig.api.s3.change_requests(lambda piece: piece.replace(key, key[::-1]))
    assert not rig.accepts()
    assert httpx.get(f"{rig.url}/readyz", timeout=30).status_code == 503
    rig.api.mend()
    assert rig.accepts()


def test_a_job_whose_input_is_gone_fails_and_says_so(rig: Rig) -> None:
    for worker in rig.workers:
        worker.freeze()
    job = rig.submit(**SMALL)
    content = rig.record(job.id).inputs.content
    rig.storage._s3.delete_object(Bucket=rig.settings.s3_bucket, Key=f"inputs/{content}")
    for worker in rig.workers:
        worker.thaw()
    record = rig.wait_for_end(job.id)
    assert record.status == JobStatus.FAILED
    assert record.error is not None
    assert record.error.code == ErrorCode.STORAGE
