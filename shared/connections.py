"""Connections to Redis: of those for whom a request waits, and of workers.

Neither waits for an outage to end. Who can, asks again.
"""

from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry


def connect_impatient(url: str) -> Redis:
    """A client that answers or fails within 2 s: a request, or a step, waits."""
    return _connect(url, attempts=1, timeout_seconds=2)


def connect_patient(url: str) -> Redis:
    """A client that outlasts a blip within some seconds: a job, or a worker's beat, waits."""
    return _connect(url, attempts=4, timeout_seconds=2)


def round_trip(redis: Redis, commands: Sequence[tuple[str, ...]]) -> list[Any]:
    """Send commands at once and return Redis's replies, as its protocol (RESP3) has them.

    What a pipeline without a transaction does, in half of the processor time: polls are nothing
    else. Nothing is tried again.

    Raises:
        RedisError: it does not answer, or refuses a command.
    """
    pool = redis.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        replies = [_reply(connection) for _ in commands]
    except BaseException:
        connection.disconnect()  # what is still to come would be taken for the next one's
        raise
    finally:
        pool.release(connection)
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
        retry=Retry(ExponentialWithJitterBackoff(cap=2.0, base=0.05), attempts - 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
