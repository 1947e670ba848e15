"""Whether the workers of this container are registered: exit code 0 or 1.

The registration is renewed by a thread beside the step loop, so a busy worker is a healthy one. A
Redis that does not answer is not the worker's fault: restarting the worker would not mend it.
"""

import sys
from pathlib import Path

from redis import Redis, RedisError

from shared.names import WORKERS
from shared.settings import Settings

NAME = b"IMPASTO_WORKER_NAME="  # `impasto worker` gives it to each Celery process
TIMEOUT_SECONDS = 3


def worker_names() -> set[str]:
    """The names that the worker processes of this container run under."""
    names = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = file.read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        names |= {line.removeprefix(NAME).decode() for line in variables if line.startswith(NAME)}
    return names


def missing(names: set[str], settings: Settings) -> set[str]:
    """Those of `names` that are not registered, or whose registration has run out."""
    with Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    ) as redis:
        now, _ = redis.time()
        return {name for name in names if (redis.zscore(WORKERS, name) or 0) < now}


if __name__ == "__main__":
    names = worker_names()
    if not names:
        sys.exit("no worker runs here")
    try:
        lost = missing(names, Settings())
    except RedisError as error:
        print(f"cannot tell, Redis does not answer: {error}")  # noqa: T201 - Docker shows it
        sys.exit(0)
    if lost:
        sys.exit(f"not registered: {', '.join(sorted(lost))}")
