"""`Impasto` and `AsyncImpasto`: every route of the API as a method, with typed answers.

What each method does is in `client.operations`, `client.streaming` and `client.painting`, written
once for both.
"""

import functools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from client import operations, painting, streaming
from client.call import timeouts
from client.errors import ClientError
from client.session import AwaitingSession, BlockingSession, Session, finished, iterated

DEFAULT_URL = "http://127.0.0.1:8080"

P = ParamSpec("P")
T = TypeVar("T")


def default_url() -> str:
    """`IMPASTO_URL`, or the address of `impasto up` on this machine."""
    return os.environ.get("IMPASTO_URL", DEFAULT_URL)


def _blocking(
    operation: Callable[Concatenate[Session, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Impasto", P], T]:
    @functools.wraps(operation)
    def method(self: "Impasto", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return finished(operation(self._session, *args, **kwargs))

    return method


def _iterating(
    operation: Callable[Concatenate[Session, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Impasto", P], Iterator[T]]:
    @functools.wraps(operation)
    def method(self: "Impasto", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return iterated(operation(self._session, *args, **kwargs))

    return method


def _awaiting(
    operation: Callable[Concatenate[Session, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["AsyncImpasto", P], Coroutine[Any, Any, T]]:
    @functools.wraps(operation)
    async def method(self: "AsyncImpasto", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await operation(self._session, *args, **kwargs)

    return method


def _awaiting_each(
    operation: Callable[Concatenate[Session, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["AsyncImpasto", P], AsyncIterator[T]]:
    @functools.wraps(operation)
    def method(self: "AsyncImpasto", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return operation(self._session, *args, **kwargs)

    return method


class Impasto:
    """A connection to the service. A context manager: leaving it closes the connection.

    Every method raises `ServiceUnreachable` when nothing answers, and `ApiProblem` when the service
    refuses. Before they do, they try again for a while where that makes sense; those that make a
    job try longer, and make no second one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        patient: bool = True,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: address of the service; `IMPASTO_URL` or that of `impasto up` when None.
            api_key: where keys are required; `IMPASTO_API_KEY` when None.
            timeout_seconds: longest silence of the service.
            patient: whether to try again what failed.

        Raises:
            ClientError: the key has characters that no key has.
        """
        self.url = _address(url)
        self._http = httpx.Client(
            base_url=self.url, timeout=timeouts(timeout_seconds), headers=_headers(api_key)
        )
        self._session = BlockingSession(self._http, patient=patient)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    submit = _blocking(operations.submit)
    job = _blocking(operations.job)
    jobs = _blocking(operations.jobs)
    all_jobs = _iterating(operations.all_jobs)
    cancel = _blocking(operations.cancel)
    retry = _blocking(operations.retry)
    delete = _blocking(operations.delete)
    result = _blocking(operations.result)
    save_result = _blocking(operations.save_result)
    preview = _blocking(operations.preview)
    losses = _blocking(operations.losses)
    input_image = _blocking(operations.input_image)
    manifest = _blocking(operations.manifest)
    presets = _blocking(operations.presets)
    workers = _blocking(operations.workers)
    estimate = _blocking(operations.estimate)
    events = _iterating(streaming.events)
    follow = _iterating(streaming.follow)
    wait = _blocking(streaming.wait)
    paint = _blocking(painting.paint)


class AsyncImpasto:
    """`Impasto` for an event loop: the same methods, to be awaited or iterated with `async for`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        patient: bool = True,
    ) -> None:
        """As `Impasto`."""
        self.url = _address(url)
        self._http = httpx.AsyncClient(
            base_url=self.url, timeout=timeouts(timeout_seconds), headers=_headers(api_key)
        )
        self._session = AwaitingSession(self._http, patient=patient)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    submit = _awaiting(operations.submit)
    job = _awaiting(operations.job)
    jobs = _awaiting(operations.jobs)
    all_jobs = _awaiting_each(operations.all_jobs)
    cancel = _awaiting(operations.cancel)
    retry = _awaiting(operations.retry)
    delete = _awaiting(operations.delete)
    result = _awaiting(operations.result)
    save_result = _awaiting(operations.save_result)
    preview = _awaiting(operations.preview)
    losses = _awaiting(operations.losses)
    input_image = _awaiting(operations.input_image)
    manifest = _awaiting(operations.manifest)
    presets = _awaiting(operations.presets)
    workers = _awaiting(operations.workers)
    estimate = _awaiting(operations.estimate)
    events = _awaiting_each(streaming.events)
    follow = _awaiting_each(streaming.follow)
    wait = _awaiting(streaming.wait)
    paint = _awaiting(painting.paint)


def _address(url: str | None) -> str:
    return (url or default_url()).rstrip("/")


def _headers(api_key: str | None) -> dict[str, str]:
    key = (api_key or os.environ.get("IMPASTO_API_KEY", "")).strip()
    if not key.isascii() or not key.isprintable():
        raise ClientError("the API key has characters that no key has: is it complete?")
    return {"Authorization": f"Bearer {key}"} if key else {}
