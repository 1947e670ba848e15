"""Workers that are listed are up."""

import time

import pytest
import redis

from shared.estimates import NetworkSpeed, Speed
from shared.names import WORKERS
from shared.settings import Settings
from shared.workers import Worker, WorkerRegistry


def worker(name: str, job_id: str | None = None) -> Worker:
    return Worker(
        name=name,
        host="host",
        pid=1,
        device="cpu",
        device_name="a CPU",
        precision="float32",
        weights="oxford-q8",
        weights_sha256="0" * 64,
        cores="some",
        speed=Speed(
            float32=NetworkSpeed(
                seconds_per_flop=1e-11, seconds_per_value=1e-9, seconds_per_weight=1e-9
            ),
            bfloat16=NetworkSpeed(
                seconds_per_flop=5e-12, seconds_per_value=1e-9, seconds_per_weight=1e-9
            ),
            seconds_per_product_flop=1e-11,
            seconds_per_byte=1e-10,
            seconds_per_call=1e-6,
        ),
        started_at="2026-01-01T00:00:00+00:00",
        job_id=job_id,
    )


@pytest.fixture
def registry(valkey: redis.Redis) -> WorkerRegistry:
    return WorkerRegistry(valkey, Settings(heartbeat_seconds=0.2, _env_file=None))


def test_an_announced_worker_is_listed_with_what_it_does(registry: WorkerRegistry) -> None:
    registry.announce(worker("b"))
    registry.announce(worker("a", job_id="the-job"))
    assert registry.up() == [worker("a", job_id="the-job"), worker("b")]


def test_a_worker_that_is_not_heard_of_vanishes_and_one_that_is_stays(
    registry: WorkerRegistry, valkey: redis.Redis
) -> None:
    registry.announce(worker("lost"))
    for _ in range(4):
        registry.announce(worker("alive"))
        time.sleep(0.2)
    assert registry.up() == [worker("alive")]
    time.sleep(0.7)
    assert registry.up() == []

    # Names do not pile up, however many workers come and go.
    time.sleep(0.5)
    registry.announce(worker("new"))
    assert valkey.zcard(WORKERS) == 1


def test_a_worker_that_leaves_is_gone_at_once(registry: WorkerRegistry) -> None:
    registry.announce(worker("a"))
    registry.announce(worker("b"))
    registry.withdraw(worker("a"))
    assert registry.up() == [worker("b")]


def test_nobody_is_up_at_first(registry: WorkerRegistry) -> None:
    assert registry.up() == []


def test_workers_on_the_same_cores_know_how_many_they_are(
    registry: WorkerRegistry, valkey: redis.Redis
) -> None:
    elsewhere = worker("c").model_copy(update={"cores": "others"})
    for one in (worker("a"), worker("b"), elsewhere):
        registry.announce(one)
    assert (registry.count_on("some"), registry.count_on("others")) == (2, 1)
    registry.withdraw(worker("a"))
    assert registry.count_on("some") == 1
    time.sleep(0.7)  # the rest are not heard of any more
    assert registry.count_on("some") == 0
    assert not valkey.keys("impasto:cores:*")
