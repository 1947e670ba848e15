"""Workers that die, freeze or lose the network: another takes the job, and one result stays."""

import os
import signal
import time

from shared.jobs import JobStatus
from shared.messaging import Publisher
from tests.faults.jobs import LASTS, SMALL
from tests.faults.proxy import Moment
from tests.faults.rig import LEASE_SECONDS, Part, Rig, until

# Of a worker that is asked to end: 10 s, and some for a machine that does other things.
END_SECONDS = 15.0


def running_job(rig: Rig) -> tuple[str, Part]:
    """A job that is under way, and its worker."""
    job = rig.submit(**LASTS)
    return job.id, rig.wait_until_under_way(job.id)


def test_a_killed_painting_process_costs_one_attempt(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    os.kill(rig.child(worker), signal.SIGKILL)

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 2)
    assert worker.process.is_running  # only its child was lost


def test_a_killed_worker_is_replaced_by_another(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    worker.kill()

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 2)
    assert record.worker != worker.name


def test_a_painting_process_that_outlives_its_worker_publishes_no_second_result(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    os.kill(worker.process.pid, signal.SIGKILL)  # the parent alone: its child paints on

    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    worker.kill()


def test_a_worker_that_is_asked_to_end_gives_its_job_back_at_once(rig: Rig) -> None:
    job_id, worker = running_job(rig)

    worker.terminate()
    worker.wait_for_the_end(END_SECONDS)
    until(lambda: rig.record(job_id).worker not in (None, worker.name), "another worker", 10)

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)  # no attempt was lost
    assert record.fence == 2


def test_a_worker_that_is_asked_to_end_and_then_killed_loses_nothing(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    worker.terminate()
    worker.kill()

    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    assert record.attempt <= 2


def test_a_frozen_worker_that_wakes_up_publishes_nothing(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    worker.freeze()
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 2)

    worker.thaw()
    until(lambda: worker.name in rig.memory(), "its return")
    time.sleep(1)  # it goes on at the step where it was, and finds that it has lost the job
    assert rig.record(job_id) == record


def test_a_worker_that_is_cut_off_for_long_publishes_nothing_when_it_is_back(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    worker.cut_off()
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 2)

    worker.mend()  # what it sent meanwhile arrives now
    until(lambda: worker.name in rig.memory(), "its return")
    time.sleep(1)
    assert rig.record(job_id) == record


def test_a_worker_that_is_cut_off_for_less_than_its_lease_keeps_its_job(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    worker.cut_off()
    time.sleep(LEASE_SECONDS / 3)
    worker.mend()

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt, record.fence) == (JobStatus.SUCCEEDED, 1, 1)


def test_a_message_that_comes_twice_is_one_run(rig: Rig) -> None:
    publisher = Publisher(rig.settings)
    job_id, _ = running_job(rig)
    record = rig.record(job_id)
    for _ in range(3):
        publisher.publish(job_id, record.priority)
    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt, record.fence) == (JobStatus.SUCCEEDED, 1, 1)

    publisher.publish(job_id, record.priority)  # and when all is over
    after = rig.submit(**SMALL)
    assert rig.wait_for_end(after.id).status == JobStatus.SUCCEEDED
    assert rig.record(job_id) == record


def test_a_claim_whose_answer_is_lost_costs_no_attempt(rig: Rig) -> None:
    losses = [
        worker.redis.when(b"EVALSHA", worker.name.encode(), moment=Moment.ANSWER_LOST)
        for worker in rig.workers
    ]
    job = rig.submit(**SMALL)
    record = rig.wait_for_end(job.id)
    assert any(loss.happened for loss in losses)
    assert (record.status, record.attempt, record.fence) == (JobStatus.SUCCEEDED, 1, 1)


def test_an_end_whose_answer_is_lost_is_the_end_all_the_same(rig: Rig) -> None:
    job_id, worker = running_job(rig)
    loss = worker.redis.when(b"EVALSHA", job_id.encode(), b"succeeded", moment=Moment.ANSWER_LOST)
    record = rig.wait_for_end(job_id)
    loss.wait(1)
    assert (record.status, record.attempt, record.fence) == (JobStatus.SUCCEEDED, 1, 1)
