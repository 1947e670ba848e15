"""The speed is measured when nobody waits, and known also where somebody always does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from shared.estimates import Speed
from tests.shared.test_workers import worker
from worker import speedometer as module
from worker.speedometer import MOST_GIVEN_UP, Speedometer
from worker.threads import Threads

SPEED = cast(Speed, worker("w").speed)
Look = Callable[[], None]


class Shares:
    """Threads as a test says."""

    count = 4

    def take(self) -> int:
        return self.count


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_AFTER_SECONDS", 0.0)


@contextmanager
def running(
    measure: Callable[[Look], Speed], tell: Callable[[Speed], None], shares: Shares | None = None
) -> Iterator[Speedometer]:
    threads = cast(Threads, shares or Shares())
    speedometer = Speedometer(threads, measure, tell, look_every_seconds=0.01)
    speedometer.start()
    yield speedometer
    speedometer.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_speed_is_measured_once_and_again_with_other_threads() -> None:
    told: list[Speed] = []
    shares = Shares()
    with running(lambda look: SPEED, told.append, shares):
        until(lambda: len(told) == 1)
        time.sleep(0.1)
        assert told == [SPEED]
        shares.count = 2
        until(lambda: len(told) == 2)


def test_nothing_is_measured_beside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_AFTER_SECONDS", 0.1)
    told: list[Speed] = []
    with running(lambda look: SPEED, told.append) as speedometer:
        with speedometer.resting():
            time.sleep(0.3)
            assert not told
        until(lambda: len(told) == 1)


def test_a_job_does_not_wait_for_a_measurement_but_is_not_put_first_for_ever() -> None:
    measuring, told = threading.Event(), []
    given_up = 0

    def measure(look: Look) -> Speed:
        nonlocal given_up
        measuring.set()
        try:
            for _ in range(100):
                time.sleep(0.01)
                look()
        except BaseException:
            given_up += 1
            raise
        return SPEED

    with running(measure, told.append) as speedometer:
        while not told:
            assert measuring.wait(10)
            with speedometer.resting():
                measuring.clear()
                assert given_up <= MOST_GIVEN_UP
        assert given_up == MOST_GIVEN_UP


def test_a_measurement_that_fails_is_not_tried_again_and_again() -> None:
    tries: list[Look] = []

    def fail(look: Look) -> Speed:
        tries.append(look)
        raise MemoryError

    with running(fail, lambda _: None) as speedometer:
        until(lambda: len(tries) == 1)
        time.sleep(0.1)
        assert len(tries) == 1
        with speedometer.resting():  # and jobs are taken
            pass


def test_a_worker_that_ends_does_not_wait_for_the_measurement() -> None:
    ended = threading.Event()

    def measure(look: Look) -> Speed:
        try:
            while True:
                time.sleep(0.01)
                look()
        finally:
            ended.set()

    with running(measure, lambda _: None):
        time.sleep(0.05)
    assert ended.wait(5)
