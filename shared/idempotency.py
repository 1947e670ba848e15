"""Idempotency keys: a request that is sent twice makes one job.

The semantics are Stripe's: the key and the request belong together, what was refused may be sent
again under the same key, and a request whose first copy is still worked on is told so.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Self

from redis import Redis

from shared.errors import InFlight, KeyReused
from shared.jobs import Idempotency
from shared.scripts import Scripts

# Longer than any request takes. If one takes longer, the next with its key goes ahead, and the slow
# one finds that its ticket is no longer valid.
IN_FLIGHT_SECONDS = 120


@dataclass(frozen=True)
class Ticket:
    """What one request draws to make the job of an idempotency key."""

    owner: str
    idempotency: Idempotency
    number: str

    @classmethod
    def draw(cls, owner: str, key: str, request_sha256: str) -> Self:
        """A new one. It is worth nothing before `IdempotencyKeys.begin` has taken it."""
        key_sha256 = hashlib.sha256(key.encode()).hexdigest()
        return cls(
            owner,
            Idempotency(key_sha256=key_sha256, request_sha256=request_sha256),
            secrets.token_hex(16),
        )


class IdempotencyKeys:
    """Remembers which request came with which key."""

    def __init__(self, redis: Redis) -> None:
        self._scripts = Scripts(redis)

    def begin(self, ticket: Ticket) -> str | None:
        """Nothing for the first request of a key; for a later one the id of the job it made.

        Raises:
            KeyReused: the key came with another request before.
            InFlight: the first request is still worked on.
        """
        outcome, *job_id = self._scripts.run(
            "begin",
            ticket.owner,
            ticket.idempotency.key_sha256,
            ticket.idempotency.request_sha256,
            ticket.number,
            IN_FLIGHT_SECONDS,
        )
        match outcome:
            case "begun":
                return None
            case "done":
                return str(job_id[0])
            case "mismatch":
                raise KeyReused(
                    "this Idempotency-Key came with another request before: take a new key for a"
                    " new request"
                )
        raise InFlight("the first request with this Idempotency-Key is still worked on: wait")

    def abandon(self, ticket: Ticket) -> None:
        """Free the key, since its request was refused."""
        self._scripts.run("abandon", ticket.owner, ticket.idempotency.key_sha256, ticket.number)
