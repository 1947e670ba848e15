"""What one of many workers does in every interval.

A worker that took its turn may be lost before it did anything. So turns end before the interval
does, and all workers look several times in it: each interval has a turn.
"""

from redis import Redis

from shared.scripts import Scripts

LOOKS = 5  # in an interval


class Turn:
    """A lock that expires, and that nobody gives back: whoever takes it does the work."""

    def __init__(self, redis: Redis, name: str, interval_seconds: float) -> None:
        self._scripts = Scripts(redis)
        self._key = f"impasto:turn:{name}"
        self._milliseconds = max(1, round(interval_seconds * (1 - 1 / LOOKS) * 1000))

    def take(self) -> bool:
        """Whether it is for us to do it now. A worker whose clock is off changes nothing."""
        return bool(self._scripts.run("take_turn", self._key, self._milliseconds))
