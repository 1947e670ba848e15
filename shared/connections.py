"""Connections to Redis: for whom a request waits, and for whom hours of work do."""

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry


def connect_impatient(url: str) -> Redis:
    """A client that answers or fails within 2 s: a request, or a step, waits."""
    return _connect(url, attempts=1, timeout_seconds=2)


def connect_patient(url: str) -> Redis:
    """A client that outlasts a restart of Redis: hours of work wait."""
    return _connect(url, attempts=60, timeout_seconds=10)


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
