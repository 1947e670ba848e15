"""Load on the API over kept-alive connections, with as little work as possible on our side."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What was seen: answers per second, and how long each of them took, s, sorted."""

    rate: float
    durations: Sequence[float]

    def percentile(self, share: float) -> float:
        """The time that such a share of the answers stayed below, s."""
        return self.durations[min(int(len(self.durations) * share), len(self.durations) - 1)]


@dataclass(frozen=True)
class Poll:
    """GET of each of the paths in turn, on each connection beginning with another one."""

    port: int
    paths: Sequence[str]
    headers: str = ""

    def requests(self, connection: int) -> Iterator[bytes]:
        """What goes over a connection, one after the other."""
        head = f"HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{self.headers}\r\n"
        made = [f"GET {path} {head}".encode() for path in self.paths]
        first = connection * 37 % len(made)
        return itertools.cycle(made[first:] + made[:first])


@dataclass(frozen=True)
class Post:
    """POST of a body that is made for each request."""

    port: int
    path: str
    content_type: str
    body: Callable[[], bytes]

    def requests(self, _: int) -> Iterator[bytes]:
        """What goes over a connection, one after the other."""
        while True:
            body = self.body()
            yield (
                f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body


def run(what: Poll | Post, *, connections: int, seconds: float) -> Load:
    """Ask over so many connections, on each as soon as the answer before is there."""
    durations: list[float] = []
    ready = threading.Barrier(connections + 1)

    def ask(number: int) -> None:
        with socket.create_connection(("127.0.0.1", what.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.wait()
            end = time.perf_counter() + seconds
            durations.extend(_answered(connection, what.requests(number), end))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return Load(len(durations) / (time.perf_counter() - started), sorted(durations))


def _answered(connection: socket.socket, requests: Iterable[bytes], end: float) -> Iterator[float]:
    for request in requests:
        started = time.perf_counter()
        connection.sendall(request)
        _read_answer(connection)
        now = time.perf_counter()
        yield now - started
        if now > end:
            return


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert status < 400, data[:500]
    if status == 304:
        return
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += _receive(connection)


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the server closed the connection"
    return data
