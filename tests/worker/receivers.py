"""Receivers of webhooks: real servers on loopback, well behaved and not."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Answer = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


class ReceivingServer:
    """Answers its first request with the first of `answers`, and so on; the last one stays.

    With a TLS context it speaks HTTPS and notes which names it was asked for.
    """

    def __init__(
        self, *answers: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self._answers = answers
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = socket.create_server((host, 0), family=family)
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._server.getsockname()[1]
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        socket.create_connection(self._server.getsockname()[:2]).close()  # wakes accept
        for thread in self._threads:
            thread.join(timeout=10)
        self._server.close()

    @property
    def url(self) -> str:
        return f"http://{self._server.getsockname()[0]}:{self.port}/hook?token=t"

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            if self._closing.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            request = _read(connection)
            if request is not None:
                self.requests.append(request)
                number = min(len(self.requests), len(self._answers))
                self._answers[number - 1](connection)
        except OSError:  # the other side went, as it may
            pass
        finally:
            connection.close()


def _read(connection: socket.socket) -> Received | None:
    with connection.makefile("rb") as stream:
        line = stream.readline().decode().strip()
        headers = {}
        while text := stream.readline().decode().strip():
            name, value = text.split(":", 1)
            headers[name.lower()] = value.strip()
        if not line:
            return None
        return Received(line, headers, stream.read(int(headers.get("content-length", 0))))


def status(code: int, **headers: str) -> Answer:
    """Answers with a status, a short body, and headers: `retry_after="5"`."""
    lines = [f"HTTP/1.1 {code} As asked", "Content-Length: 2"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", "ok"]).encode())


def nothing(connection: socket.socket) -> None:
    """Hangs up without an answer."""


def nonsense(connection: socket.socket) -> None:
    """Speaks something else than HTTP."""
    connection.sendall(b"220 mail.example ESMTP\r\n")


def drip(connection: socket.socket) -> None:
    """Answers a byte at a time for as long as somebody listens, each before a read times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(300):
        connection.sendall(b"x")
        time.sleep(0.05)


def endless_header(connection: socket.socket) -> None:
    """Sends headers without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        connection.sendall(f"X-Header-{number}: {'x' * 1000}\r\n".encode())


class EndlessBody:
    """Answers 200 and then bytes without end; counts those that were taken."""

    sent_bytes = 0

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while self.sent_bytes < 2**30:
            connection.sendall(bytes(2**16))
            self.sent_bytes += 2**16


class Held:
    """Answers 200 when `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        self.go.wait(timeout=10)
        status(200)(connection)
