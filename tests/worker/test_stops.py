"""What ends a run before its time, and what it waits for."""

import threading
import time
from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.records import Lease, Wishes
from shared.settings import Settings
from shared.storage import StorageCorrupt
from worker.heartbeat import Hold
from worker.stops import (
    Canceled,
    Interrupted,
    LeaseLost,
    Overdue,
    ShuttingDown,
    Stops,
    Unreachable,
)

NOTHING = Wishes(cancel=False, preview=False)
LASTING = Settings(_env_file=None)
BRIEF = Settings(lease_seconds=0.4, heartbeat_seconds=0.1, _env_file=None)


class Held:
    """A job that is held, and what may happen to it."""

    def __init__(self, settings: Settings = LASTING, patience: float = 60.0) -> None:
        lease = Lease("job", fence=1, attempt=1, claim="c")
        self.hold = Hold(lease, settings, time.monotonic())
        self.shutting_down = threading.Event()
        self.wished = NOTHING
        self.stops = Stops(self.hold, self.shutting_down, lambda: self.wished, patience)


def later(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def check_until(held: Held, condition: Callable[[], bool] = lambda: False) -> None:
    """One step after the other, as what is wished comes from another thread."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        held.stops.check()
        time.sleep(0.001)


def test_a_job_that_is_held_goes_on() -> None:
    held = Held()
    held.wished = Wishes(cancel=False, preview=True)
    check_until(held, lambda: held.stops.preview_wanted)


def test_a_redis_that_does_not_say_what_is_wished_holds_no_step_up() -> None:
    held = Held()
    answer, asked = threading.Event(), threading.Semaphore(0)

    def wishes() -> Wishes:
        asked.release()
        answer.wait(30)
        return held.wished

    held.stops = Stops(held.hold, held.shutting_down, wishes, 60)
    started = time.monotonic()
    for _ in range(5):
        held.stops.check()
        time.sleep(0.3)
    assert time.monotonic() - started < 15  # it goes on though nobody answers
    assert asked.acquire(blocking=False)
    assert not asked.acquire(blocking=False)  # one question at a time
    held.wished = Wishes(cancel=True, preview=False)
    answer.set()
    with pytest.raises(Canceled):
        check_until(held)


def test_after_a_long_step_an_answer_that_takes_a_while_counts_before_the_next() -> None:
    held = Held()

    def wishes() -> Wishes:
        time.sleep(0.05)
        return held.wished

    def step() -> None:
        held.stops._looked -= 600  # ten minutes long, of which three seconds can be spared
        time.sleep(0.3)
        held.stops.check()

    held.stops = Stops(held.hold, held.shutting_down, wishes, 60)
    step()
    held.wished = Wishes(cancel=True, preview=False)
    with pytest.raises(Canceled):
        step()


def test_what_went_wrong_when_it_was_asked_is_told_once() -> None:
    held = Held()
    answers = [ValueError("wrong"), Wishes(cancel=False, preview=True)]

    def wishes() -> Wishes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    held.stops = Stops(held.hold, held.shutting_down, wishes, 60)
    with pytest.raises(ValueError, match="wrong"):
        check_until(held)
    check_until(held, lambda: held.stops.preview_wanted)


def test_without_a_thread_to_ask_the_job_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    held = Held()
    held.wished = Wishes(cancel=True, preview=False)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", nothing)
        held.stops.check()
    with pytest.raises(Canceled):
        check_until(held)


def test_a_cancellation_is_heard_soon_after_an_answer_that_took_long() -> None:
    """Not once the time that it took is earned back: that was half a minute."""
    held = Held()
    answered = threading.Event()

    def wishes() -> Wishes:
        if not answered.is_set():
            time.sleep(0.5)
            answered.set()
        return held.wished

    held.stops = Stops(held.hold, held.shutting_down, wishes, 60)
    check_until(held, answered.is_set)
    held.wished = Wishes(cancel=True, preview=False)
    started = time.monotonic()
    with pytest.raises(Canceled):
        check_until(held)
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("happens", "interruption"),
    [
        (lambda held: held.hold.lost.set(), LeaseLost),
        (lambda held: held.hold.overdue.set(), Overdue),
        (lambda held: held.shutting_down.set(), ShuttingDown),
        (lambda held: setattr(held, "wished", Wishes(cancel=True, preview=False)), Canceled),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_it_is_stopped_between_steps_and_while_it_waits(
    happens: Callable[[Held], None], interruption: type[Interrupted], waits: bool
) -> None:
    held, never = Held(), threading.Event()
    if waits:
        later(0.2, lambda: happens(held))
        with pytest.raises(interruption):
            held.stops.wait_for(lambda: never.wait(60))
    else:
        happens(held)
        with pytest.raises(interruption):
            check_until(held)
    never.set()


def test_it_pauses_as_long_as_nobody_knows_whose_job_it_is_and_then_goes_on() -> None:
    held = Held(BRIEF)
    time.sleep(0.4)
    assert not held.hold.is_certain
    renewed = threading.Event()

    class Records:
        def renew(self, _: Lease) -> str:
            renewed.set()
            return "held"

    later(0.5, lambda: held.hold.renew(Records()))  # type: ignore[arg-type]
    held.stops.check()
    assert renewed.is_set()  # not before


@pytest.mark.parametrize(
    ("happens", "interruption"),
    [
        (lambda held: held.hold.lost.set(), LeaseLost),
        (lambda held: held.shutting_down.set(), ShuttingDown),
    ],
)
def test_a_pause_ends_when_the_job_is_lost_or_the_worker_goes(
    happens: Callable[[Held], None], interruption: type[Interrupted]
) -> None:
    held = Held(BRIEF)
    time.sleep(0.4)
    later(0.2, lambda: happens(held))
    with pytest.raises(interruption):
        held.stops.check()


class Flaky:
    """Fails a few times, then answers."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left = failures
        self.error = error or RedisConnectionError("away")

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_an_outage_is_waited_out() -> None:
    flaky = Flaky(2)
    assert Held().stops.with_redis(flaky) == "answer"
    assert flaky.left == 0


def test_a_worker_that_alone_does_not_reach_a_server_gives_its_job_back() -> None:
    with pytest.raises(Unreachable):
        Held(patience=0.6).stops.with_storage(Flaky(1000, StorageCorrupt("damaged")))


def test_what_is_no_outage_is_raised() -> None:
    def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        Held().stops.with_redis(fail)


def test_a_job_that_waits_can_be_canceled() -> None:
    held = Held()
    later(0.3, lambda: setattr(held, "wished", Wishes(cancel=True, preview=False)))
    with pytest.raises(Canceled):
        held.stops.with_redis(Flaky(1000))


def test_the_end_of_a_job_is_told_though_it_was_canceled_meanwhile() -> None:
    held = Held()
    held.wished = Wishes(cancel=True, preview=False)
    held.hold.overdue.set()
    assert held.stops.tell(Flaky(1)) == "answer"


def test_the_end_is_not_told_by_who_has_lost_the_job_or_has_to_go() -> None:
    lost = Held()
    lost.hold.lost.set()
    with pytest.raises(LeaseLost):
        lost.stops.tell(Flaky(1000))
    going = Held()
    going.shutting_down.set()
    with pytest.raises(ShuttingDown):
        going.stops.tell(Flaky(1000))
    assert going.stops.tell(Flaky(0)) == "answer"
