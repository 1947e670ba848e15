"""Connections to Redis: of those for whom a request waits, and of workers.

Neither waits for an outage to end. Who can, asks again.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

# As many as threads may ask at a time; redis-py would refuse the hundred and first.
MAX_CONNECTIONS = 10_000


def connect_impatient(url: str) -> Redis:
    """A client that answers or fails within 2 s: a request, or a step, waits."""
    return _connect(url, attempts=1, timeout_seconds=2)


def connect_patient(url: str) -> Redis:
    """A client that outlasts a blip within some seconds: a job, or a worker's beat, waits."""
    return _connect(url, attempts=4, timeout_seconds=2)


class RoundTrips:
    """Asks Redis several questions at once. Only what changes nothing, since it may ask twice.

    What a pipeline without a transaction does, at a third of its cost: polls are little else. So
    it keeps connections of its own. The client's pool looks at each before it lends it; here one
    that has broken since is noticed by whoever uses it.
    """

    def __init__(self, redis: Redis) -> None:
        pool: Any = redis.connection_pool
        # Not the pool's own: it would count them, and believe that those which broke are in use.
        self._connect = partial(pool.connection_class, **pool.connection_kwargs)
        self._idle: list[Any] = []

    def ask(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Redis's replies, as its protocol (RESP3) has them.

        Raises:
            RedisError: it does not answer, or refuses a command.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._ask(self._connect(), commands)
        try:
            return self._ask(connection, commands)
        except RedisConnectionError:  # Redis was started anew, and the others are broken as well
            self._idle.clear()
            return self._ask(self._connect(), commands)

    def _ask(self, connection: Any, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            replies = [_reply(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # what is still to come would be taken for the next one's
            raise
        self._idle.append(connection)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:  # the others have to be read all the same
        return error


def _connect(url: str, *, attempts: int, timeout_seconds: float) -> Redis:
    """A client that gives up after `attempts` tries of `timeout_seconds` each."""
    return Redis.from_url(
        url,
        decode_responses=True,
        protocol=3,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=25,
        max_connections=MAX_CONNECTIONS,
        retry=Retry(ExponentialWithJitterBackoff(cap=2.0, base=0.05), attempts - 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
