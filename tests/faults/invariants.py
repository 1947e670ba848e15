"""What holds after every fault, whatever was broken: the promise, as a check.

Execution is at least once; the end is observed once; at most one result is published.
"""

import hashlib
import itertools
from collections.abc import Iterable

from shared import names
from shared.jobs import TERMINAL, JobRecord, JobStatus
from shared.storage import ObjectMissing
from tests.faults.rig import WAIT_SECONDS, Rig, until

# Beyond what a worker takes for its first job: caches, arenas, the buffers of larger pictures.
MEMORY_GROWTH_BYTES = 300 * 2**20
CLAIMED = "claimed"
RELEASED = "released"
RESTORED = "restored"


def check(rig: Rig, job_ids: Iterable[str]) -> list[JobRecord]:
    """Raise `AssertionError` if one of these jobs, which have ended, breaks a promise.

    The servers have to be up. Returns the records.
    """
    records = [rig.record(job_id) for job_id in job_ids]
    for record in records:
        check_job(rig, record)
    _workers_do_not_grow(rig)
    return records


def check_job(rig: Rig, record: JobRecord) -> None:
    """Raise `AssertionError` if a job, which has ended, breaks a promise."""
    _has_ended_once(rig, record)
    _has_a_result_if_it_succeeded(rig, record)
    _was_held_by_one_at_a_time(rig, record)


def _has_ended_once(rig: Rig, record: JobRecord) -> None:
    assert record.status.is_terminal, f"job {record.id} is {record.status}"
    indexes = [
        status
        for status in JobStatus
        if rig.redis.zscore(names.index(record.owner, status), record.id) is not None
    ]
    assert indexes == [record.status], f"job {record.id} is {record.status} and listed as {indexes}"
    for unfinished in (names.QUEUE, names.DUE, names.LEASES):
        assert rig.redis.zscore(unfinished, record.id) is None, f"{record.id} is in {unfinished}"
    ends = [event.event for event in record.history if event.event in TERMINAL]
    ends += [
        event.detail
        for event in record.history
        if event.event == RESTORED and event.detail in TERMINAL
    ]
    assert ends == [record.status], f"job {record.id} ended as {ends}"
    assert rig.client.job(record.id).status == record.status
    assert record.finished_at is not None
    assert record.finished_at >= record.created_at


def _has_a_result_if_it_succeeded(rig: Rig, record: JobRecord) -> None:
    succeeded = record.status == JobStatus.SUCCEEDED
    assert (record.output is not None) == succeeded, f"{record.id}: {record.output}"
    assert (record.error is not None) == (record.status == JobStatus.FAILED)
    if record.output is None:
        return
    try:
        picture = rig.storage.get(record.output.result_key)
        manifest = rig.storage.get(record.output.manifest_key)
    except ObjectMissing as missing:
        raise AssertionError(f"the result of {record.id} is gone: {missing}") from None
    assert hashlib.sha256(picture).hexdigest() == record.output.sha256
    assert len(picture) == record.output.size_bytes
    assert record.output.sha256.encode() in manifest
    assert rig.client.result(record.id) == picture
    asked = f"{record.params.model_dump_json()} {record.inputs.model_dump_json()}"
    first = rig.pictures.setdefault(asked, record.output.sha256)
    assert record.output.sha256 == first, f"{record.id} is not the picture that was painted before"


def _was_held_by_one_at_a_time(rig: Rig, record: JobRecord) -> None:
    fences = [event.fence for event in record.history]
    assert fences == sorted(fences), f"fences of {record.id} fall: {fences}"
    claims = [event.fence for event in record.history if event.event == CLAIMED]
    assert all(a < b for a, b in itertools.pairwise(claims)), f"{record.id}: {claims}"
    assert max([*fences, 0]) <= record.fence
    released = sum(event.event == RELEASED for event in record.history)
    assert record.attempt <= rig.settings.max_attempts
    assert len(claims) - released <= rig.settings.max_attempts


def _workers_do_not_grow(rig: Rig) -> None:
    def are_small() -> bool:
        return max(rig.memory().values()) < rig.memory_at_start + MEMORY_GROWTH_BYTES

    # A worker that measures its speed has a second network, for long where the machine is busy.
    what = f"{rig.memory_at_start} bytes at start, now {rig.memory()}: less memory"
    until(are_small, what, seconds=3 * WAIT_SECONDS)
