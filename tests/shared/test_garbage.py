"""What is not needed any more can be removed, and nothing else."""

import hashlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import redis

from shared import garbage as module
from shared import names
from shared.garbage import Garbage, Removal
from shared.jobs import Inputs, JobStatus
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, input_key, job_prefix
from tests.conftest import store_input
from tests.shared.conftest import job_request

LONG_AGO = 1.0
CONTENT, STYLE = "c" * 64, "5" * 64
Change = Callable[..., Settings]


@pytest.fixture
def garbage(valkey: redis.Redis, settings: Settings) -> Garbage:
    """Keeps inputs that nobody uses for a moment only."""
    return Garbage(
        valkey, Settings(**{**dict(settings), "unused_input_seconds": 0.001}, _env_file=None)
    )


def post(records: JobRecords, inputs: Inputs) -> str:
    request = job_request(inputs=inputs)
    assert records.create(request) is None
    return request.id


def delete(records: JobRecords, job_id: str) -> None:
    records.cancel(job_id)
    assert records.delete(job_id)


def expire(valkey: redis.Redis, job_id: str) -> None:
    assert valkey.zadd(names.EXPIRY, {job_id: LONG_AGO}) == 0


def take_all(garbage: Garbage) -> list[str]:
    """All inputs that may be removed now; they are."""
    time.sleep(0.005)
    taken = []
    while removal := garbage.take_unused_input():
        taken.append(removal.digest)
        assert garbage.removed_input(removal)
    return sorted(taken)


def uses(valkey: redis.Redis) -> dict[str, int]:
    found = valkey.hgetall(names.INPUT_USES)
    return {str(digest): int(number) for digest, number in dict(found).items()}


# -- inputs -------------------------------------------------------------------------------------


def test_an_input_is_removed_when_the_last_of_its_jobs_is_deleted(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    first = post(records, Inputs(content=CONTENT, styles=[STYLE]))
    second = post(records, Inputs(content=None, styles=[STYLE]))
    assert uses(valkey) == {CONTENT: 1, STYLE: 2}

    delete(records, first)
    assert take_all(garbage) == [CONTENT]

    delete(records, second)
    assert take_all(garbage) == [STYLE]
    assert uses(valkey) == {}
    assert valkey.zcard(names.UNUSED_INPUTS) == 0


def test_an_image_that_a_job_uses_twice_is_freed_once(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = post(
        records, Inputs(content=CONTENT, styles=[CONTENT, CONTENT], masks=[CONTENT], init=CONTENT)
    )
    other = post(records, Inputs(content=CONTENT, styles=[]))
    assert uses(valkey) == {CONTENT: 2}
    delete(records, job_id)
    assert take_all(garbage) == []
    delete(records, other)
    assert take_all(garbage) == [CONTENT]


def test_an_unused_input_stays_for_as_long_as_the_settings_say(
    valkey: redis.Redis, records: JobRecords, settings: Settings
) -> None:
    garbage = Garbage(valkey, settings)
    delete(records, post(records, Inputs(content=CONTENT, styles=[])))
    assert garbage.take_unused_input() is None

    valkey.zincrby(names.UNUSED_INPUTS, -settings.unused_input_seconds, CONTENT)
    removal = garbage.take_unused_input()
    assert removal is not None
    assert removal.digest == CONTENT


def test_a_touched_input_stays_though_nobody_uses_it(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    delete(records, post(records, Inputs(content=CONTENT, styles=[])))
    assert garbage.touch_inputs([CONTENT]) is not None
    assert take_all(garbage) == []


def test_a_touched_input_stays_though_the_job_that_used_it_is_deleted(
    garbage: Garbage, records: JobRecords
) -> None:
    job_id = post(records, Inputs(content=CONTENT, styles=[]))
    assert garbage.touch_inputs([CONTENT]) is not None
    delete(records, job_id)
    assert take_all(garbage) == []


def test_a_touched_input_stays_though_another_post_came_and_went_meanwhile(
    garbage: Garbage, records: JobRecords
) -> None:
    assert garbage.touch_inputs([CONTENT]) is not None  # by a slow one
    assert garbage.touch_inputs([CONTENT]) is not None
    delete(records, post(records, Inputs(content=CONTENT, styles=[])))
    assert take_all(garbage) == []


def test_what_was_touched_for_a_job_that_never_came_is_removed_in_the_end(
    garbage: Garbage, valkey: redis.Redis
) -> None:
    assert garbage.touch_inputs([CONTENT, STYLE]) is not None
    for digest in (CONTENT, STYLE):
        valkey.zincrby(names.UNUSED_INPUTS, -module.POSTING_SECONDS, digest)
    assert take_all(garbage) == [STYLE, CONTENT]


def test_a_touch_does_not_let_a_used_input_be_removed_later(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    assert garbage.touch_inputs([CONTENT]) is not None
    job_id = post(records, Inputs(content=CONTENT, styles=[]))
    valkey.zadd(names.UNUSED_INPUTS, {CONTENT: LONG_AGO})
    assert take_all(garbage) == []
    delete(records, job_id)
    assert take_all(garbage) == [CONTENT]


def test_an_unused_input_is_found_behind_many_that_are_used_again(
    garbage: Garbage, valkey: redis.Redis
) -> None:
    used = [f"{number:064x}" for number in range(300)]
    valkey.zadd(names.UNUSED_INPUTS, dict.fromkeys(used, LONG_AGO) | {CONTENT: LONG_AGO + 1})
    valkey.hset(names.INPUT_USES, mapping=dict.fromkeys(used, 1))
    assert take_all(garbage) == [CONTENT]
    assert valkey.zcard(names.UNUSED_INPUTS) == 0


def test_an_input_that_is_being_removed_cannot_be_touched_until_it_is_gone(
    garbage: Garbage, valkey: redis.Redis
) -> None:
    valkey.zadd(names.UNUSED_INPUTS, {CONTENT: LONG_AGO})
    removal = garbage.take_unused_input()
    assert removal is not None

    assert garbage.touch_inputs([STYLE, CONTENT]) is None
    assert valkey.zscore(names.UNUSED_INPUTS, STYLE) is None  # none of them
    assert garbage.touch_inputs([STYLE]) is not None
    assert garbage.take_unused_input() is None  # nor can somebody else remove it

    assert garbage.removed_input(removal)
    assert garbage.touch_inputs([STYLE, CONTENT]) is not None
    assert take_all(garbage) == []


def test_an_input_whose_remover_was_lost_is_removed_by_another(
    garbage: Garbage, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMOVING_SECONDS", 0.05)
    valkey.zadd(names.UNUSED_INPUTS, {CONTENT: LONG_AGO})
    lost = garbage.take_unused_input()
    assert lost is not None
    time.sleep(0.1)

    assert garbage.touch_inputs([STYLE]) is not None
    monkeypatch.undo()
    other = garbage.take_unused_input()
    assert other is not None
    assert other.digest == CONTENT

    # The lost one is back: what the other does is not ended by it.
    assert not garbage.removed_input(lost)
    assert garbage.touch_inputs([CONTENT]) is None
    assert garbage.removed_input(other)
    assert valkey.hget(names.COUNTERS, "inputs_removed") == "1"


def test_an_input_that_was_removed_too_late_stays_known_to_those_who_use_it(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMOVING_SECONDS", 0.05)
    valkey.zadd(names.UNUSED_INPUTS, {CONTENT: LONG_AGO})
    late = garbage.take_unused_input()
    assert late is not None
    time.sleep(0.1)
    assert garbage.touch_inputs([CONTENT]) is not None
    job_id = post(records, Inputs(content=CONTENT, styles=[]))

    assert not garbage.removed_input(late)

    assert uses(valkey) == {CONTENT: 1}
    monkeypatch.undo()
    delete(records, job_id)
    assert valkey.zscore(names.UNUSED_INPUTS, CONTENT) is not None


def test_a_removal_that_is_told_twice_is_counted_once(
    garbage: Garbage, valkey: redis.Redis
) -> None:
    valkey.zadd(names.UNUSED_INPUTS, {CONTENT: LONG_AGO})
    removal = garbage.take_unused_input()
    assert removal is not None
    assert garbage.removed_input(removal)
    assert not garbage.removed_input(removal)
    assert not garbage.removed_input(Removal(CONTENT, "invented"))
    assert valkey.hget(names.COUNTERS, "inputs_removed") == "1"


def test_inputs_that_are_found_are_kept_if_a_job_uses_them(
    garbage: Garbage, records: JobRecords
) -> None:
    post(records, Inputs(content=CONTENT, styles=[]))
    assert garbage.found_inputs([CONTENT, STYLE]) == 1
    assert take_all(garbage) == [STYLE]


def test_inputs_that_are_found_again_and_again_do_not_stay_for_ever(
    garbage: Garbage, valkey: redis.Redis
) -> None:
    garbage.found_inputs([STYLE])
    before = valkey.zscore(names.UNUSED_INPUTS, STYLE)
    time.sleep(0.005)
    garbage.found_inputs([STYLE])
    assert valkey.zscore(names.UNUSED_INPUTS, STYLE) == before


def test_posts_and_sweeps_that_race_leave_no_job_without_its_input(
    records: JobRecords, garbage: Garbage, valkey: redis.Redis, storage: Storage
) -> None:
    """Each round: an input that may be removed, some who post a job with it, some who sweep."""
    rounds, posters, sweepers = 25, 3, 2
    start = threading.Barrier(posters + sweepers)

    def sweep(pause: float, posted: threading.Event) -> int:
        start.wait()
        time.sleep(pause)
        removed = 0
        while not posted.is_set():
            removal = garbage.take_unused_input()
            if removal is not None:
                storage.delete(input_key(removal.digest))
                assert garbage.removed_input(removal)
                removed += 1
            time.sleep(0.001)
        return removed

    def create(pause: float, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        start.wait()
        time.sleep(pause)
        while (known := garbage.touch_inputs([digest])) is None:
            time.sleep(0.001)
        store_input(storage, data, may_be_there=digest in known)
        post(records, Inputs(content=digest, styles=[]))
        assert storage.exists(input_key(digest))

    dice = random.Random(5)
    removed = 0
    with ThreadPoolExecutor(posters + sweepers) as pool:
        for _ in range(rounds):
            data, posted = dice.randbytes(16), threading.Event()
            digest = store_input(storage, data)
            valkey.zadd(names.UNUSED_INPUTS, {digest: LONG_AGO})
            pauses = [dice.uniform(0, 0.008) for _ in range(posters + sweepers)]
            posting = [pool.submit(create, pause, data) for pause in pauses[sweepers:]]
            sweeping = [pool.submit(sweep, pause, posted) for pause in pauses[:sweepers]]
            wait(posting)
            posted.set()
            removed += sum(sweeper.result() for sweeper in sweeping)
            for poster in posting:
                poster.result()
            assert storage.exists(input_key(digest))
            assert uses(valkey)[digest] == posters
    assert removed > 0, "no sweep was ever first"


# -- jobs and their prefixes --------------------------------------------------------------------


def test_expired_jobs_are_forgotten_in_batches_and_the_others_are_not(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    jobs = [post(records, Inputs(content=CONTENT, styles=[])) for _ in range(5)]
    for job_id in jobs[:4]:
        records.cancel(job_id)
    for job_id in jobs[:3]:
        expire(valkey, job_id)

    assert [garbage.expire_jobs(2) for _ in range(3)] == [2, 1, 0]

    assert [records.get(job_id) is None for job_id in jobs] == [True] * 3 + [False] * 2
    assert [records.owner_of_gone(job_id) for job_id in jobs[2:4]] == ["anonymous", None]
    assert uses(valkey) == {CONTENT: 2}
    assert valkey.hget(names.STATUSES, JobStatus.CANCELED) == "1"


def test_a_record_that_was_removed_by_hand_does_not_hold_up_the_others(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    gone, kept = (post(records, Inputs(content=CONTENT, styles=[])) for _ in range(2))
    for job_id in (gone, kept):
        records.cancel(job_id)
        expire(valkey, job_id)
    valkey.delete(names.record(gone))
    while garbage.expire_jobs(1):
        pass
    assert valkey.zcard(names.EXPIRY) == 0
    assert records.owner_of_gone(kept) == "anonymous"


def test_what_lies_under_an_expired_job_is_looked_at_until_nothing_comes_any_more(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = post(records, Inputs(content=CONTENT, styles=[]))
    records.cancel(job_id)
    assert garbage.take_prefix() is None
    expire(valkey, job_id)
    garbage.expire_jobs(1)

    assert garbage.take_prefix() == job_prefix(job_id)
    assert garbage.take_prefix() is None

    # An hour later, by when a worker that was cut off may have stored something
    for _ in range(2):
        valkey.zincrby(names.GARBAGE, -module.STRAGGLER_SECONDS, job_prefix(job_id))
        assert garbage.take_prefix() == job_prefix(job_id)
    garbage.found_empty(job_prefix(job_id))
    assert valkey.zcard(names.GARBAGE) == 0


def test_what_comes_after_a_deletion_is_found_though_nothing_was_left_at_first(
    garbage: Garbage, records: JobRecords, valkey: redis.Redis
) -> None:
    """Whoever deletes a job removes its objects at once: a first look would find none."""
    job_id = post(records, Inputs(content=CONTENT, styles=[]))
    delete(records, job_id)
    assert garbage.take_prefix() is None
    valkey.zincrby(names.GARBAGE, -module.STRAGGLER_SECONDS, job_prefix(job_id))
    assert garbage.take_prefix() == job_prefix(job_id)
