"""Rules that end a level of the pyramid before its steps are done."""

import time
from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor

from shared.levels import Level
from shared.parameters import Plateau


class Deadline:
    """Wall-clock time that the levels share, by their pixels and steps.

    Time counts from the first step, and goes on after a pause where it stood.
    """

    def __init__(self, seconds: float, levels: Sequence[Level]) -> None:
        work = list(accumulate(level.width * level.height * level.steps for level in levels))
        self._seconds = seconds
        self._ends: list[float] = [seconds * done / work[-1] for done in work]
        self._before = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Let the clock run."""
        if self._since is None:
            self._since = time.monotonic()

    def has_passed(self, level: int) -> bool:
        """Whether the time of the level with this index is over."""
        return self.elapsed_seconds >= self._ends[level]

    @property
    def elapsed_seconds(self) -> float:
        """Time that the run has taken so far."""
        return self._before + (0 if self._since is None else time.monotonic() - self._since)

    @property
    def remaining_seconds(self) -> float:
        """Time that the run still has."""
        return max(0.0, self._seconds - self.elapsed_seconds)

    def resume(self, elapsed_seconds: float) -> None:
        """Go on where another run had come to."""
        self._before, self._since = elapsed_seconds, None


class PlateauWatch:
    """Looks at the loss of one level once in a window, and sees when it stops falling."""

    def __init__(self, rule: Plateau) -> None:
        self._rule = rule
        self.last: float | None = None  # the loss when it was looked at

    def has_stopped(self, step: int, loss: Tensor) -> bool:
        """Whether the level is over; `step` counts from 1. Waits for the device once a window."""
        if step % self._rule.window:
            return False
        before, self.last = self.last, loss.item()
        return before is not None and before - self.last < self._rule.change * abs(before)
