"""Load on one route over kept-alive connections, with as little work as possible on our side."""

import socket
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What was seen: requests per second, and the time that 99 of 100 stayed below, s."""

    rate: float
    p99_seconds: float


def request_bytes(method: str, port: int, path: str, body: bytes = b"", kind: str = "") -> bytes:
    """A complete HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    if body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def run(port: int, request: bytes, *, connections: int, seconds: float) -> Load:
    """Send `request` again and again over each connection."""
    durations: list[float] = []
    end = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=_repeat, args=(port, request, end, durations))
        for _ in range(connections)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    return Load(len(durations) / elapsed, sorted(durations)[int(len(durations) * 0.99)])


def _repeat(port: int, request: bytes, end: float, durations: list[float]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (started := time.perf_counter()) < end:
            connection.sendall(request)
            _read_answer(connection)
            durations.append(time.perf_counter() - started)


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert status < 400, data[:500]
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
