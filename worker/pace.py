"""How fast a run goes, when it will be done, and when to speak of it."""

import time
from collections.abc import Sequence

from worker.engine.pyramid import Level

# A step's time is smoothed over about this many steps.
WINDOW_STEPS = 10


class Pace:
    """Measures steps as they happen. A step's cost is taken as proportional to its pixels."""

    def __init__(self, levels: Sequence[Level], steps_done: int = 0) -> None:
        self._levels = levels
        self._steps_done = steps_done
        self._last = time.monotonic()
        self._seconds_per_step: float | None = None
        self._level: Level | None = None

    def step(self, level_index: int) -> None:
        """Note that one step was done, at the level of this index."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        level = self._levels[level_index]
        if self._seconds_per_step is None or self._level is None:
            self._seconds_per_step = seconds
        elif self._level is not level:
            # The first step at a level also looks at the images: what is known is scaled instead.
            self._seconds_per_step *= _pixels(level) / _pixels(self._level)
        else:
            self._seconds_per_step += (seconds - self._seconds_per_step) / WINDOW_STEPS
        self._level = level
        self._steps_done += 1

    @property
    def steps_per_second(self) -> float | None:
        """Speed at the present level."""
        return 1 / self._seconds_per_step if self._seconds_per_step else None

    @property
    def eta_seconds(self) -> float | None:
        """Time to the end of all levels, s."""
        if self._level is None or self._seconds_per_step is None:
            return None
        seconds_per_pixel = self._seconds_per_step / _pixels(self._level)
        work, end = 0, 0
        for level in self._levels:
            end += level.steps
            remaining = min(level.steps, max(0, end - self._steps_done))
            work += remaining * _pixels(level)
        return work * seconds_per_pixel


class Interval:
    """Says whether enough time has passed since it last said so."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic()

    def is_due(self) -> bool:
        """True at most once in every interval, the first time at once."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def _pixels(level: Level) -> int:
    return level.width * level.height
