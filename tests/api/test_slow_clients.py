"""Clients that drip, stall or do not read: they are let go of, and keep nobody from an answer."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from api.connections import FIRST_BYTE_SECONDS, GRACE_SECONDS
from shared.jobs import StoredOutput
from shared.settings import Settings
from shared.storage import Storage
from tests.api.forms import form
from tests.api.servers import Served, serve

CLIENTS = 50
# Far less than the threads of one process, and far more than those that wait for slow clients.
PATIENCE_SECONDS = 2 * GRACE_SECONDS + 10
# Who had to wait for slow clients would wait for as long as these may take.
POLL_SECONDS = 0.75 * min(FIRST_BYTE_SECONDS, GRACE_SECONDS)
HEADERS = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n"
BODY = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n"


@pytest.fixture(scope="module")
def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("api") / "log"
    # So few threads that fifty clients would take them all, if they were given them.
    with serve(settings, log, IMPASTO_API_THREADS="8", IMPASTO_MAX_STREAMS="72") as served:
        yield served
    assert "Traceback" not in log.read_text()


def dripped(connection: socket.socket, until: float) -> bytes:
    """Send a byte a second. Returns what came until the server closed, which it has to."""
    received = b""
    connection.settimeout(1.0)
    while time.monotonic() < until:
        try:
            connection.send(b"a")
            data = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            return received
        if not data:
            return received
        received += data
    raise AssertionError("the server still listens")


def slowest_poll(url: str, until: Callable[[], bool]) -> float:
    """How long the slowest of a poll a second took, s."""
    slowest = 0.0
    while not until():
        began = time.monotonic()
        assert httpx.get(f"{url}/v1/jobs", timeout=60).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(1)
    return slowest


@pytest.mark.parametrize("start", [HEADERS, HEADERS + BODY], ids=["headers", "a body"])
def test_clients_that_drip_are_cut_off_and_polls_are_answered_meanwhile(
    served: Served, valkey: redis.Redis, start: bytes
) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    with ThreadPoolExecutor(CLIENTS) as clients:
        connections = [socket.create_connection(served.address) for _ in range(CLIENTS)]
        for connection in connections:
            connection.sendall(start)
        drips = [clients.submit(dripped, connection, until) for connection in connections]
        slowest = slowest_poll(served.url, lambda: all(drip.done() for drip in drips))
        answers = [drip.result() for drip in drips]
    for connection in connections:
        connection.close()
    assert slowest < POLL_SECONDS
    if start != HEADERS:
        assert any(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert httpx.post(f"{served.url}/v1/jobs", timeout=60, **form()).status_code == 202


def test_more_half_requests_than_there_are_threads_keep_nobody_waiting(
    served: Served, valkey: redis.Redis
) -> None:
    with ExitStack() as connections:
        for _ in range(3 * CLIENTS):
            connection = socket.create_connection(served.address)
            connections.enter_context(connection).sendall(HEADERS)
        time.sleep(1)  # they have all threads by now
        began = time.monotonic()
        assert httpx.get(f"{served.url}/healthz", timeout=60).status_code == 200
        assert time.monotonic() - began < POLL_SECONDS


def test_clients_that_say_nothing_have_no_thread_and_are_closed(
    served: Served, valkey: redis.Redis
) -> None:
    connections = [socket.create_connection(served.address) for _ in range(3 * CLIENTS)]
    began = time.monotonic()
    assert httpx.get(f"{served.url}/v1/jobs", timeout=60).status_code == 200
    assert time.monotonic() - began < POLL_SECONDS
    for connection in connections:
        connection.settimeout(2 * FIRST_BYTE_SECONDS)
        assert connection.recv(1) == b""
        connection.close()


def test_clients_that_stay_after_an_error_keep_nobody_waiting(
    served: Served, valkey: redis.Redis
) -> None:
    connections = [socket.create_connection(served.address) for _ in range(CLIENTS)]
    for connection in connections:
        connection.sendall(b"no HTTP\r\n\r\n")
    for connection in connections:
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    began = time.monotonic()
    assert httpx.get(f"{served.url}/v1/jobs", timeout=60).status_code == 200
    assert time.monotonic() - began < POLL_SECONDS
    for connection in connections:
        connection.close()


def test_clients_that_do_not_read_a_large_result_are_let_go_of(
    served: Served,
    valkey: redis.Redis,
    storage: Storage,
    paint: Callable[[str], StoredOutput],
) -> None:
    job_id = httpx.post(f"{served.url}/v1/jobs", timeout=60, **form()).json()["id"]
    storage.put(paint(job_id).result_key, bytes(20_000_000), "image/png")
    request = b"GET /v1/jobs/%s/result?proxy=1 HTTP/1.1\r\nHost: x\r\n\r\n" % job_id.encode()
    readers = []
    for _ in range(10):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(served.address)
        reader.sendall(request)
        readers.append(reader)
    until = time.monotonic() + GRACE_SECONDS + 10
    assert slowest_poll(served.url, lambda: time.monotonic() > until) < POLL_SECONDS
    for reader in readers:
        assert len(everything(reader)) < 20_000_000


def everything(reader: socket.socket) -> bytes:
    received = b""
    with reader:
        reader.settimeout(20)
        try:
            while data := reader.recv(2**20):
                received += data
        except ConnectionResetError:
            pass
    return received


def test_a_slow_client_that_keeps_the_pace_is_served(served: Served, valkey: redis.Redis) -> None:
    request = httpx.Request("POST", f"{served.url}/v1/jobs", **form(metadata='{"a": 1}'))
    body = request.read()
    head = b"".join(b"%s: %s\r\n" % header for header in request.headers.raw)
    with socket.create_connection(served.address, timeout=60) as connection:
        connection.sendall(b"POST /v1/jobs HTTP/1.1\r\n" + head + b"\r\n")
        step = len(body) // 5 + 1
        for i in range(0, len(body), step):
            time.sleep(1)
            connection.sendall(body[i : i + step])
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")


def test_more_connections_than_it_may_have_do_not_end_the_server(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serve(settings, log) as served, ExitStack() as connections:
        pid = served.process.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        resource.prlimit(int(worker), resource.RLIMIT_NOFILE, (100, 100))
        for _ in range(150):
            connections.enter_context(socket.create_connection(served.address))
        until = time.monotonic() + PATIENCE_SECONDS
        while "no connection taken" not in log.read_text():
            assert time.monotonic() < until
            time.sleep(0.1)
        connections.close()
        assert httpx.get(f"{served.url}/healthz", timeout=PATIENCE_SECONDS).status_code == 200
        assert Path(f"/proc/{worker}").exists()
