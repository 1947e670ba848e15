"""Who sends the requests: over a blocking connection, or over one that awaits.

Every operation is written once, as a coroutine over a `Session`. Those of a `BlockingSession` never
wait for an event loop, so `finished` brings such an operation to its end in one step.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent

from client.answers import problem, stranger
from client.call import Call
from client.errors import ApiProblem, ServiceSilent, ServiceUnreachable
from client.patience import NONE, Retries

# Nobody took the connection, or there is no such address.
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
EVENT_STREAM = "text/event-stream"

T = TypeVar("T")


class Session(Protocol):
    """A connection to the service."""

    patient: bool  # whether requests that failed are sent again
    streams_arrive: bool  # no proxy on the way is known to hold streams back

    async def send(self, call: Call[Any]) -> httpx.Response:
        """Send a request once. Raises `ServiceUnreachable`, or `ApiProblem` if it is refused."""

    def stream(self, call: Call[Any]) -> AsyncGenerator[ServerSentEvent, None]:
        """Events as they come in, until the service ends them."""

    async def sleep(self, seconds: float) -> None:
        """Do nothing for a while."""


async def ask(session: Session, call: Call[T]) -> T:
    """The answer to a request, which is sent again while that makes sense."""
    retries = Retries(call.patience if session.patient else NONE)
    while True:
        try:
            return call.read(await session.send(call))
        except (ServiceUnreachable, ApiProblem) as error:
            pause_seconds = retries.pause_seconds(error)
        await session.sleep(pause_seconds)


class BlockingSession:
    """Sends and waits in the caller's thread."""

    def __init__(self, http: httpx.Client, *, patient: bool) -> None:
        self.http = http
        self.patient = patient
        self.streams_arrive = True

    async def send(self, call: Call[Any]) -> httpx.Response:
        """As `Session`."""
        with _reaching(self.http), call.request(self.http) as request:
            return _accepted(self.http.send(request))

    async def stream(self, call: Call[Any]) -> AsyncGenerator[ServerSentEvent, None]:
        """As `Session`."""
        with _reaching(self.http), call.request(self.http) as request:
            response = self.http.send(request, stream=True)
            try:
                if not response.is_success:  # a problem has an end, and a stream may have none
                    response.read()
                if _has_events(response):
                    for event in EventSource(response).iter_sse():
                        yield event
            finally:
                response.close()

    async def sleep(self, seconds: float) -> None:
        """As `Session`."""
        time.sleep(seconds)


class AwaitingSession:
    """Sends and waits in the caller's event loop."""

    def __init__(self, http: httpx.AsyncClient, *, patient: bool) -> None:
        self.http = http
        self.patient = patient
        self.streams_arrive = True

    async def send(self, call: Call[Any]) -> httpx.Response:
        """As `Session`."""
        with _reaching(self.http), call.request(self.http) as request:
            return _accepted(await self.http.send(request))

    async def stream(self, call: Call[Any]) -> AsyncGenerator[ServerSentEvent, None]:
        """As `Session`."""
        with _reaching(self.http), call.request(self.http) as request:
            response = await self.http.send(request, stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                if _has_events(response):
                    async for event in EventSource(response).aiter_sse():
                        yield event
            finally:
                await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """As `Session`."""
        await asyncio.sleep(seconds)


def finished(operation: Coroutine[Any, Any, T]) -> T:
    """What an operation returns that runs over a `BlockingSession`."""
    try:
        operation.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    operation.close()
    raise AssertionError("a blocking operation waits for an event loop")


def iterated(operation: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an operation yields that runs over a `BlockingSession`."""
    try:
        while True:
            yield finished(operation.__anext__())
    except StopAsyncIteration:
        return
    finally:
        finished(operation.aclose())


@contextmanager
def _reaching(http: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    """Turn the errors of the connection into ours."""
    try:
        yield
    except (httpx.RequestError, httpx.InvalidURL) as error:
        kind = ServiceSilent if isinstance(error, httpx.ReadTimeout) else ServiceUnreachable
        raise kind(
            f"no Impasto answers at {str(http.base_url).rstrip('/')}"
            f" ({error or type(error).__name__}): start one with `impasto up`,"
            " or give its address with --url or IMPASTO_URL",
            was_sent=not isinstance(error, NEVER_SENT),
        ) from None


def _accepted(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise problem(response)
    return response


def _has_events(response: httpx.Response) -> bool:
    """Whether it is a stream; False where there will be no more events."""
    kind = _accepted(response).headers.get("Content-Type", "").partition(";")[0].strip()
    if kind == EVENT_STREAM:
        return True
    if response.status_code == httpx.codes.NO_CONTENT:
        return False
    raise stranger(response)
