"""A job whose worker is lost goes on where it was, and becomes the same picture.

That it is the same is checked after every test: see `invariants`.
"""

import os
import signal

from shared.jobs import JobRecord, JobStatus
from tests.faults.jobs import LASTS
from tests.faults.rig import Part, Rig, until

END_SECONDS = 15.0


def saved_job(rig: Rig) -> tuple[str, Part]:
    """A job that is under way and has been saved, and its worker."""
    job = rig.submit(**LASTS)
    rig.wait_for_checkpoint(job.id)
    return job.id, rig.holder(job.id)


def steps_of_resumption(record: JobRecord) -> list[int]:
    """From which steps its workers went on."""
    details = [event.detail for event in record.history if event.event == "resumed"]
    return [int(detail.removeprefix("step ")) for detail in details]


def test_a_job_whose_worker_is_killed_goes_on_from_its_checkpoint(rig: Rig) -> None:
    job_id, worker = saved_job(rig)
    worker.kill()
    saved = rig.record(job_id).checkpoints[0].step

    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    assert steps_of_resumption(record) == [saved]


def test_a_worker_that_is_asked_to_end_saves_its_last_step(rig: Rig) -> None:
    job_id, worker = saved_job(rig)
    progress = rig.client.job(job_id).progress
    assert progress is not None
    worker.terminate()
    worker.wait_for_the_end(END_SECONDS)

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)
    (step,) = steps_of_resumption(record)
    assert step >= progress.step


def test_a_job_survives_worker_after_worker(rig: Rig) -> None:
    job_id, worker = saved_job(rig)
    os.kill(rig.child(worker), signal.SIGKILL)
    until(lambda: len(steps_of_resumption(rig.record(job_id))) == 1, "the first resumption")
    painter = rig.painter(job_id)
    assert painter is not None
    os.kill(painter, signal.SIGKILL)

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 3)
    first, second = steps_of_resumption(record)
    assert first <= second


def damage(rig: Rig, key: str) -> None:
    data = bytearray(rig.storage.get(key))
    data[len(data) // 2] ^= 0xFF
    rig.storage.put(key, bytes(data), "application/octet-stream")


def test_a_damaged_checkpoint_is_not_used(rig: Rig) -> None:
    job_id, worker = saved_job(rig)
    until(lambda: len(rig.record(job_id).checkpoints) == 2, "a second checkpoint")
    worker.freeze()
    newest, older = rig.record(job_id).checkpoints
    damage(rig, newest.key)
    worker.kill()

    record = rig.wait_for_end(job_id)
    assert record.status == JobStatus.SUCCEEDED
    assert steps_of_resumption(record) == [older.step]


def test_a_job_whose_checkpoints_are_all_damaged_begins_anew(rig: Rig) -> None:
    job_id, worker = saved_job(rig)
    worker.freeze()
    for checkpoint in rig.record(job_id).checkpoints:
        damage(rig, checkpoint.key)
    worker.kill()

    record = rig.wait_for_end(job_id)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 2)
    assert steps_of_resumption(record) == []
