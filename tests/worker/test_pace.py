"""The estimate of the time that is left, and how often is often enough."""

import pytest
import torch

from worker import pace
from worker.engine import Level, Progress
from worker.engine.objective import LossValues
from worker.pace import Interval, Pace

SMALL = Level(size=64, width=64, height=50, steps=4)
LARGE = Level(size=128, width=128, height=100, steps=4)  # four times the pixels
NO_LOSSES = LossValues((), torch.zeros(0))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Run:
    """A run whose steps take as long as a test says."""

    def __init__(self, clock: Clock, *levels: Level, deadline_seconds: float | None = None) -> None:
        self.clock = clock
        self.levels = levels
        self.total_steps = sum(level.steps for level in levels)
        self.done = 0
        self.pace = Pace(levels, deadline_seconds)

    def steps(self, level: int, count: int, seconds: float) -> None:
        for _ in range(count):
            self.done += 1
            self.clock.now += seconds
            self.pace.step(self.progress(level))

    def progress(self, level: int) -> Progress:
        here = self.levels[level]
        return Progress(
            step=self.done,
            total_steps=self.total_steps,
            level=level,
            levels=len(self.levels),
            width_px=here.width,
            height_px=here.height,
            _losses=NO_LOSSES,
        )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_nothing_is_known_before_the_first_step(clock: Clock) -> None:
    pace = Pace([SMALL])
    assert (pace.steps_per_second, pace.eta_seconds) == (None, None)


def test_a_step_costs_as_much_as_it_has_pixels(clock: Clock) -> None:
    run = Run(clock, SMALL, LARGE)
    run.steps(level=0, count=1, seconds=1.0)
    # Three more small steps, and four of four times the size.
    assert run.pace.eta_seconds == pytest.approx(3 * 1 + 4 * 4)
    assert run.pace.steps_per_second == pytest.approx(1.0)


def test_the_first_step_looks_at_the_images_and_is_forgotten_with_the_second(
    clock: Clock,
) -> None:
    run = Run(clock, SMALL, LARGE)
    run.steps(level=0, count=1, seconds=30.0)
    run.steps(level=0, count=1, seconds=1.0)
    assert run.pace.eta_seconds == pytest.approx(2 * 1 + 4 * 4)


def test_a_new_level_starts_from_what_is_known(clock: Clock) -> None:
    run = Run(clock, SMALL, LARGE)
    run.steps(level=0, count=4, seconds=1.0)
    assert run.pace.eta_seconds == pytest.approx(16.0)
    run.steps(level=1, count=1, seconds=2.0)
    assert run.pace.eta_seconds == pytest.approx(3 * 4.0)  # the first step also looks at the images
    assert run.pace.steps_per_second == pytest.approx(1 / 4.0)


def test_the_estimate_shrinks_to_nothing_at_the_end(clock: Clock) -> None:
    run = Run(clock, SMALL, LARGE)
    estimates = []
    for level in (0, 0, 0, 0, 1, 1, 1, 1):
        run.steps(level, 1, (1.0, 4.0)[level])
        estimates.append(run.pace.eta_seconds)
    assert estimates == pytest.approx([19, 18, 17, 16, 12, 8, 4, 0])


def test_one_slow_step_does_not_upset_the_estimate(clock: Clock) -> None:
    run = Run(clock, Level(size=64, width=64, height=50, steps=100))
    run.steps(0, 50, 1.0)
    run.steps(0, 1, 10.0)
    assert run.pace.eta_seconds is not None
    assert 49 < run.pace.eta_seconds < 2 * 49


def test_a_run_that_goes_on_elsewhere_knows_what_is_done(clock: Clock) -> None:
    run = Run(clock, SMALL, LARGE)
    run.done = 6
    run.steps(level=1, count=1, seconds=3.0)
    assert run.pace.eta_seconds == pytest.approx(3.0)


def test_a_level_that_ends_early_leaves_only_the_later_ones(clock: Clock) -> None:
    run = Run(clock, SMALL, LARGE)
    run.steps(level=0, count=1, seconds=1.0)
    run.total_steps = 2 + LARGE.steps  # a plateau at the second step
    run.steps(level=0, count=1, seconds=1.0)
    assert run.pace.eta_seconds == pytest.approx(4 * 4)


def test_steps_that_have_to_be_done_again_count_again(clock: Clock) -> None:
    run = Run(clock, Level(size=64, width=64, height=50, steps=10))
    run.steps(level=0, count=8, seconds=1.0)
    assert run.pace.eta_seconds == pytest.approx(2.0)
    run.done = 2  # it diverged, and goes back: the third step is the next
    run.steps(level=0, count=1, seconds=1.0)
    assert run.pace.eta_seconds == pytest.approx(7.0)


def test_no_estimate_goes_beyond_the_deadline(clock: Clock) -> None:
    run = Run(clock, SMALL, LARGE, deadline_seconds=5.0)
    run.steps(level=0, count=1, seconds=1.0)
    assert run.pace.eta_seconds == pytest.approx(4.0)
    run.steps(level=0, count=1, seconds=6.0)
    assert run.pace.eta_seconds == 0


def test_the_first_is_due_at_once_then_one_in_every_interval(clock: Clock) -> None:
    interval = Interval(2.0)
    due = []
    for _ in range(50):  # ten seconds
        due.append(interval.is_due())
        clock.now += 0.2
    assert due[0]
    assert sum(due) == 5


def test_after_a_pause_there_is_one_and_not_all_that_were_missed(clock: Clock) -> None:
    interval = Interval(1.0)
    assert interval.is_due()
    clock.now += 60
    assert interval.is_due()
    assert not interval.is_due()


def test_an_interval_of_nothing_is_always_due(clock: Clock) -> None:
    interval = Interval(0.0)
    assert all(interval.is_due() for _ in range(3))


@pytest.mark.parametrize("cost", [0.001, 0.02, 0.4])
def test_what_is_counted_takes_no_more_than_its_share_of_the_time(
    clock: Clock, cost: float
) -> None:
    share, started, spent = 0.01, clock.now, 0.0
    interval = Interval(0.5, share)
    for _ in range(2000):
        clock.now += 0.1
        if interval.is_due():
            with interval.counted():
                clock.now += cost
            spent += cost
            assert spent - cost <= share * (clock.now - started)  # all but the first
    assert spent > 0.8 * min(share, cost / 0.5) * (clock.now - started)  # and it uses what it has


def test_what_costs_nothing_keeps_to_its_interval(clock: Clock) -> None:
    interval = Interval(1.0, share=0.01)
    due = 0
    for _ in range(100):
        if interval.is_due():
            due += 1
            with interval.counted():
                pass
        clock.now += 0.1
    assert due == 10


def test_after_an_outage_it_is_tried_again_within_a_minute(clock: Clock) -> None:
    interval = Interval(0.5, share=0.01)
    assert interval.is_due()
    with interval.counted():
        clock.now += 600
    clock.now += 59
    assert not interval.is_due()
    clock.now += 2
    assert interval.is_due()


def test_time_counts_also_when_it_ends_in_an_error(clock: Clock) -> None:
    interval = Interval(0.5, share=0.01)
    assert interval.is_due()

    def fail() -> None:
        with interval.counted():
            clock.now += 0.2
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    clock.now += 30
    assert not interval.is_due()
