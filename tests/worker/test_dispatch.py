"""A webhook reaches its receiver, or says why not, in time, whatever the receiver does."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks import Webhook

from shared.webhooks import Signer
from tests.shared.test_webhooks import SECRET
from tests.worker.receivers import (
    EndlessBody,
    ReceivingServer,
    drip,
    endless_header,
    nonsense,
    nothing,
    status,
)
from worker.dispatch import Delivery, deliver

PAYLOAD = b'{"type":"job.succeeded","data":{"name":"\xc3\xa9"}}'
Names = dict[str, list[list[str]]]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def send(
    url: str, *, allow_private: bool = True, timeout_seconds: float = 5.0, payload: bytes = PAYLOAD
) -> Delivery:
    return deliver(
        url,
        "job:succeeded",
        payload,
        Signer(SECRET),
        allow_private=allow_private,
        timeout_seconds=timeout_seconds,
    )


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Names that the resolver knows: name -> its first, second, ... answer; the last one stays."""
    names: Names = {}
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        if host not in names:
            return real(host, *arguments, **options)
        answers = names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, 0))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A certificate authority that this machine trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


def tls_for(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_receiver_gets_the_body_as_it_was_signed() -> None:
    with ReceivingServer(status(204)) as receiver:
        assert send(receiver.url) == Delivery()

    (request,) = receiver.requests
    assert request.line == "POST /hook?token=t HTTP/1.1"
    assert request.body == PAYLOAD
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["webhook-id"] == "job:succeeded"
    assert Webhook(SECRET).verify(request.body, request.headers) == json.loads(PAYLOAD)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_receiver_on_ipv6_gets_it() -> None:
    with ReceivingServer(status(200), host="::1") as receiver:
        assert send(f"http://[::1]:{receiver.port}/") == Delivery()
    assert receiver.requests[0].headers["host"] == f"[::1]:{receiver.port}"


@pytest.mark.parametrize("code", [400, 401, 404, 500, 502])
def test_other_answers_than_2xx_are_failures(code: int) -> None:
    with ReceivingServer(status(code, retry_after="7")) as receiver:
        assert send(receiver.url) == Delivery(f"the answer was {code}")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int) -> None:
    with (
        ReceivingServer(status(200)) as elsewhere,
        ReceivingServer(status(code, location=elsewhere.url)) as receiver,
    ):
        delivery = send(receiver.url)
    assert delivery == Delivery(f"the answer was {code}, and redirects are not followed")
    assert elsewhere.connections == 0


def test_a_receiver_that_is_gone_is_told_apart() -> None:
    with ReceivingServer(status(410)) as receiver:
        assert send(receiver.url) == Delivery("the answer was 410", gone=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("a date", 600),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 9999 08:49:37 GMT", 86_400),
        ("9" * 400, 86_400),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_receiver_is_spared_as_long_as_it_asks_for(
    code: int, value: str, seconds: float
) -> None:
    if value == "a date":
        value = formatdate(time.time() + seconds, usegmt=True)
    with ReceivingServer(status(code, retry_after=value)) as receiver:
        delivery = send(receiver.url)
    assert delivery.error == f"the answer was {code}"
    assert delivery.retry_after_seconds == pytest.approx(seconds, abs=60)


@pytest.mark.parametrize("answer", [nothing, nonsense, endless_header])
def test_what_is_not_http_is_a_failure(answer: Callable[[socket.socket], None]) -> None:
    with ReceivingServer(answer) as receiver:
        error = send(receiver.url).error
    assert error is not None
    assert error.startswith("no answer: ")
    assert len(error) <= 200


def test_nobody_listening_is_a_failure() -> None:
    with ReceivingServer(status(200)) as receiver:
        url = receiver.url
    assert (send(url).error or "").startswith("no answer: ")


def test_a_huge_answer_is_not_read() -> None:
    answer = EndlessBody()
    with ReceivingServer(answer) as receiver:
        assert send(receiver.url) == Delivery()
    assert answer.sent_bytes < 64 * 2**20


def test_a_receiver_that_drips_is_left_in_time() -> None:
    with ReceivingServer(drip) as receiver:
        began = time.monotonic()
        delivery = send(receiver.url, timeout_seconds=0.7)
        took = time.monotonic() - began
    assert delivery.error == "no answer within 0.7 s"
    assert 0.6 < took < 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_takes_nothing_is_left_in_time(scheme: str) -> None:
    """Nobody reads what comes: neither a handshake nor the body gets through."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/"
        began = time.monotonic()
        delivery = send(url, timeout_seconds=0.7, payload=bytes(50_000_000))
        took = time.monotonic() - began
    assert delivery.error == "no answer within 0.7 s"
    assert took < 5


def test_a_name_server_that_does_not_answer_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    began = time.monotonic()
    delivery = send("https://slow.example/", timeout_seconds=0.5)
    assert "slow.example could not be found in time" in (delivery.error or "")
    assert time.monotonic() - began < 2.5


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReceivingServer(status(200)) as proxy, ReceivingServer(status(200)) as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert send(receiver.url) == Delivery()
    assert proxy.connections == 0


def test_cookies_are_not_kept() -> None:
    with ReceivingServer(status(200, set_cookie="a=b; Path=/")) as receiver:
        send(receiver.url)
        send(receiver.url)
    assert [request.headers.get("cookie") for request in receiver.requests] == [None, None]


# -- TLS ----------------------------------------------------------------------------------------


def test_the_certificate_is_that_of_the_name_although_the_address_is_pinned(
    names: Names, authority: trustme.CA
) -> None:
    names["receiver.example"] = [["127.0.0.1"]]
    tls = tls_for(authority, "receiver.example")
    with ReceivingServer(status(200), tls=tls) as receiver:
        delivery = send(f"https://receiver.example:{receiver.port}/hook")
    assert delivery == Delivery()
    assert receiver.server_names == ["receiver.example"]
    assert receiver.requests[0].headers["host"] == f"receiver.example:{receiver.port}"


def test_a_certificate_of_another_name_is_refused(names: Names, authority: trustme.CA) -> None:
    names["receiver.example"] = [["127.0.0.1"]]
    with ReceivingServer(status(200), tls=tls_for(authority, "other.example")) as receiver:
        error = send(f"https://receiver.example:{receiver.port}/").error or ""
    assert "certificate verify failed" in error
    assert receiver.requests == []


def test_a_certificate_of_the_address_does_not_stand_for_the_name(
    names: Names, authority: trustme.CA
) -> None:
    names["receiver.example"] = [["127.0.0.1"]]
    with ReceivingServer(status(200), tls=tls_for(authority, "127.0.0.1")) as receiver:
        error = send(f"https://receiver.example:{receiver.port}/").error or ""
        assert send(f"https://127.0.0.1:{receiver.port}/") == Delivery()
    assert "certificate verify failed" in error
    assert len(receiver.requests) == 1


def test_a_certificate_of_an_unknown_authority_is_refused(names: Names) -> None:
    names["receiver.example"] = [["127.0.0.1"]]
    with ReceivingServer(status(200), tls=tls_for(trustme.CA(), "receiver.example")) as receiver:
        error = send(f"https://receiver.example:{receiver.port}/").error or ""
    assert "certificate verify failed" in error
    assert receiver.requests == []


# -- the guard ----------------------------------------------------------------------------------


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that somebody tried to connect to; nobody gets through."""
    addresses: list[str] = []

    def refuse(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        addresses.append(address[0])
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return addresses


def test_a_name_that_leads_to_a_private_address_by_now_is_not_connected_to(names: Names) -> None:
    names["rebinding.example"] = [["127.0.0.1"]]
    with ReceivingServer(status(200)) as receiver:
        delivery = send(f"https://rebinding.example:{receiver.port}/", allow_private=False)
    assert "not on the public internet" in (delivery.error or "")
    assert receiver.connections == 0


def test_a_name_that_answers_otherwise_the_second_time_is_asked_once(
    names: Names, connected: list[str]
) -> None:
    names["rebinding.example"] = [["8.8.8.8"], ["127.0.0.1"]]
    assert send("https://rebinding.example/", allow_private=False).error == "no answer: refused"
    assert connected == ["8.8.8.8"]


def test_the_connection_goes_to_the_address_that_was_checked(names: Names) -> None:
    names["rebinding.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    with ReceivingServer(status(200), host="127.0.0.2") as receiver:
        assert send(f"http://rebinding.example:{receiver.port}/") == Delivery()
    assert len(names["rebinding.example"]) == 1


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    names: Names, connected: list[str]
) -> None:
    names["mixed.example"] = [["8.8.8.8", "2001:4860:4860::8888", "169.254.169.254"]]
    delivery = send("https://mixed.example/", allow_private=False)
    assert "not on the public internet" in (delivery.error or "")
    assert connected == []


def test_the_next_address_is_tried_when_the_first_does_not_answer(names: Names) -> None:
    names["receiver.example"] = [["127.0.0.3", "127.0.0.2"]]
    with ReceivingServer(status(200), host="127.0.0.2") as receiver:
        assert send(f"http://receiver.example:{receiver.port}/") == Delivery()
