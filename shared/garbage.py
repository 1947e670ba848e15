"""What is not needed any more: expired jobs, their objects in S3, inputs that no job uses.

An input lies in S3 once, however many jobs use it. It is removed when no job has used it for a
while; whoever is about to use it says so first, so that it is not removed under their hands.
"""

from redis import Redis

from shared import names
from shared.scripts import Scripts
from shared.settings import Settings

# What a lost sweeper took comes back after this, and an input may be stored again.
REMOVING_SECONDS = 120
# A worker that was cut off may still store something under the prefix of a job that has ended.
STRAGGLER_SECONDS = 3600


class Garbage:
    """Knows what can be removed. Removing it is the sweeper's work."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._settings = settings

    def touch_inputs(self, digests: list[str]) -> bool:
        """Say that inputs are about to be used. False: one of them is being removed right now."""
        return bool(self._scripts.run("touch_inputs", *digests))

    def expire_jobs(self, limit: int) -> int:
        """Forget jobs that were kept long enough. Returns how many."""
        return int(self._scripts.run("expire", limit, self._settings.retention_seconds))

    def take_prefixes(self, limit: int) -> list[str]:
        """Prefixes in S3 under which nothing is needed."""
        found: list[str] = self._scripts.run("take_rows", names.GARBAGE, limit, REMOVING_SECONDS)
        return found

    def removed_prefix(self, prefix: str, *, was_empty: bool) -> None:
        """A prefix is done with when it was found empty; otherwise it is looked at once more."""
        if was_empty:
            self._redis.zrem(names.GARBAGE, prefix)
        else:
            self._redis.zincrby(names.GARBAGE, STRAGGLER_SECONDS, prefix)

    def take_unused_inputs(self, limit: int) -> list[str]:
        """Hashes of inputs that no job has used for a while, to be removed from S3 now."""
        found: list[str] = self._scripts.run(
            "take_unused", limit, self._settings.unused_input_seconds, REMOVING_SECONDS
        )
        return found

    def removed_input(self, digest: str) -> None:
        """An unused input is gone from S3."""
        self._scripts.run("removed_input", digest)

    def found_input(self, digest: str) -> None:
        """There is an input in S3: if no job uses it, it is removed after a while."""
        self.touch_inputs([digest])
