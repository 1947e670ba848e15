"""The heartbeat keeps the lease, announces the worker, and does not stop for anything."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery

from shared.messaging import worker_config
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.workers import WorkerRegistry
from tests.api.conftest import change
from tests.shared.conftest import job_request
from tests.shared.test_workers import worker
from worker.heartbeat import Heartbeat
from worker.reconciler import Reconciler

__all__ = ["change"]

BEAT = 0.05


class Beating:
    """A heartbeat of short beats, and what it works with."""

    def __init__(self, valkey: redis.Redis, settings: Settings) -> None:
        app = Celery("worker", set_as_current=False)
        app.conf.update(worker_config(settings))
        self.records = JobRecords(valkey, settings)
        self.registry = WorkerRegistry(valkey, settings)
        self.reconciler = Reconciler(valkey, self.records, app, BEAT)
        self.heartbeat = Heartbeat(
            worker("w1"), self.records, self.registry, self.reconciler, settings
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
    with beating.heartbeat.holding(lease):
        assert [w.job_id for w in beating.registry.up()] == [lease.job_id]
        time.sleep(8 * BEAT)
        assert [w.job_id for w in beating.registry.up()] == [lease.job_id]
    assert [w.job_id for w in beating.registry.up()] == [None]
    beating.heartbeat.stop()
    assert beating.registry.up() == []


def test_a_held_job_is_nobody_else_s_however_long_it_takes(beating: Beating) -> None:
    lease = beating.claim()
    with beating.heartbeat.holding(lease) as hold:
        time.sleep(0.8)  # two leases
        assert beating.records.claim(lease.job_id, "w2") == "busy"
        assert not hold.lost.is_set()
    time.sleep(0.6)
    assert isinstance(beating.records.claim(lease.job_id, "w2"), Lease)


def test_a_worker_whose_lease_was_taken_is_told(beating: Beating, valkey: redis.Redis) -> None:
    lease = beating.claim()
    with beating.heartbeat.holding(lease) as hold:
        valkey.hincrby(f"impasto:job:{{{lease.job_id}}}", "fence", 1)  # as another's claim does
        assert hold.lost.wait(5)


@pytest.mark.parametrize("error", [redis.ConnectionError, RuntimeError])
@pytest.mark.parametrize(("part", "method"), [(Reconciler, "run"), (WorkerRegistry, "announce")])
def test_nothing_that_goes_wrong_once_stops_the_heart(
    beating: Beating,
    monkeypatch: pytest.MonkeyPatch,
    part: type[object],
    method: str,
    error: type[Exception],
) -> None:
    lease = beating.claim()
    with beating.heartbeat.holding(lease) as hold:
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


def test_a_broker_that_is_away_does_not_cost_the_lease(
    valkey: redis.Redis, change: Callable[..., Settings]
) -> None:
    settings = change(heartbeat_seconds=BEAT, lease_seconds=1.0, broker_url="redis://127.0.0.1:9/0")
    beating = Beating(valkey, settings)
    beating.heartbeat.start()
    try:
        lease = beating.claim()
        with beating.heartbeat.holding(lease) as hold:
            time.sleep(1.5)
            assert beating.records.claim(lease.job_id, "w2") == "busy"
            assert not hold.lost.is_set()
    finally:
        beating.heartbeat.stop()
