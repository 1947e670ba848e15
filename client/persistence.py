"""Sending a request again that makes a job, until it is known what came of it.

It has an idempotency key, so however often it arrives it makes one job.
"""

import itertools
import random
import time
from collections.abc import Callable
from typing import TypeVar

from client.errors import ApiProblem, ClientError, ServiceUnreachable

# For how long, s, by what came instead of an answer.
NOBODY_SECONDS = 4.0  # nothing listens: it may be starting again
AWAY_SECONDS = 60.0  # the connection broke, or Redis or S3 is away
IN_FLIGHT_SECONDS = 150.0  # a request whose process was killed is believed to be alive for 120 s

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0
UNAVAILABLE = 503
GATEWAY = (502, 504)  # a proxy in front that got no answer

T = TypeVar("T")


def persistently(send: Callable[[], T]) -> T:
    """What `send` returns. Its errors are raised when there is no sense in sending it again."""
    failing_since: float | None = None
    patience_seconds = 0.0
    for attempt in itertools.count():
        try:
            return send()
        except (ServiceUnreachable, ApiProblem) as error:
            now = time.monotonic()
            failing_since = failing_since or now
            # Once it may have arrived, somebody who is not there is worth waiting for.
            patience_seconds = max(patience_seconds, _patience_seconds(error))
            pause_seconds = _pause_seconds(error, attempt)
            too_long = now + pause_seconds > failing_since + patience_seconds
            if too_long or _is_final(error):
                raise
        time.sleep(pause_seconds)
    raise AssertionError  # counting does not end


def _is_final(error: ClientError) -> bool:
    return _patience_seconds(error) == 0.0


def _patience_seconds(error: ClientError) -> float:
    match error:
        case ServiceUnreachable(was_sent=True):
            return AWAY_SECONDS
        case ServiceUnreachable():
            return NOBODY_SECONDS
        case ApiProblem(code="in_flight"):
            return IN_FLIGHT_SECONDS
        case ApiProblem(status=status) if status in (UNAVAILABLE, *GATEWAY):
            return AWAY_SECONDS
    return 0.0


def _pause_seconds(error: ServiceUnreachable | ApiProblem, attempt: int) -> float:
    """As long as the service says, and twice as long each time, with jitter."""
    backoff = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**attempt)
    asked = error.retry_after_seconds if isinstance(error, ApiProblem) else None
    return max(asked or 0.0, backoff) * random.uniform(1.0, 1.5)  # noqa: S311 - not a secret
