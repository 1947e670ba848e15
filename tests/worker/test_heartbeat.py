"""The heartbeat keeps the lease, announces the worker, and does not stop for anything."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from shared.records import JobRecords, Lease, Renewal
from shared.settings import Settings
from shared.workers import WorkerRegistry
from tests.api.conftest import change
from tests.shared.conftest import job_request
from tests.shared.test_workers import worker
from worker.heartbeat import Heartbeat

__all__ = ["change"]

BEAT = 0.05


class Beating:
    """A heartbeat of short beats, and what it works with."""

    def __init__(self, valkey: redis.Redis, settings: Settings) -> None:
        self.records = JobRecords(valkey, settings)
        self.registry = WorkerRegistry(valkey, settings)
        self.stuck = threading.Event()
        self.heartbeat = Heartbeat(
            worker("w1"), self.records, self.registry, settings, when_stuck=self.stuck.set
        )

    def claim(self) -> Lease:
        job = job_request()
        assert self.records.create(job) is None
        lease = self.records.claim(job.id, "w1")
        assert isinstance(lease, Lease)
        return lease


@pytest.fixture
def short(change: Callable[..., Settings]) -> Settings:
    return change(heartbeat_seconds=BEAT, lease_seconds=0.4)


@pytest.fixture
def beating(valkey: redis.Redis, short: Settings) -> Iterator[Beating]:
    beating = Beating(valkey, short)
    beating.heartbeat.start()
    yield beating
    beating.heartbeat.stop()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_is_listed_with_its_job_as_long_as_it_beats(beating: Beating) -> None:
    lease = beating.claim()
    assert [w.job_id for w in beating.registry.up()] == [None]
    with beating.heartbeat.holding(lease, time.monotonic()):
        assert [w.job_id for w in beating.registry.up()] == [lease.job_id]
        time.sleep(8 * BEAT)
        assert [w.job_id for w in beating.registry.up()] == [lease.job_id]
    assert [w.job_id for w in beating.registry.up()] == [None]
    beating.heartbeat.stop()
    assert beating.registry.up() == []


def test_a_held_job_is_nobody_else_s_however_long_it_takes(beating: Beating) -> None:
    lease = beating.claim()
    with beating.heartbeat.holding(lease, time.monotonic()) as hold:
        time.sleep(0.8)  # two leases
        assert beating.records.claim(lease.job_id, "w2") == "busy"
        assert not hold.lost.is_set()
    time.sleep(0.6)
    assert isinstance(beating.records.claim(lease.job_id, "w2"), Lease)


def test_a_worker_whose_lease_was_taken_is_told(beating: Beating, valkey: redis.Redis) -> None:
    lease = beating.claim()
    with beating.heartbeat.holding(lease, time.monotonic()) as hold:
        valkey.hincrby(f"impasto:job:{{{lease.job_id}}}", "fence", 1)  # as another's claim does
        assert hold.lost.wait(5)


@pytest.mark.parametrize("error", [redis.ConnectionError, RuntimeError])
@pytest.mark.parametrize(("part", "method"), [(JobRecords, "renew"), (WorkerRegistry, "announce")])
def test_nothing_that_goes_wrong_once_stops_the_heart(
    beating: Beating,
    monkeypatch: pytest.MonkeyPatch,
    part: type[object],
    method: str,
    error: type[Exception],
) -> None:
    lease = beating.claim()
    with beating.heartbeat.holding(lease, time.monotonic()) as hold:
        sound = getattr(part, method)
        failed: list[Exception] = []

        def fail_once(*arguments: object) -> object:
            if failed:
                return sound(*arguments)
            failed.append(error("away"))
            raise failed[0]

        monkeypatch.setattr(part, method, fail_once)
        until(lambda: bool(failed))
        time.sleep(0.8)
        assert beating.records.claim(lease.job_id, "w2") == "busy"
        assert not hold.lost.is_set()
        assert [w.name for w in beating.registry.up()] == ["w1"]


def test_a_lease_that_cannot_be_renewed_is_certain_only_for_a_while(
    valkey: redis.Redis, change: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process pauses before the lease can be somebody else's, as one that was frozen does."""
    beating = Beating(valkey, change(heartbeat_seconds=BEAT, lease_seconds=2.0))
    beating.heartbeat.start()
    lease = beating.claim()
    with beating.heartbeat.holding(lease, time.monotonic()) as hold:
        time.sleep(2.5)  # longer than a lease
        assert hold.is_certain

        def fail(*_: object) -> Renewal:
            raise redis.ConnectionError("away")

        with monkeypatch.context() as away:
            away.setattr(JobRecords, "renew", fail)
            until(lambda: not hold.is_certain)
            assert beating.records.claim(lease.job_id, "w2") == "busy"  # there was time to pause
            assert not hold.lost.is_set()
        until(lambda: hold.is_certain)
    beating.heartbeat.stop()


def test_a_job_that_runs_longer_than_it_may_is_told(
    valkey: redis.Redis, change: Callable[..., Settings]
) -> None:
    settings = change(heartbeat_seconds=BEAT, lease_seconds=1.0, max_run_seconds=0.3)
    beating = Beating(valkey, settings)
    beating.heartbeat.start()
    try:
        with beating.heartbeat.holding(beating.claim(), time.monotonic()) as hold:
            assert not hold.overdue.is_set()
            assert hold.overdue.wait(5)
            assert not hold.lost.is_set()  # it is still this worker's to end
    finally:
        beating.heartbeat.stop()


def test_a_job_that_makes_no_steps_costs_its_process_and_goes_to_another(
    valkey: redis.Redis, change: Callable[..., Settings]
) -> None:
    settings = change(heartbeat_seconds=BEAT, lease_seconds=1.0, step_timeout_seconds=1.0)
    beating = Beating(valkey, settings)
    beating.heartbeat.start()
    try:
        lease = beating.claim()
        with beating.heartbeat.holding(lease, time.monotonic()) as hold:
            for _ in range(6):  # longer than a step may take, but it steps
                time.sleep(0.25)
                hold.stepped()
            assert not beating.stuck.is_set()
            assert beating.stuck.wait(5)
            until(lambda: isinstance(beating.records.claim(lease.job_id, "w2"), Lease))
    finally:
        beating.heartbeat.stop()
