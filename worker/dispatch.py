"""Sends one webhook, to a receiver that may be slow, broken or hostile.

httpcore is used as it is, below httpx: it knows no redirects, cookies, proxies or compression that
would have to be switched off, and takes a network backend, in which the addresses that were checked
and the time that is left take the place of a second look-up and of timeouts for single reads.
"""

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpcore
import httpx

from shared.addresses import Address
from shared.errors import ImpastoError
from shared.webhooks import Receiver, Signer, find_receiver

MAX_ERROR_LENGTH = 200
MAX_RETRY_AFTER_SECONDS = 86_400.0
WRITTEN_AT_ONCE_BYTES = 16 * 1024
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True)
class Delivery:
    """What became of an attempt. No error: the receiver has it."""

    error: str | None = None
    gone: bool = False  # the receiver wants no more of it
    retry_after_seconds: float = 0.0


def deliver(
    url: str,
    message_id: str,
    payload: bytes,
    signer: Signer,
    *,
    allow_private: bool,
    timeout_seconds: float,
) -> Delivery:
    """Post a webhook and judge the answer by its status; all within `timeout_seconds`."""
    ends = time.monotonic() + timeout_seconds
    try:
        receiver = find_receiver(url, allow_private=allow_private, timeout_seconds=timeout_seconds)
        signature = signer.headers(message_id, payload, datetime.now(UTC))
        return _judge(_post(receiver, payload, signature, ends))
    except httpcore.TimeoutException:
        return Delivery(f"no answer within {timeout_seconds:g} s")
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        return Delivery(f"no answer: {error}"[:MAX_ERROR_LENGTH])
    except ImpastoError as error:
        return Delivery(str(error)[:MAX_ERROR_LENGTH])


def _post(
    receiver: Receiver, payload: bytes, signature: dict[str, str], ends: float
) -> httpcore.Response:
    url = receiver.url
    headers = {
        "host": url.netloc.decode(),
        "content-type": "application/json",
        "content-length": str(len(payload)),
        "user-agent": "Impasto",
        "connection": "close",
        **signature,
    }
    target = httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=receiver.port, target=url.raw_path
    )
    backend = _Pinned(receiver.addresses, ends)
    with (
        httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=backend
        ) as pool,
        # The body of the answer is not read: nobody is told of it.
        pool.stream("POST", target, headers=list(headers.items()), content=payload) as response,
    ):
        return response


def _judge(response: httpcore.Response) -> Delivery:
    status = response.status
    if 200 <= status < 300:
        return Delivery()
    error = f"the answer was {status}"
    if 300 <= status < 400:
        return Delivery(f"{error}, and redirects are not followed")
    if status == HTTPStatus.GONE:
        return Delivery(error, gone=True)
    if status in BUSY:
        return Delivery(error, retry_after_seconds=_retry_after(dict(response.headers)))
    return Delivery(error)


def _retry_after(headers: dict[bytes, bytes]) -> float:
    """Seconds for which a receiver asks to be spared: a number, or until a date (RFC 9110)."""
    values = {name.lower(): value for name, value in headers.items()}
    value = values.get(b"retry-after", b"").decode("latin-1").strip()
    try:
        if value.isdecimal():
            seconds = float(value)
        else:
            until = parsedate_to_datetime(value)
            seconds = until.timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


class _Pinned(httpcore.NetworkBackend):
    """Connects to given addresses, whatever the URL's host is; only TLS asks for its name."""

    def __init__(self, addresses: list[Address], ends: float) -> None:
        self._addresses = addresses
        self._ends = ends
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; each may take its share of the time."""
        *others, last = self._addresses
        for number, address in enumerate(others):
            share = _left(self._ends) / (len(self._addresses) - number)
            try:
                return self._connect(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(last, port, _left(self._ends), local_address, socket_options)

    def _connect(
        self,
        address: Address,
        port: int,
        timeout: float,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore.NetworkStream:
        stream = self._network.connect_tcp(
            str(address), port, timeout, local_address, socket_options
        )
        return _Timed(stream, self._ends)


class _Timed(httpcore.NetworkStream):
    """A connection that ends at its time, also when there is always another byte before that."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self._stream = stream
        self._ends = ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITTEN_AT_ONCE_BYTES):
            self._stream.write(buffer[start : start + WRITTEN_AT_ONCE_BYTES], _left(self._ends))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._ends)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._ends)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(ends: float) -> float:
    """Seconds that are left. Raises `httpcore.TimeoutException` when there are none."""
    left = ends - time.monotonic()
    if left <= 0:
        raise httpcore.TimeoutException
    return left
