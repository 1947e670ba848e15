"""How fast a run goes, when it will be done, and when to speak of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from worker.engine import Level, Progress

# A step's time is smoothed over about this many steps.
WINDOW_STEPS = 10
LONGEST_PAUSE_SECONDS = 60.0


class Pace:
    """Measures steps as they happen. A step's cost is taken as proportional to its pixels.

    What is left is told by each `Progress` anew: a level may end early, so that the run gets
    shorter, and a run that recovers from a divergence goes back some steps.
    """

    def __init__(self, levels: Sequence[Level], remaining_seconds: float | None = None) -> None:
        self._levels = levels
        self._last = time.monotonic()
        self._deadline = None if remaining_seconds is None else self._last + remaining_seconds
        self._seconds_per_step: float | None = None
        self._measured = 0  # steps that the above is the mean of
        self._progress: Progress | None = None

    def step(self, progress: Progress) -> None:
        """Note that a step was done, and that the run is where `progress` says."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        before, self._progress = self._progress, progress
        if self._seconds_per_step is None or before is None:
            # It has looked at the images too, and counts only until there is a second one.
            self._seconds_per_step = seconds
        elif before.level != progress.level:
            # The first step at a level also looks at the images: what is known is scaled instead.
            self._seconds_per_step *= _pixels(progress) / _pixels(before)
        else:
            self._measured = min(self._measured + 1, WINDOW_STEPS)
            self._seconds_per_step += (seconds - self._seconds_per_step) / self._measured

    @property
    def steps_per_second(self) -> float | None:
        """Speed at the present level."""
        return 1 / self._seconds_per_step if self._seconds_per_step else None

    @property
    def eta_seconds(self) -> float | None:
        """Time to the end of all levels, or to the deadline if that comes first, s."""
        if self._progress is None or self._seconds_per_step is None:
            return None
        here = self._progress
        later = self._levels[here.level + 1 :]
        steps_here = here.total_steps - here.step - sum(level.steps for level in later)
        work = max(0, steps_here) * _pixels(here)
        work += sum(level.steps * level.width * level.height for level in later)
        eta = work * self._seconds_per_step / _pixels(here)
        if self._deadline is None:
            return eta
        return min(eta, max(0.0, self._deadline - time.monotonic()))


class Interval:
    """Says when it is time to do something again, so that it costs no more than a share of the
    time.

    Never beyond its share but for the first time: what was spent, and as much again as the last
    time, has to be earned before the next. Yet what took very long was an outage, and after the
    longest pause it is tried again.
    """

    def __init__(
        self,
        seconds: float,
        share: float = 1.0,
        *,
        longest_pause: float = LONGEST_PAUSE_SECONDS,
        at_once: bool = True,
    ) -> None:
        """
        Args:
            seconds: shortest time from one to the next.
            share: of the time since now that it may take, as far as it is `counted`.
            longest_pause: after which it is due however much it costs, s.
            at_once: whether it is due now, or after the first interval.
        """
        self._seconds = seconds
        self._share = share
        self._longest_pause = longest_pause
        self._started = time.monotonic()
        self._next = self._started if at_once else self._started + seconds
        self._spent = 0.0

    def is_due(self) -> bool:
        """True at most once in every interval, the first time at once."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True

    @contextmanager
    def counted(self) -> Iterator[None]:
        """What is done within the block is what is to cost no more than the share."""
        before = time.monotonic()
        try:
            yield
        finally:
            self.charge(time.monotonic() - before)

    def charge(self, cost: float) -> None:
        """Note that it took so many seconds."""
        self._spent += cost
        earned = self._started + (self._spent + cost) / self._share
        latest = time.monotonic() + self._longest_pause
        self._next = max(self._next, min(earned, latest))


def _pixels(progress: Progress) -> int:
    return progress.width_px * progress.height_px
