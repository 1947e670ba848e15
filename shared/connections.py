"""Connections to Redis: of those for whom a request waits, and of workers.

Neither waits for an outage to end. Who can, asks again.
"""

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry


def connect_impatient(url: str) -> Redis:
    """A client that answers or fails within 2 s: a request, or a step, waits."""
    return _connect(url, attempts=1, timeout_seconds=2)


def connect_patient(url: str) -> Redis:
    """A client that outlasts a blip within some seconds: a job, or a worker's beat, waits."""
    return _connect(url, attempts=4, timeout_seconds=2)


def _connect(url: str, *, attempts: int, timeout_seconds: float) -> Redis:
    """A client that gives up after `attempts` tries of `timeout_seconds` each."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialWithJitterBackoff(cap=2.0, base=0.05), attempts - 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
