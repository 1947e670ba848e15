"""Job records on a real server: each job has one truth, and one end."""

import itertools
import threading
import time
from typing import Any

import hypothesis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from shared import names
from shared.connections import connect_impatient, connect_patient
from shared.jobs import (
    ANONYMOUS,
    Checkpoint,
    ErrorCode,
    Inputs,
    JobError,
    JobRecord,
    JobStatus,
    Priority,
    StoredOutput,
)
from shared.names import DUE, LEASES
from shared.parameters import Parameters
from shared.records import Due, JobRecords, Lease, Refusal, Renewal, new_claim
from shared.settings import Settings
from tests.shared.conftest import INPUTS, job_request
from tests.shared.strategies import patient

ALL = frozenset(JobStatus)
OUTPUT = StoredOutput(
    content_type="image/png",
    width_px=64,
    height_px=48,
    size_bytes=123,
    sha256="a" * 64,
    result_key="jobs/x/1/result.png",
    manifest_key="jobs/x/1/manifest.json",
)
CHECKPOINT = Checkpoint(key="jobs/x/checkpoints/1-5.pt", sha256="b" * 64, size_bytes=9, step=5)
ERROR = JobError(code=ErrorCode.DIVERGED, message="the loss is not a number")


def create(records: JobRecords, priority: Priority = Priority.NORMAL, **metadata: Any) -> str:
    request = job_request(metadata=metadata, priority=priority)
    assert records.create(request) is None
    return request.id


def claim(records: JobRecords, job_id: str, worker: str = "w1") -> Lease:
    lease = records.claim(job_id, worker)
    assert isinstance(lease, Lease), lease
    return lease


def get(records: JobRecords, job_id: str) -> JobRecord:
    found = records.get(job_id)
    assert found is not None
    return found[0]


def position(records: JobRecords, job_id: str) -> int | None:
    found = records.get(job_id)
    assert found is not None
    return found[1]


def expire(valkey: redis.Redis, job_id: str) -> None:
    """Let the lease of a job run out."""
    valkey.hset(f"impasto:job:{{{job_id}}}", "lease_until", 1)


def listed(records: JobRecords, *statuses: JobStatus) -> list[str]:
    return records.page(ANONYMOUS, frozenset(statuses) or ALL, 100, None)


# -- the way of a job ---------------------------------------------------------------------------


def test_a_new_job_is_queued_with_what_was_asked_for(records: JobRecords) -> None:
    parameters = Parameters.model_validate({"preset": "neural-style", "size": 96, "seed": 2**62})
    metadata = {"note": "héllo \U0001f3a8", "nested": {"n": [1, 2.5, None, True]}}
    request = job_request(params=parameters, metadata=metadata, priority=Priority.HIGH)
    assert records.create(request) is None

    record = get(records, request.id)

    assert record.status == JobStatus.QUEUED
    assert (record.params, record.metadata, record.inputs) == (parameters, metadata, INPUTS)
    assert (record.priority, record.attempt, record.fence) == (Priority.HIGH, 0, 0)
    assert abs(record.created_at.timestamp() - time.time()) < 5
    assert record.started_at is record.finished_at is record.expires_at is None
    assert record.output is record.error is record.worker is None


def test_a_job_from_before_there_were_masks_is_still_read(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    valkey.hset(f"impasto:job:{{{job_id}}}", "inputs", '{"content": "c", "styles": ["s"]}')
    assert get(records, job_id).inputs == Inputs(content="c", styles=["s"], masks=[], init=None)


def test_a_job_is_claimed_by_one_worker_only(records: JobRecords) -> None:
    job_id = create(records)

    lease = claim(records, job_id)
    assert records.claim(job_id, "w2") == "busy"

    assert (lease.fence, lease.attempt) == (1, 1)
    record = get(records, job_id)
    assert (record.status, record.worker) == (JobStatus.RUNNING, "w1")
    assert record.started_at is not None
    assert position(records, job_id) is None


def test_of_many_workers_that_claim_at_once_one_gets_the_job(
    records: JobRecords, settings: Settings
) -> None:
    job_id = create(records)
    start = threading.Barrier(8)
    answers: list[Lease | str] = []

    def run(worker: str) -> None:
        own = JobRecords(connect_patient(settings.redis_url.get_secret_value()), settings)
        start.wait()
        answers.append(own.claim(job_id, worker))

    threads = [threading.Thread(target=run, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Lease) for answer in answers) == 1
    assert answers.count("busy") == 7


def test_a_finished_job_names_its_result_and_when_it_expires(
    records: JobRecords, settings: Settings
) -> None:
    job_id = create(records)
    assert records.succeed(claim(records, job_id), OUTPUT)

    record = get(records, job_id)
    assert (record.status, record.output, record.error) == (JobStatus.SUCCEEDED, OUTPUT, None)
    assert record.finished_at is not None
    assert record.expires_at is not None
    kept = (record.expires_at - record.finished_at).total_seconds()
    assert kept == pytest.approx(settings.retention_seconds, abs=0.01)
    assert records.claim(job_id, "w2") == "finished"


def test_a_failed_job_says_why(records: JobRecords) -> None:
    job_id = create(records)
    assert records.fail(claim(records, job_id), ERROR)
    record = get(records, job_id)
    assert (record.status, record.error, record.output) == (JobStatus.FAILED, ERROR, None)


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        (lambda records, lease: records.succeed(lease, OUTPUT), JobStatus.SUCCEEDED),
        (lambda records, lease: records.fail(lease, ERROR), JobStatus.FAILED),
        (lambda records, lease: records.stop(lease), JobStatus.CANCELED),
    ],
)
def test_an_ended_job_does_not_change_again(
    records: JobRecords, finish: Any, status: JobStatus
) -> None:
    job_id = create(records)
    lease = claim(records, job_id)
    assert finish(records, lease)
    before = get(records, job_id)

    # Told again, as by a client whose answer was lost: it is so, and nothing is written.
    assert records.succeed(lease, OUTPUT) == (status == JobStatus.SUCCEEDED)
    assert records.fail(lease, ERROR) == (status == JobStatus.FAILED)
    assert records.stop(lease) == (status == JobStatus.CANCELED)
    assert records.release(lease) == status
    assert records.renew(lease) == Renewal.LOST
    assert records.cancel(job_id) == status
    assert records.claim(job_id, "w2") == "finished"
    assert get(records, job_id) == before
    assert listed(records, status) == [job_id] == listed(records)


def test_a_job_that_is_not_there_is_not_made_by_asking(
    records: JobRecords, valkey: redis.Redis
) -> None:
    ghost = "0190a000-0000-7000-8000-000000000000"
    assert records.get(ghost) is None
    assert records.cancel(ghost) is None
    assert records.claim(ghost, "w1") == "gone"
    assert records.renew(Lease(ghost, 1, 1, "c")) == Renewal.LOST
    assert not records.succeed(Lease(ghost, 1, 1, "c"), OUTPUT)
    assert not records.release(Lease(ghost, 1, 1, "c"))
    assert records.checkpoint(Lease(ghost, 1, 1, "c"), CHECKPOINT) is None
    records.resumed(Lease(ghost, 1, 1, "c"), 5)
    assert records.delete(ghost) is None
    assert valkey.keys("*") == [names.COUNTERS]  # the refused writes


def test_a_job_of_which_nobody_has_heard_is_accepted_or_withdrawn_but_not_both(
    records: JobRecords,
) -> None:
    late, early = job_request(), job_request()
    assert records.withdraw(late.id)
    assert records.create(late) == Refusal.SUPERSEDED  # it lay in some buffer
    assert records.get(late.id) is None

    assert records.create(early) is None
    assert not records.withdraw(early.id)
    assert get(records, early.id).status == JobStatus.QUEUED


# -- lost workers -------------------------------------------------------------------------------


def test_the_lease_of_a_lost_worker_goes_to_another_with_a_higher_fence(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    stale = claim(records, job_id, "w1")
    expire(valkey, job_id)

    fresh = claim(records, job_id, "w2")

    assert (fresh.fence, fresh.attempt) == (2, 2)
    assert get(records, job_id).worker == "w2"
    assert stale.fence < fresh.fence


def test_a_worker_whose_lease_was_taken_can_no_longer_write(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    stale = claim(records, job_id, "w1")
    expire(valkey, job_id)
    fresh = claim(records, job_id, "w2")
    before = valkey.hgetall(f"impasto:job:{{{job_id}}}")

    assert records.renew(stale) == Renewal.LOST
    assert not records.succeed(stale, OUTPUT)
    assert not records.fail(stale, ERROR)
    assert not records.stop(stale)
    assert not records.release(stale)

    assert valkey.hgetall(f"impasto:job:{{{job_id}}}") == before
    assert records.succeed(fresh, OUTPUT)


def test_a_late_worker_may_finish_as_long_as_nobody_took_its_job(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    lease = claim(records, job_id)
    expire(valkey, job_id)
    assert records.renew(lease) == Renewal.HELD
    assert records.claim(job_id, "w2") == "busy"
    assert records.succeed(lease, OUTPUT)


def test_renewing_keeps_the_lease_beyond_its_first_end(valkey: redis.Redis) -> None:
    short = JobRecords(valkey, Settings(lease_seconds=0.2, heartbeat_seconds=0.05, _env_file=None))
    job_id = create(short)
    lease = claim(short, job_id)
    for _ in range(4):
        time.sleep(0.1)
        assert short.renew(lease) == Renewal.HELD
        assert short.claim(job_id, "w2") == "busy"
    time.sleep(0.25)
    assert isinstance(short.claim(job_id, "w2"), Lease)


def test_a_job_that_lost_three_workers_fails_and_says_so(
    records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    job_id = create(records)
    for attempt in range(1, settings.max_attempts + 1):
        assert claim(records, job_id).attempt == attempt
        expire(valkey, job_id)

    assert records.claim(job_id, "w9") == "exhausted"

    record = get(records, job_id)
    assert record.status == JobStatus.FAILED
    assert record.error is not None
    assert record.error.code == ErrorCode.MAX_ATTEMPTS
    assert record.attempt == settings.max_attempts
    assert records.claim(job_id, "w9") == "finished"
    assert listed(records, JobStatus.FAILED) == [job_id] == listed(records)
    assert due(valkey) == []


def due(valkey: redis.Redis) -> list[str]:
    """All jobs that somebody should look after, now or later."""
    return [str(job_id) for name in (DUE, LEASES) for job_id in valkey.zrange(name, 0, -1)]


def test_jobs_whose_lease_ran_out_are_due(records: JobRecords, valkey: redis.Redis) -> None:
    held, lost = create(records), create(records, Priority.LOW)
    claim(records, held)
    claim(records, lost)
    assert records.take_due(10) == []

    valkey.zadd(LEASES, {lost: 1})

    assert records.take_due(10) == [Due(lost, Priority.LOW, begun=True, leased=True)]
    assert records.take_due(10) == []  # taking it puts it off


def test_a_waiting_job_is_due_after_a_while_and_then_ever_more_rarely(
    records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    job_id = create(records)
    key = f"impasto:job:{{{job_id}}}"
    created_at = float(str(valkey.hget(key, "created_at")))
    assert valkey.zscore(DUE, job_id) == pytest.approx(created_at + settings.republish_seconds)

    valkey.hset(key, "queued_at", created_at - 1000)
    valkey.zadd(DUE, {job_id: 1})
    assert records.take_due(10) == [Due(job_id, Priority.NORMAL, begun=False)]

    assert valkey.zscore(DUE, job_id) == pytest.approx(created_at + 1000, abs=5)


def test_a_lease_that_is_renewed_is_not_due(
    records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    lease = claim(records, create(records))
    valkey.zadd(LEASES, {lease.job_id: 1})
    assert records.renew(lease) == Renewal.HELD
    assert records.take_due(10) == []


def test_a_job_given_back_waits_at_its_old_place_and_loses_no_attempt(records: JobRecords) -> None:
    first, second = create(records), create(records)
    lease = claim(records, first)

    assert records.release(lease)

    record = get(records, first)
    assert (record.status, record.attempt, record.worker) == (JobStatus.QUEUED, 0, None)
    assert (position(records, first), position(records, second)) == (0, 1)
    assert records.renew(lease) == Renewal.LOST
    again = claim(records, first, "w2")
    assert (again.attempt, again.fence) == (1, 2)  # fences only grow


def test_a_job_that_was_begun_and_given_back_is_told_apart(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    records.release(claim(records, job_id))
    valkey.zadd(DUE, {job_id: 1})
    assert records.take_due(10) == [Due(job_id, Priority.NORMAL, begun=True)]


def test_a_job_whose_turn_is_next_is_not_put_off_for_as_long_as_it_has_waited(
    records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    jobs = [create(records) for _ in range(4)]
    now = float(str(valkey.time()[0]))
    valkey.zadd(DUE, dict.fromkeys(jobs, now + 3600))
    assert records.take_due(10) == []
    for job_id in jobs[:2]:  # without workers as with one
        due_at = valkey.zscore(DUE, job_id)
        assert due_at == pytest.approx(now + settings.republish_seconds, abs=5)
    assert valkey.zscore(DUE, jobs[2]) == now + 3600


def test_jobs_whose_messages_could_not_be_sent_are_due_again(
    records: JobRecords, valkey: redis.Redis
) -> None:
    waiting, lost, ended = create(records), create(records), create(records)
    claim(records, lost)
    valkey.zadd(DUE, {waiting: 1, ended: 2})
    valkey.zadd(LEASES, {lost: 1})
    taken = records.take_due(10)
    records.cancel(ended)
    assert records.take_due(10) == []

    records.due_at_once(taken)

    assert [job.job_id for job in records.take_due(10)] == [lost, waiting]


def test_a_job_whose_workers_do_not_reach_s3_is_given_back_so_often_and_then_fails(
    records: JobRecords, settings: Settings
) -> None:
    job_id = create(records)
    reason = JobError(code=ErrorCode.STORAGE, message="in vain")
    for _ in range(settings.max_attempts - 1):
        assert records.release(claim(records, job_id), reason) == JobStatus.QUEUED
        assert get(records, job_id).attempt == 0  # no worker was lost
    lease = claim(records, job_id)
    assert records.release(lease, reason) == JobStatus.FAILED
    assert records.release(lease, reason) == JobStatus.FAILED  # its answer was lost
    assert get(records, job_id).error == reason


def test_a_claim_that_is_asked_for_again_is_the_same_claim(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id, name = create(records), new_claim()
    first = records.claim(job_id, "w1", name)
    assert isinstance(first, Lease)
    valkey.hset(f"impasto:job:{{{job_id}}}", "lease_until", 1)
    assert records.claim(job_id, "w1", name) == first
    assert records.claim(job_id, "w2") == "busy"  # it holds anew
    assert get(records, job_id).attempt == 1


# -- canceling ----------------------------------------------------------------------------------


def test_a_waiting_job_is_canceled_at_once_and_cannot_be_claimed(records: JobRecords) -> None:
    job_id, behind = create(records), create(records)

    assert records.cancel(job_id) == JobStatus.CANCELED

    record = get(records, job_id)
    assert record.status == JobStatus.CANCELED
    assert record.cancel_requested_at == record.finished_at is not None
    assert records.claim(job_id, "w1") == "finished"
    assert position(records, behind) == 0
    assert records.cancel(job_id) == JobStatus.CANCELED


def test_a_running_job_gets_a_flag_and_its_worker_ends_it(records: JobRecords) -> None:
    job_id = create(records)
    lease = claim(records, job_id)
    assert not records.wishes(job_id).cancel

    assert records.cancel(job_id) == JobStatus.RUNNING
    first = get(records, job_id).cancel_requested_at
    assert records.cancel(job_id) == JobStatus.RUNNING

    assert records.wishes(job_id).cancel
    assert get(records, job_id).cancel_requested_at == first is not None
    assert records.stop(lease)
    assert get(records, job_id).status == JobStatus.CANCELED


def test_a_worker_that_finished_first_wins_over_a_cancel(records: JobRecords) -> None:
    job_id = create(records)
    lease = claim(records, job_id)
    records.cancel(job_id)
    assert records.succeed(lease, OUTPUT)
    assert get(records, job_id).status == JobStatus.SUCCEEDED


def test_a_canceled_job_whose_worker_is_lost_is_not_painted_again(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    claim(records, job_id)
    records.cancel(job_id)
    expire(valkey, job_id)
    assert records.claim(job_id, "w2") == "canceled"
    assert get(records, job_id).status == JobStatus.CANCELED
    assert listed(records) == [job_id]


def test_a_canceled_job_that_is_given_back_ends_as_canceled(records: JobRecords) -> None:
    job_id = create(records)
    lease = claim(records, job_id)
    records.cancel(job_id)
    records.release(lease)
    assert get(records, job_id).status == JobStatus.CANCELED
    assert records.claim(job_id, "w2") == "finished"


def test_cancel_and_finish_that_race_leave_one_end(records: JobRecords, settings: Settings) -> None:
    other = JobRecords(connect_impatient(settings.redis_url.get_secret_value()), settings)
    for _ in range(30):
        job_id = create(records)
        start = threading.Barrier(2)

        def ask(job_id: str = job_id, start: threading.Barrier = start) -> None:
            start.wait()
            other.cancel(job_id)

        canceler = threading.Thread(target=ask)
        canceler.start()
        start.wait()
        lease = records.claim(job_id, "w1")
        won = isinstance(lease, Lease) and records.succeed(lease, OUTPUT)
        canceler.join()
        record = get(records, job_id)
        assert record.status == (JobStatus.SUCCEEDED if won else JobStatus.CANCELED)
        assert (record.output is not None) == won
        assert listed(records, record.status)[0] == job_id
    assert listed(records, JobStatus.QUEUED, JobStatus.RUNNING) == []


def test_a_preview_is_wanted_for_a_while_after_somebody_asked(
    records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = create(records)
    assert not records.wishes(job_id).preview
    records.want_preview(job_id)
    assert records.wishes(job_id).preview
    assert 0 < valkey.ttl(f"impasto:job:{{{job_id}}}:preview-wanted") <= 30


# -- how many of an owner's jobs run at a time --------------------------------------------------

HELD_BACK = "held_back"


def create_limited(
    records: JobRecords,
    limit: int | None = 1,
    priority: Priority = Priority.NORMAL,
    owner: str = "ann",
) -> str:
    """A job of an owner of whose jobs only so many run at a time."""
    request = job_request(owner=owner, priority=priority)
    assert records.create(request, max_running_jobs=limit) is None
    return request.id


def called_up(records: JobRecords, after: str) -> list[str]:
    return [job.job_id for job in records.called_up(after)]


def test_a_job_beyond_its_owners_limit_stays_queued_and_loses_no_attempt(
    records: JobRecords, valkey: redis.Redis
) -> None:
    first, second = create_limited(records), create_limited(records)
    claim(records, first)

    assert not records.is_free(second)
    assert records.claim(second, "w2") == HELD_BACK

    record = get(records, second)
    assert (record.status, record.attempt, record.fence) == (JobStatus.QUEUED, 0, 0)
    assert position(records, second) == 0
    assert due(valkey) == [first]  # no message is sent for the second one until the first has ended


def test_the_limit_of_one_owner_is_none_for_another(records: JobRecords) -> None:
    claim(records, create_limited(records))
    other, free = create_limited(records, owner="bob"), create(records)
    assert records.claim(create_limited(records), "w1") == HELD_BACK
    assert records.is_free(other)
    claim(records, other)
    claim(records, free)


def test_the_settings_say_the_limit_of_a_key_that_has_none(valkey: redis.Redis) -> None:
    records = JobRecords(valkey, Settings(max_running_jobs=1, _env_file=None))
    claim(records, create(records))
    assert records.claim(create(records), "w1") == HELD_BACK


@pytest.mark.parametrize(
    "leave",
    [
        lambda records, lease: records.succeed(lease, OUTPUT),
        lambda records, lease: records.fail(lease, ERROR),
        lambda records, lease: records.stop(lease),
    ],
)
def test_the_next_job_of_an_owner_is_due_at_once_when_one_ends(
    records: JobRecords, valkey: redis.Redis, leave: Any
) -> None:
    first, second, third = (create_limited(records) for _ in range(3))
    lease = claim(records, first)
    for job_id in (second, third):
        assert records.claim(job_id, "w2") == HELD_BACK
    assert called_up(records, first) == []

    assert leave(records, lease)

    expected = [Due(second, Priority.NORMAL, begun=False, held_back=True)]
    assert records.called_up(first) == expected
    assert records.take_due(10) == expected  # also if nobody has sent its message
    claim(records, second)
    assert records.claim(third, "w2") == HELD_BACK


def test_the_next_job_of_an_owner_is_due_when_one_has_lost_too_many_workers(
    records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    first, second = create_limited(records), create_limited(records)
    for _ in range(settings.max_attempts):
        claim(records, first)
        expire(valkey, first)
    assert records.claim(second, "w2") == HELD_BACK

    assert records.claim(first, "w1") == "exhausted"

    assert called_up(records, first) == [second]


def test_a_job_whose_worker_is_lost_is_not_held_back_by_itself(
    records: JobRecords, valkey: redis.Redis
) -> None:
    first, second = create_limited(records), create_limited(records)
    claim(records, first)
    expire(valkey, first)

    assert records.claim(second, "w2") == HELD_BACK
    assert records.is_free(first)
    assert claim(records, first, "w2").attempt == 2


def test_a_job_that_is_given_back_goes_before_those_that_nobody_had_begun(
    records: JobRecords,
) -> None:
    urgent_later = [Priority.NORMAL, Priority.HIGH]
    first, second = (create_limited(records, priority=priority) for priority in urgent_later)
    lease = claim(records, first)
    assert records.claim(second, "w2") == HELD_BACK

    records.release(lease)

    assert records.called_up(first) == [Due(first, Priority.NORMAL, begun=True, held_back=True)]
    assert records.claim(second, "w2") == HELD_BACK
    claim(records, first, "w2")


def test_a_job_without_a_limit_that_is_given_back_needs_a_message_too(records: JobRecords) -> None:
    job_id = create(records)
    records.release(claim(records, job_id))
    assert records.called_up(job_id) == [Due(job_id, Priority.NORMAL, begun=True)]


def test_among_the_jobs_of_an_owner_priority_counts_and_then_age(records: JobRecords) -> None:
    lease = claim(records, create_limited(records))
    order = [Priority.LOW, Priority.NORMAL, Priority.NORMAL, Priority.HIGH]
    low, older, newer, high = (create_limited(records, priority=priority) for priority in order)
    for job_id in (newer, low, older, high):
        assert records.claim(job_id, "w2") == HELD_BACK
    for following in (high, older, newer, low):
        records.stop(lease)
        assert called_up(records, lease.job_id) == [following]
        lease = claim(records, following)


def test_a_new_job_does_not_overtake_the_one_that_was_called_up(records: JobRecords) -> None:
    first, second = create_limited(records), create_limited(records)
    lease = claim(records, first)
    assert records.claim(second, "w2") == HELD_BACK
    records.stop(lease)
    new = create_limited(records)
    assert records.claim(new, "w2") == HELD_BACK  # its message came first
    claim(records, second)


def test_when_a_job_is_canceled_that_was_called_up_the_next_one_is_due(records: JobRecords) -> None:
    first, second, third = (create_limited(records) for _ in range(3))
    lease = claim(records, first)
    for job_id in (second, third):
        assert records.claim(job_id, "w2") == HELD_BACK
    records.stop(lease)
    records.cancel(second)
    assert [job.job_id for job in records.take_due(10)] == [third]


@pytest.mark.parametrize(("limit", "more"), [(2, 1), (3, 2), (None, 2)])
def test_with_a_higher_limit_jobs_that_were_held_back_are_due(
    records: JobRecords, limit: int | None, more: int
) -> None:
    claim(records, create_limited(records))
    held_back = [create_limited(records) for _ in range(2)]
    for job_id in held_back:
        assert records.claim(job_id, "w2") == HELD_BACK

    create_limited(records, limit)  # the next job that is accepted says it

    assert [job.job_id for job in records.take_due(10)] == held_back[:more]
    for job_id in held_back[:more]:
        claim(records, job_id)


def test_many_workers_that_claim_at_once_keep_to_the_limit(
    records: JobRecords, settings: Settings
) -> None:
    jobs = [create_limited(records, limit=3) for _ in range(8)]
    start = threading.Barrier(8)
    answers: list[Lease | str] = []

    def run(job_id: str) -> None:
        own = JobRecords(connect_patient(settings.redis_url.get_secret_value()), settings)
        start.wait()
        answers.append(own.claim(job_id, "w"))

    threads = [threading.Thread(target=run, args=(job_id,)) for job_id in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Lease) for answer in answers) == 3
    assert answers.count(HELD_BACK) == 5


def test_of_an_owner_whose_jobs_have_ended_nothing_is_kept_but_these(
    records: JobRecords, valkey: redis.Redis
) -> None:
    first, second = create_limited(records), create_limited(records)
    lease = claim(records, first)
    assert records.claim(second, "w2") == HELD_BACK
    records.cancel(second)
    records.stop(lease)
    assert not valkey.exists(names.RUNNING_LIMITS, names.held_back("ann"))


def test_a_job_that_was_removed_by_hand_does_not_hold_up_the_others(
    records: JobRecords, valkey: redis.Redis
) -> None:
    lease = claim(records, create_limited(records))
    removed, behind = create_limited(records), create_limited(records)
    for job_id in (removed, behind):
        assert records.claim(job_id, "w2") == HELD_BACK
    valkey.delete(names.record(removed))
    records.stop(lease)
    assert called_up(records, lease.job_id) == [behind]
    claim(records, behind)
    assert not valkey.exists(names.record(removed))


# -- the queue and the list ---------------------------------------------------------------------


def test_the_queue_goes_by_priority_then_by_age(records: JobRecords) -> None:
    low, normal, high = (
        [create(records, priority) for _ in range(2)]
        for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
    )
    order = [*high, *normal, *low]
    assert [position(records, job_id) for job_id in order] == list(range(6))


def test_a_new_job_waits_for_those_of_its_priority_and_above(records: JobRecords) -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.NORMAL):
        create(records, priority)
    assert [records.waiting_before(priority) for priority in Priority] == [1, 3, 4]


def test_a_full_queue_takes_no_job_until_one_leaves(valkey: redis.Redis) -> None:
    records = JobRecords(valkey, Settings(max_queued_jobs=2, _env_file=None))
    first = create(records)
    create(records)
    keys = set(valkey.keys("*"))

    assert records.create(job_request(priority=Priority.HIGH)) == Refusal.QUEUE_FULL
    assert set(valkey.keys("*")) == keys

    records.cancel(first)
    assert create(records)


def test_jobs_are_listed_newest_first_by_status(records: JobRecords) -> None:
    jobs = [create(records) for _ in range(5)]
    claim(records, jobs[1])
    records.cancel(jobs[3])
    assert listed(records) == jobs[::-1]
    assert listed(records, JobStatus.QUEUED) == [jobs[4], jobs[2], jobs[0]]
    assert listed(records, JobStatus.RUNNING, JobStatus.CANCELED) == [jobs[3], jobs[1]]
    assert listed(records, JobStatus.FAILED) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_paging_visits_each_job_once_though_new_ones_come(records: JobRecords, limit: int) -> None:
    jobs = [create(records) for _ in range(7)]
    for job_id in jobs[::2]:
        claim(records, job_id)
    seen: list[str] = []
    cursor = None
    for _ in itertools.count():
        page = records.page(ANONYMOUS, ALL, limit, cursor)
        if not page:
            break
        assert len(page) <= limit
        seen += page
        cursor = seen[-1]
        create(records)
    assert seen == jobs[::-1]


@pytest.mark.parametrize("cursor", ["", "zzz", "\0", "(", "[", "+", "-", "é\U0001f3a8", "x" * 5000])
def test_any_text_is_a_cursor(records: JobRecords, cursor: str) -> None:
    job_id = create(records)
    found = records.page(ANONYMOUS, ALL, 10, cursor)
    # Ids are below what sorts after them; nothing is below what sorts before.
    assert found == ([job_id] if cursor == "" or cursor > job_id else [])


@pytest.mark.parametrize("job_id", ["*", "{}", "a b", "x\ny", "impasto:queue", "}:queue"])
def test_an_id_cannot_reach_another_key(records: JobRecords, job_id: str) -> None:
    create(records)
    assert records.get(job_id) is None
    assert records.cancel(job_id) is None
    assert records.claim(job_id, "w1") == "gone"


# -- every way of a job -------------------------------------------------------------------------

EVENTS = ("claim", "renew", "succeed", "fail", "stop", "release", "cancel", "expire")


@hypothesis.settings(patient, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 1)), max_size=12))
def test_whatever_happens_fences_grow_and_one_end_is_final(
    records: JobRecords, valkey: redis.Redis, events: list[tuple[str, int]]
) -> None:
    """Two workers that act on whatever lease they last had, in any order."""
    valkey.flushall()
    job_id = create(records)
    leases: dict[int, Lease] = {}
    fence, end = 0, None
    for event, worker in events:
        lease = leases.get(worker)
        if event == "claim":
            answer = records.claim(job_id, f"w{worker}")
            if isinstance(answer, Lease):
                assert end is None
                assert answer.fence == fence + 1
                fence = answer.fence
                leases[worker] = answer
        elif event == "cancel":
            records.cancel(job_id)
        elif event == "expire":
            if get(records, job_id).status == JobStatus.RUNNING:
                expire(valkey, job_id)
        elif lease is not None:
            actions: dict[str, Any] = {
                "renew": lambda lease=lease: records.renew(lease) != Renewal.LOST,
                "succeed": lambda lease=lease: records.succeed(lease, OUTPUT),
                "fail": lambda lease=lease: records.fail(lease, ERROR),
                "stop": lambda lease=lease: records.stop(lease),
                "release": lambda lease=lease: records.release(lease),
            }
            done = actions[event]()
            assert not done or lease.fence == fence
        record = get(records, job_id)
        if end is not None:
            assert record == end
        elif record.status.is_terminal:
            end = record
        assert record.attempt <= 3
        assert (record.output is not None) == (record.status == JobStatus.SUCCEEDED)
        assert (record.error is not None) == (record.status == JobStatus.FAILED)
        assert listed(records) == [job_id]
        assert listed(records, record.status) == [job_id]
        assert (position(records, job_id) is not None) == (record.status == JobStatus.QUEUED)
