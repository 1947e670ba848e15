"""How often one may ask: as many requests at once as in a minute, and then at that pace.

Requests are counted in the memory of each process, so that a poll stays one round trip to Redis.
Jobs, which cost more, are counted in Redis, for all processes together. Each key has a count of its
own, and where no key is known each address.
"""

import ipaddress
import math
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from flask import request
from redis.exceptions import ResponseError
from throttled import RateLimiterType, RateLimitResult, RateLimitState, Throttled
from throttled.exceptions import StoreUnavailableError
from throttled.rate_limiter import per_min
from throttled.store import BaseStore, ConnectionFactory, MemoryStore, RedisStore

from shared.connections import connect_impatient
from shared.errors import RateLimited
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

COUNTED = "impasto.counted"  # in WSGI's environment
# Callers that a process remembers, those that it has not heard of for longest forgotten first.
MAX_CALLERS = 20_000
PREFIX = "impasto:rates"
ASKING_FOR_JOBS: Final = frozenset({"/v1/jobs", "/v1/jobs/<job_id>/retry", "/v1/estimate"})


class ImpatientConnections(ConnectionFactory):
    """Connections to Redis as all of the API's are."""

    def connect(self, url: str | None = None) -> Any:
        """A client that answers or fails soon."""
        return connect_impatient(str(url))


class Counted(NamedTuple):
    """What a request counted for."""

    name: str
    per_minute: int
    state: RateLimitState


class Rate:
    """One kind of thing that is counted."""

    def __init__(self, name: str, things: str, store: BaseStore) -> None:
        self.name = name
        self._things = things
        # As many as there are different limits, which operators set.
        self._throttled = cache(
            lambda per_minute: Throttled(
                using=RateLimiterType.GCRA.value,
                quota=per_min(per_minute),
                store=store,
                key_prefix=f"{PREFIX}:{name}",
            )
        )

    def spend(self, caller: str, per_minute: int | None) -> None:
        """Count one more, and note for `RateHeaders` what is left. No limit if there is none.

        Raises:
            RateLimited: it is one too many, and is not counted.
        """
        if not per_minute:
            return
        result: RateLimitResult = self._throttled(per_minute).limit(caller)
        request.environ[COUNTED].append(Counted(self.name, per_minute, result.state))
        if result.limited:
            raise RateLimited(
                f"more than {per_minute:,} {self._things} a minute",
                retry_after_seconds=max(1, math.ceil(result.state.retry_after)),
            )


class Rates:
    """What is counted by this process, and in Redis by all."""

    def __init__(self, settings: Settings) -> None:
        self.memory = MemoryStore(options={"MAX_SIZE": MAX_CALLERS})
        self._requests = Rate("requests", "requests", self.memory)
        factory = f"{ImpatientConnections.__module__}.{ImpatientConnections.__qualname__}"
        redis = RedisStore(
            server=settings.redis_url.get_secret_value(),
            options={"CONNECTION_FACTORY_CLASS": factory},
        )
        self._jobs = Rate("jobs", "jobs and estimates", redis)

    def spend_request(self, caller: str, per_minute: int | None) -> None:
        """Count this request. Raises `RateLimited`."""
        self._requests.spend(caller, per_minute)

    def spend_job(self, caller: str, per_minute: int | None) -> None:
        """Count this request as well, if it asks for a job.

        Raises:
            RateLimited: it is one too many.
            RedisError: Redis does not answer, and would not to the route either.
        """
        if request.method != "POST" or request.url_rule is None:
            return
        if request.url_rule.rule in ASKING_FOR_JOBS:
            try:
                self._jobs.spend(caller, per_minute)
            except StoreUnavailableError as error:
                # One that is full counts nothing; the route knows what can be done all the same.
                if not isinstance(error.__cause__, ResponseError):
                    raise error.__cause__ or error from None


class RateHeaders:
    """WSGI middleware that tells whoever asks what is left."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Add to each answer what was counted for it."""
        counted: list[Counted] = []
        environ[COUNTED] = counted

        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            if counted:
                policies = (f'"{one.name}";q={one.per_minute};w=60' for one in counted)
                standing = (
                    f'"{one.name}";r={one.state.remaining};t={math.ceil(one.state.reset_after)}'
                    for one in counted
                )
                headers.append(("RateLimit-Policy", ", ".join(policies)))
                headers.append(("RateLimit", ", ".join(standing)))
            return start_response(status, headers, *failure)

        return self._app(environ, start)


def address() -> str:
    """Where a request comes from, as a caller to count."""
    return _network(request.remote_addr or "")


@lru_cache(maxsize=4096)
def _network(written: str) -> str:
    """An address of IPv6 by its /64: whoever has one has all of them."""
    try:
        found = _parse(written)
    except ValueError:  # a socket of Unix has none
        return "address:unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return f"address:{ipaddress.ip_network((found, 64), strict=False)}"
        found = found.ipv4_mapped
    return f"address:{found}"


def _parse(written: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, to which some proxies add the port. Raises `ValueError`."""
    try:
        return ipaddress.ip_address(written.partition("%")[0])
    except ValueError:
        host = urlsplit(f"//{written}").hostname or ""
        return ipaddress.ip_address(host.partition("%")[0])
