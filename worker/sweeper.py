"""Removes what is not needed any more: expired jobs, their objects in S3, inputs nobody uses."""

import time
from collections.abc import Callable

import structlog
from redis import Redis

from shared.garbage import Garbage
from shared.storage import STORAGE_ERRORS, Storage, input_key
from worker.turns import Turn

JOBS_AT_ONCE = 100
# For each of the three kinds. What is left waits for the next run: a worker has pictures to paint.
SECONDS = 3.0
log = structlog.get_logger(__name__)


class Sweeper:
    """Any worker runs it; a lock that expires lets one of them do so in every interval.

    If there is more to remove than one of them can, a shorter interval lets several do it at once.
    """

    def __init__(
        self, redis: Redis, garbage: Garbage, storage: Storage, interval_seconds: float
    ) -> None:
        self._turn = Turn(redis, "sweeper", interval_seconds)
        self._garbage = garbage
        self._storage = storage
        self.interval_seconds = interval_seconds

    def run_if_due(self) -> None:
        """Sweep unless somebody did so a moment ago."""
        if self._turn.take():
            self.run()

    def run(self) -> None:
        """Remove what there is, for some seconds at most."""
        removed = {"jobs": 0, "prefixes": 0, "inputs": 0}
        steps = (self._forget_jobs, self._empty_a_prefix, self._remove_an_input)
        try:
            for kind, step in zip(removed, steps, strict=True):
                for number in _repeat(step):
                    removed[kind] += number
        except STORAGE_ERRORS as error:
            log.warning("S3 is away; what is not needed stays for now", error=repr(error))
        if any(removed.values()):
            log.info("swept", **removed)

    def _forget_jobs(self) -> int:
        return self._garbage.expire_jobs(JOBS_AT_ONCE)

    def _empty_a_prefix(self) -> int:
        prefix = self._garbage.take_prefix()
        if prefix is None:
            return 0
        if self._storage.delete_prefix(prefix) == 0:
            self._garbage.found_empty(prefix)
        return 1

    def _remove_an_input(self) -> int:
        removal = self._garbage.take_unused_input()
        if removal is None:
            return 0
        self._storage.delete(input_key(removal.digest))
        if not self._garbage.removed_input(removal):
            log.error("an input was removed so late that a new job may miss it", **vars(removal))
        return 1


def _repeat(step: Callable[[], int]) -> list[int]:
    """What `step` returns, called until it does nothing or the time is over."""
    until = time.monotonic() + SECONDS
    done = []
    while time.monotonic() < until and (number := step()):
        done.append(number)
    return done
