"""The API under its production server, and clients that speak HTTP badly on raw sockets."""

import re
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import redis

from api.problems import Problem
from shared.names import QUEUE
from shared.settings import Settings
from tests.api.conftest import CONTENT, STYLE, Traces
from tests.api.servers import serve
from tests.conftest import picture_bytes

Address = tuple[str, int]
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n'
MAX_REQUEST_BYTES = 200_000


@pytest.fixture(scope="module")
def address(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Where `impasto api` listens."""
    log = tmp_path_factory.mktemp("api") / "log"
    with serve(settings, log, IMPASTO_MAX_REQUEST_BYTES=str(MAX_REQUEST_BYTES)) as served:
        yield served.address
        # Whatever was sent, the process that answered is the one that was started.
        assert served.process.poll() is None
    assert "Traceback" not in log.read_text()


def ask(address: Address, data: bytes, seconds: float = 5.0) -> str:
    """All that comes back until the server closes or has nothing more to say."""
    with socket.create_connection(address, timeout=seconds) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has heard enough
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except OSError:
            pass
    return received.decode(errors="replace")


def status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


def chunked(body: bytes, size: int = 50_000) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


FORM = PART + CONTENT + b"\r\n" + PART.replace(b"content", b"style") + STYLE + b"\r\n--b--\r\n"
REFUSED: dict[str, tuple[bytes, set[int]]] = {
    "a body over the limit, by its length": (POST + sized(PART + bytes(300_000)), {413}),
    "a body over the limit, in chunks": (POST + chunked(PART + bytes(300_000)), {413}),
    "a length beyond all limits": (POST + b"Content-Length: 99999999999999\r\n\r\n", {413}),
    "chunks that are none": (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nab\r\n", {400}),
    "a chunk cut off": (POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\nab", {400}),
    "a body cut off": (POST + b"Content-Length: 5000\r\n\r\n--b\r\n", {400}),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
    "a length and chunks": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "chunks and a length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "chunks twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "chunks that are not last": (
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        {400, 501},
    ),
    "an unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "a space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", {400}),
    "a folded header": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "a chunk's size with a sign": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n",
        {400},
    ),
    "a chunk longer than it says": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcde\r\n0\r\n\r\n",
        {400},
    ),
    "a length with a sign": (POST + b"Content-Length: +5\r\n\r\nabcde", {400}),
    "a length of two numbers": (POST + b"Content-Length: 5, 5\r\n\r\nabcde", {400}),
    "a length that is no number": (POST + b"Content-Length: five\r\n\r\nabcde", {400}),
    "an endless extension of a chunk": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000,
        {400},
    ),
    "a NUL in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", {400}),
    "a line end alone in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", {400}),
    "no version": (b"GET /\r\n\r\n", {400}),
    "an unknown version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505}),
    "an expectation": (POST + b"Expect: 200-maybe\r\n" + sized(FORM), {417}),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", {400}),
    "an endless name of a field": (POST + sized(PART[:-20] + b"n" * 150_000), {400, 413}),
    "thousands of boundaries": (POST + sized(b"--b\r\n" * 30_000), {400, 413}),
    "a flood of line ends": (POST + sized(PART + b"\r" * 150_000), {400}),
    "a boundary of 5000 characters": (
        POST.replace(b"=b", b"=" + b"b" * 5000) + sized(FORM),
        {400},
    ),
    "a huge header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", {431}),
    "500 headers": (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 500 + b"\r\n", {400, 431}),
    "a long path": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
    "no HTTP": (b"\x16\x03\x01\x02\0garbage\r\n\r\n", {400}),
    "a NUL in the path": (b"GET /v1/jobs/\0 HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
}


@pytest.mark.parametrize(("request_", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_is_no_good_is_refused_and_the_next_is_served(
    address: Address, traces: Traces, request_: bytes, expected: set[int]
) -> None:
    before = traces.all()
    answer = ask(address, request_)
    assert status(answer) in expected
    head, _, body = answer.partition("\r\n\r\n")
    if "application/problem+json" in head:  # the rest is refused before the application hears of it
        assert Problem.model_validate_json(body).status == status(answer)
    assert traces.all() == before
    assert status(ask(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) == 200


def test_requests_in_one_go_are_answered_one_after_the_other(address: Address) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    missing = b"GET /v1/jobs/1 HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = ask(address, get + POST + sized(FORM) + missing + get)
    statuses = re.findall(r"HTTP/1\.1 (\d+)", answer)
    assert statuses == ["200", "202", "404", "200"]


def test_an_absolute_address_is_one_of_ours(address: Address) -> None:
    answer = ask(address, b"GET http://elsewhere.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(answer) == 200
    answer = ask(address, b"GET http://elsewhere.example/x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(answer) == 404
    answer = ask(address, b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(answer) in (400, 404, 405)


@pytest.mark.parametrize("frame", [sized, chunked])
def test_a_form_is_accepted_with_its_length_and_in_chunks(address: Address, frame: object) -> None:
    assert callable(frame)
    assert status(ask(address, POST + frame(FORM))) == 202


def test_what_follows_a_malformed_body_is_not_taken_for_a_request(address: Address) -> None:
    smuggled = b"DELETE /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    malformed = POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n" + smuggled
    answer = ask(address, malformed)
    assert answer.count("HTTP/1.1 ") == 1
    assert status(answer) == 400


def test_what_follows_a_body_that_was_not_read_is_answered_or_dropped(address: Address) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    unread = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n" + sized(get)
    answer = ask(address, unread)  # the body looks like a request, and is none
    assert answer.count("HTTP/1.1 ") == 1
    assert status(answer) == 415


def test_pictures_of_real_size_go_through_it(address: Address) -> None:
    url = f"http://127.0.0.1:{address[1]}/v1/jobs"
    picture = picture_bytes("large", 640, 480, "JPEG")
    files = [("content", ("a.jpg", picture)), ("style", ("b.jpg", picture))]
    assert httpx.post(url, files=files).status_code == 202


def test_ten_copies_of_a_request_at_once_make_one_job(
    address: Address, valkey: redis.Redis, traces: Traces
) -> None:
    before = traces.jobs()
    url = f"http://127.0.0.1:{address[1]}/v1/jobs"
    files = [("content", ("a.png", CONTENT)), ("style", ("b.png", STYLE))]
    answers: list[httpx.Response] = []
    together = threading.Barrier(10)

    def send() -> None:
        together.wait()
        while True:
            answer = httpx.post(url, files=files, headers={"Idempotency-Key": "order 7"})
            answers.append(answer)
            if answer.status_code != 409:
                return
            assert answer.json()["code"] == "in_flight"
            time.sleep(float(answer.headers["Retry-After"]) / 20)

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len(accepted) == 10
    (job_id,) = {answer.json()["id"] for answer in accepted}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in accepted) == 1
    assert valkey.zrange(QUEUE, 0, -1) == [job_id]
    assert traces.jobs() - before == {job_id}
    assert valkey.llen("impasto.normal") == 1
