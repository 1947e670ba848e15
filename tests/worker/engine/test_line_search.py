import math
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from worker.engine.line_search import (
    CURVATURE,
    MAX_EVALUATIONS,
    SUFFICIENT_DECREASE,
    Phi,
    Point,
    strong_wolfe,
)

ROUNDING = 1e-12


class Search:
    """A search from 0 that keeps what it evaluated."""

    def __init__(self, phi: Phi, first_step: float) -> None:
        self.seen: list[Point] = []
        self.start = Point(0.0, *phi(0.0))

        def recorded(step: float) -> tuple[float, float]:
            self.seen.append(Point(step, *phi(step)))
            return self.seen[-1][1:]

        self.found = strong_wolfe(
            recorded, self.start.value, self.start.slope, first_step=first_step
        )

    def assert_strong_wolfe(self) -> None:
        found, start = self.found, self.start
        enough = start.value + SUFFICIENT_DECREASE * found.step * start.slope
        assert found.step > 0
        assert found.value <= enough + ROUNDING * abs(start.value)
        assert abs(found.slope) <= CURVATURE * abs(start.slope) * (1 + ROUNDING)
        assert found == self.seen[-1]
        assert len(self.seen) <= MAX_EVALUATIONS


def numbers(least: float, greatest: float) -> st.SearchStrategy[float]:
    """Spread over orders of magnitude."""
    return st.floats(math.log(least), math.log(greatest)).map(math.exp)


@settings(deadline=None)
@given(
    square=numbers(1e-3, 1e3),
    fourth=st.just(0.0) | numbers(1e-3, 1e3),
    minimum=numbers(1e-3, 1e3),
    first_step=numbers(1e-4, 1e4),
)
def test_it_satisfies_the_strong_wolfe_conditions_where_the_function_is_convex(
    square: float, fourth: float, minimum: float, first_step: float
) -> None:
    def phi(t: float) -> tuple[float, float]:
        x = t - minimum
        return square * x**2 + fourth * x**4, 2 * square * x + 4 * fourth * x**3

    Search(phi, first_step).assert_strong_wolfe()


@settings(deadline=None)
@given(
    minimum=numbers(1e-1, 1e2),
    height=numbers(1e-2, 1e2),
    frequency=numbers(1e-2, 1e2),
    phase=st.floats(0, 2 * math.pi),
    first_step=numbers(1e-3, 1e3),
)
def test_it_satisfies_them_where_there_are_many_hills_and_valleys(
    minimum: float, height: float, frequency: float, phase: float, first_step: float
) -> None:
    def phi(t: float) -> tuple[float, float]:
        x = t - minimum
        angle = frequency * t + phase
        return (
            x**2 + height * math.sin(angle),
            2 * x + height * frequency * math.cos(angle),
        )

    assume(phi(0)[1] < -1e-3)
    Search(phi, first_step).assert_strong_wolfe()


@settings(deadline=None)
@given(wall=numbers(1e-2, 1e2), first_step=numbers(1e-2, 1e4))
@pytest.mark.parametrize("beyond", [math.inf, math.nan])
def test_it_turns_back_from_where_the_function_cannot_be_computed(
    beyond: float, wall: float, first_step: float
) -> None:
    def phi(t: float) -> tuple[float, float]:
        if t >= wall:
            return beyond, beyond
        return 1 / (wall - t) - 100 * t / wall**2, 1 / (wall - t) ** 2 - 100 / wall**2

    Search(phi, first_step).assert_strong_wolfe()


@pytest.mark.parametrize("first_step", [1e-3, 1e-1, 10.0, 1e3])
@pytest.mark.parametrize(
    "phi",
    [
        lambda t: (-t / (t**2 + 2), (t**2 - 2) / (t**2 + 2) ** 2),
        lambda t: (
            (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
            5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
        ),
    ],
    ids=["5.1", "5.2"],
)
def test_it_solves_the_test_problems_of_more_and_thuente(phi: Phi, first_step: float) -> None:
    """ACM Transactions on Mathematical Software 20 (1994), section 5."""
    Search(phi, first_step).assert_strong_wolfe()


def test_a_step_that_is_good_already_is_taken_as_it_is() -> None:
    search = Search(lambda t: ((t - 1) ** 2, 2 * (t - 1)), 0.7)
    assert search.found.step == 0.7
    assert len(search.seen) == 1


@pytest.mark.parametrize(
    "phi",
    [
        lambda t: (t, 1.0),  # uphill
        lambda t: (1.0, 0.0),  # flat
        lambda t: (math.nan, -1.0),
        lambda t: (1.0, math.nan),
    ],
    ids=["uphill", "flat", "no loss", "no gradient"],
)
def test_without_a_descent_it_stays_at_the_start_without_looking(phi: Phi) -> None:
    search = Search(phi, 1.0)
    assert search.found.step == 0
    assert search.seen == []


@pytest.mark.parametrize(
    "beyond", [lambda t: (t, -1.0), lambda t: (math.nan, math.nan), lambda t: (-math.inf, -1.0)]
)
def test_where_nothing_is_better_it_stays_at_the_start(beyond: Phi) -> None:
    search = Search(lambda t: beyond(t) if t else (0.0, -1.0), 1.0)
    assert search.found.step == 0
    assert len(search.seen) == MAX_EVALUATIONS


def falls_for_ever(t: float) -> tuple[float, float]:
    return -t, -1.0


def falls_to_a_corner(t: float) -> tuple[float, float]:
    return abs(t - 0.3), math.copysign(1.0, t - 0.3)


def falls_off_an_edge(t: float) -> tuple[float, float]:
    return (-t, -1.0) if t < 0.3 else (math.inf, math.inf)


@pytest.mark.parametrize("phi", [falls_for_ever, falls_to_a_corner, falls_off_an_edge])
def test_where_there_is_no_such_point_it_gives_the_best_that_it_saw(
    phi: Callable[[float], tuple[float, float]],
) -> None:
    search = Search(phi, 1.0)
    assert len(search.seen) == MAX_EVALUATIONS
    assert search.found.value == min(point.value for point in search.seen)
    assert search.found.value < search.start.value


def test_it_ends_where_no_number_is_left_between_good_and_bad() -> None:
    search = Search(lambda t: (-t, -1.0) if t <= 1 else (1e9, 1e9), 1.0)
    assert search.found == Point(1.0, -1.0, -1.0)
    assert len(search.seen) < MAX_EVALUATIONS
