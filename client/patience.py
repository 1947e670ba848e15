"""Sending a request again, until it is known what came of it or nobody would wait any longer.

Those that make a job have an idempotency key, so however often they arrive they make one job.
"""

import random
import time
from dataclasses import dataclass

from client.errors import ApiProblem, ServiceUnreachable

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0
UNAVAILABLE = 503
GATEWAY = (502, 504)  # a proxy in front that got no answer
TOO_MANY_REQUESTS = 429
TOO_MANY_JOBS = "too_many"  # a 429 that ends when a job does, and nobody knows when that is


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how long a request is sent again, s, by what came instead of an answer."""

    nobody_seconds: float = 0.0  # nothing listens: it may be starting again
    away_seconds: float = 0.0  # the connection broke, or Redis or S3 is away
    limited_seconds: float = 0.0  # more requests than one may send; rates are those of a minute
    in_flight_seconds: float = 0.0  # the same request is still worked on
    repeatable: bool = True  # whether it may be sent again although it may have arrived

    def seconds(self, error: ServiceUnreachable | ApiProblem) -> float:
        """After the first failure, until this error is final."""
        match error:
            case ServiceUnreachable(was_sent=True):
                return self.away_seconds if self.repeatable else 0.0
            case ServiceUnreachable():
                return self.nobody_seconds
            case ApiProblem(code="in_flight"):
                return self.in_flight_seconds
            case ApiProblem(status=status) if status in (UNAVAILABLE, *GATEWAY):
                return self.away_seconds
            case ApiProblem(status=status, code=code):
                limited = status == TOO_MANY_REQUESTS and code != TOO_MANY_JOBS
                return self.limited_seconds if limited else 0.0
        return 0.0


NONE = Patience()
FOR_AN_ANSWER = Patience(nobody_seconds=2.0, away_seconds=15.0, limited_seconds=90.0)
FOR_A_JOB = Patience(
    nobody_seconds=4.0,
    away_seconds=60.0,
    limited_seconds=150.0,
    in_flight_seconds=150.0,  # a request whose process was killed is believed to be alive for 120 s
)
FOR_THE_END = Patience(nobody_seconds=60.0, away_seconds=60.0, limited_seconds=150.0)
ONCE = Patience(nobody_seconds=2.0, away_seconds=15.0, limited_seconds=90.0, repeatable=False)


class Retries:
    """Decides after each failure of one request; whoever sends it does the waiting."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0
        self._failing_since = 0.0
        self._patience_seconds = 0.0

    def pause_seconds(self, error: ServiceUnreachable | ApiProblem) -> float:
        """How long to wait until it is sent again. Raises `error` when there is no sense in it.

        As long as the service says, and twice as long each time, with jitter.
        """
        now = time.monotonic()
        if not self._failures:
            self._failing_since = now
        seconds = self._patience.seconds(error)
        # Once it may have arrived, somebody who is not there is worth waiting for.
        self._patience_seconds = max(self._patience_seconds, seconds)
        backoff = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._failures)
        pause = backoff * random.uniform(1.0, 1.5)  # noqa: S311 - not a secret
        if isinstance(error, ApiProblem):
            pause += error.retry_after_seconds or 0.0
        if not seconds or now + pause > self._failing_since + self._patience_seconds:
            raise error
        self._failures += 1
        return pause
