"""One of many workers does what has to be done in every interval."""

import itertools
import time

import redis

from worker.turns import Turn


def test_one_of_many_workers_gets_each_turn(valkey: redis.Redis) -> None:
    workers = [Turn(valkey, "test", interval_seconds=0.3) for _ in range(5)]
    taken: list[float] = []
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        taken += [time.monotonic() for worker in workers if worker.take()]
        time.sleep(0.02)
    assert 2 <= len(taken) <= 5
    assert (
        min(b - a for a, b in itertools.pairwise(taken)) > 0.2
    )  # it ends a little before the interval does


def test_turns_of_different_work_do_not_hold_each_other_up(valkey: redis.Redis) -> None:
    assert Turn(valkey, "one", interval_seconds=60).take()
    assert Turn(valkey, "other", interval_seconds=60).take()
    assert not Turn(valkey, "one", interval_seconds=60).take()


def test_the_shortest_interval_is_one(valkey: redis.Redis) -> None:
    turn = Turn(valkey, "test", interval_seconds=1e-6)
    assert turn.take()
    time.sleep(0.01)
    assert turn.take()
