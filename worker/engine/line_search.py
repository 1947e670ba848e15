"""A step length along a descent direction that satisfies the strong Wolfe conditions."""

from collections.abc import Callable
from math import inf, isfinite, sqrt
from typing import NamedTuple

SUFFICIENT_DECREASE = 1e-4  # c₁
CURVATURE = 0.9  # c₂
MAX_EVALUATIONS = 25

# φ and φ' at a step length
Phi = Callable[[float], tuple[float, float]]


class Point(NamedTuple):
    """A step length t, φ(t) and φ'(t)."""

    step: float
    value: float
    slope: float

    @property
    def finite(self) -> bool:
        """Whether the function can be computed here."""
        return isfinite(self.value) and isfinite(self.slope)


def strong_wolfe(phi: Phi, value: float, slope: float, first_step: float) -> Point:
    """A point t > 0 with

        φ(t) ≤ φ(0) + c₁ t φ'(0)  and  |φ'(t)| ≤ c₂ |φ'(0)|

    by algorithms 3.5 and 3.6 of Nocedal & Wright, Numerical Optimization. `value` and `slope` are
    φ(0) and φ'(0), `first_step` is the first length tried, and `phi` is called for all others,
    `MAX_EVALUATIONS` times at most.

    Where there is none to be found (no descent, or φ is not finite or not smooth), the best finite
    point that was seen: the start itself, with step 0, if nothing is better.
    """
    start = Point(0.0, value, slope)
    if not start.finite or slope >= 0:
        return start
    # `low` has the least value of all that decrease enough; there are good points between it and
    # `high`. Before the bracket is closed `high` lies at infinity, which makes the two algorithms
    # one loop.
    low, high, best, step = start, Point(inf, inf, inf), start, first_step
    for _ in range(MAX_EVALUATIONS):
        trial = Point(step, *phi(step))
        if trial.finite and trial.value < best.value:
            best = trial
        enough = trial.finite and trial.value <= value + SUFFICIENT_DECREASE * step * slope
        if not enough or trial.value >= low.value:
            high = trial
        elif abs(trial.slope) <= -CURVATURE * slope:
            return trial
        else:
            before = low
            if trial.slope * (high.step - low.step) >= 0:
                high = low
            low = trial
        step = _extrapolate(before, low) if high.step == inf else _interpolate(low, high)
        if step in (low.step, high.step):  # no number lies between them
            break
    return best


def _extrapolate(before: Point, last: Point) -> float:
    """A longer step than `last`, which still goes down."""
    shortest, longest = last.step + 0.01 * (last.step - before.step), 10 * last.step
    minimum = _cubic_minimum(before, last)
    return longest if minimum is None else min(max(minimum, shortest), longest)


def _interpolate(a: Point, b: Point) -> float:
    """A step between both, a tenth of the interval or more from either, so that it shrinks."""
    left, right = sorted((a.step, b.step))
    margin = 0.1 * (right - left)
    minimum = _cubic_minimum(a, b)
    return (
        (left + right) / 2 if minimum is None else min(max(minimum, left + margin), right - margin)
    )


def _cubic_minimum(a: Point, b: Point) -> float | None:
    """Where the cubic through both points, with their slopes, is least (equation 3.59); None if
    nowhere."""
    if not (a.finite and b.finite):
        return None
    if a.step > b.step:
        a, b = b, a
    width = b.step - a.step
    d1 = a.slope + b.slope - 3 * (b.value - a.value) / width
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < inf:
        return None
    d2 = sqrt(square)
    denominator = b.slope - a.slope + 2 * d2
    return b.step - width * (b.slope + d2 - d1) / denominator if denominator else None
