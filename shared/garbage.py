"""What is not needed any more: expired jobs, their objects in S3, inputs that no job uses.

An input lies in S3 once, however many jobs use it. It is removed when no job has used it for a
while. Whoever is about to use one touches it first, sees then whether it is there if it may be,
stores it if not, and writes the record of the job at last. A touched input stays for as long as
that may take; one that is being removed cannot be touched.

Nothing here depends on a removal coming to its end: what was taken and not removed comes back.
"""

import secrets
from dataclasses import dataclass

from redis import Redis

from shared import names
from shared.scripts import Scripts
from shared.settings import Settings

# From touching an input to the record of a job that uses it. A request takes far less.
POSTING_SECONDS = 600
# A removal from S3 takes less, so that nobody stores an input again while it is being removed.
REMOVING_SECONDS = 300
# For so long a worker that was cut off may store something under a job that has ended.
STRAGGLER_SECONDS = 3600


@dataclass(frozen=True)
class Removal:
    """The right to remove an input from S3, within `REMOVING_SECONDS`."""

    digest: str
    number: str


class Garbage:
    """Knows what can be removed. Removing it is the sweeper's work."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._settings = settings

    def touch_inputs(self, digests: list[str]) -> frozenset[str] | None:
        """Say that inputs are about to be used. None: one of them is being removed right now.

        Returns those that may lie in S3. The others need not be looked for there.
        """
        known = self._scripts.run("touch_inputs", POSTING_SECONDS, *digests)
        return None if known is None else frozenset(known)

    def expire_jobs(self, limit: int) -> int:
        """Forget jobs that were kept long enough. Returns how many."""
        return int(self._scripts.run("expire", limit, self._settings.retention_seconds))

    def take_prefix(self) -> str | None:
        """A prefix in S3 under which nothing is needed. It comes again an hour later.

        By then nobody stores anything there any more; and whoever took it may have been lost.
        """
        found = self._scripts.run("take_rows", names.GARBAGE, 1, STRAGGLER_SECONDS)
        return str(found[0]) if found else None

    def found_empty(self, prefix: str) -> None:
        """There was nothing left under a prefix: it is done with."""
        self._redis.zrem(names.GARBAGE, prefix)

    def take_unused_input(self) -> Removal | None:
        """An input that no job has used for a while, to be removed from S3 now."""
        number = secrets.token_hex(8)
        digest: str | None = ""
        while digest == "":  # so many are in use again that Redis takes a breath
            digest = self._scripts.run(
                "take_unused", self._settings.unused_input_seconds, REMOVING_SECONDS, number
            )
        return Removal(digest, number) if digest else None

    def removed_input(self, removal: Removal) -> bool:
        """An unused input is gone from S3. False: it took too long, and may be missed."""
        return bool(self._scripts.run("removed_input", removal.digest, removal.number))

    def found_inputs(self, digests: list[str]) -> int:
        """Inputs lie in S3: those that no job uses are removed after a while. Returns how many."""
        return int(self._scripts.run("found_inputs", *digests))
