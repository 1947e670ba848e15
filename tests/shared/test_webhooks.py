"""Where webhooks may go, what they say, and that a receiver can tell that we sent them."""

import base64
import json
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from shared.errors import InvalidInput
from shared.jobs import ANONYMOUS, ErrorCode, JobError, JobRecord, JobStatus, StoredOutput
from shared.webhooks import (
    DELAYS_SECONDS,
    Signer,
    check_url,
    message_id,
    next_delay,
    owner_secrets,
    payload,
)
from tests.shared.conftest import job_request
from tests.shared.strategies import patient

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NEWER = "whsec_" + base64.b64encode(bytes(range(64))).decode()
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


# -- URLs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://8.8.8.8/",
        "https://8.8.8.8",
        "HTTPS://8.8.8.8/a/b?c=d@e&f=g",
        "https://8.8.8.8:443/",
        "https://8.8.8.8:8443/",
        "https://[2001:4860:4860::8888]:65535/",
    ],
)
def test_https_urls_of_the_internet_are_taken(url: str) -> None:
    check_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "ASCII"),
        ("hook", "https://"),
        ("//8.8.8.8/", "https://"),
        ("https:8.8.8.8", "https://"),
        ("https:///hook", "https://"),
        ("http://8.8.8.8/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("ftp://8.8.8.8/", "https://"),
        ("gopher://8.8.8.8/", "https://"),
        ("unix:///run/docker.sock", "https://"),
        ("https://user@8.8.8.8/", "credentials"),
        ("https://user:password@8.8.8.8/", "credentials"),
        ("https://:@8.8.8.8/", "credentials"),
        ("https://@8.8.8.8/", "credentials"),
        ("https://8.8.8.8\\@127.0.0.1/", "backslash"),
        ("https://8.8.8.8\\.example/", "backslash"),
        (" https://8.8.8.8/", "ASCII"),
        ("https://8.8.8.8/ ", "ASCII"),
        ("https://8.8.8.8/\r\nHost: localhost", "ASCII"),
        ("https://8.8.8.8/\0", "ASCII"),
        ("https://8.8.8.8/\ud800", "ASCII"),
        ("https://\uff11\uff12\uff17.0.0.1/", "ASCII"),
        ("https://127\u30020\u30020\u30021/", "ASCII"),
        ("https://\u24dbocalhost/", "ASCII"),
        ("https://8.8.8.8:0/", "port"),
        ("https://8.8.8.8:22/", "port"),
        ("https://8.8.8.8:80/", "port"),
        ("https://8.8.8.8:65536/", "port"),
        ("https://8.8.8.8:-1/", "port"),
        ("https://8.8.8.8:x/", "URL"),
        ("https://[::1/", "URL"),
        ("https://8.8.8.8/" + "a" * 2048, "2048"),
        ("https://127.0.0.1/", "public"),
        ("https://10.1.2.3/", "public"),
        ("https://169.254.169.254/latest/meta-data/", "public"),
        ("https://[::1]/", "public"),
        ("https://[::]/", "public"),
        ("https://[::ffff:127.0.0.1]/", "public"),
        ("https://[64:ff9b::7f00:1]/", "public"),
        ("https://[2002:7f00:1::]/", "public"),
        ("https://[fd00:ec2::254]/", "public"),
        ("https://localhost/", "public"),
        ("https://LOCALHOST/", "public"),
        ("https://localhost./", "notation"),
        ("https://127.0.0.1./", "notation"),
        ("https://127.1/", "notation"),
        ("https://2130706433/", "notation"),
        ("https://0x7f000001/", "notation"),
        ("https://0x7f.0.0.1/", "notation"),
        ("https://0177.0.0.1/", "URL"),
        ("https://127.0.0.01/", "URL"),
        ("https://1.2.3.4.5/", "notation"),
        ("https://[fe80::1%25lo]/", "public"),
        ("https://%31%32%37.0.0.1/", "notation"),
        ("https://example..com/", "notation"),
        ("https://-example.com/", "notation"),
        ("https://" + "a" * 64 + ".com/", "notation"),
        ("https://" + "a." * 127 + "com/", "notation"),
        ("https://no-such-host.invalid/", "no host"),
    ],
)
def test_other_urls_are_refused_with_a_reason(url: str, reason: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=re.escape(reason)) as caught:
        check_url(url, allow_private=False)
    assert caught.value.status == 422
    assert [fault.pointer for fault in caught.value.faults] == ["webhook"]
    assert time.monotonic() - began < 2.9


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/hook",
        "http://localhost:80/",
        "https://192.168.1.2:444/",
        "http://[::1]:1234/",
    ],
)
def test_ones_own_network_is_allowed_on_request(url: str) -> None:
    check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "http://0.0.0.0/", "http://2130706433/", "file:///etc/passwd"],
)
def test_what_is_nobodys_receiver_is_refused_even_then(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url, allow_private=True)


@patient
@given(st.ip_addresses(v=4), st.data())
def test_numbers_are_never_taken_for_anything_but_the_usual_notation(
    address: IPv4Address, data: st.DataObject
) -> None:
    """Resolvers read these as addresses, and each reads some of them otherwise."""
    number, parts = int(address), str(address).split(".")
    written = [(f"{int(part):d}", f"{int(part):#x}", f"0{int(part):o}") for part in parts]
    mixed = ".".join(data.draw(st.sampled_from(part)) for part in written)
    for host in (
        f"{number}",
        f"{number:#x}",
        f"{number:#X}",
        f"0{number:o}",
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"{parts[0]}.{parts[1]}.{number & 0xFFFF}",
        mixed,
        f"{address}.",
    ):
        if host != str(address):
            with pytest.raises(InvalidInput, match=r"notation|Invalid IPv4"):
                check_url(f"https://{host}/", allow_private=False)


@patient
@given(st.text(max_size=40))
def test_no_text_is_answered_otherwise_than_with_a_reason(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        for url in (text, f"https://{text}", f"https://name.example{text}", f"https://[{text}]"):
            with pytest.raises(InvalidInput):
                check_url(url, allow_private=False)


def unknown(*_: Any, **__: Any) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_is_refused_when_one_of_its_addresses_is_private(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(name: str, *_: Any, **__: Any) -> list[Any]:
        assert name == "mixed.example"
        return [(2, 1, 6, "", (address, 0)) for address in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(InvalidInput, match="public") as caught:
        check_url("https://mixed.example/", allow_private=False)
    assert "10.0.0.1" not in str(caught.value)


# -- what they say ------------------------------------------------------------------------------


def ended(status: JobStatus, **fields: Any) -> JobRecord:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    values = job_request(webhook="https://8.8.8.8/?token=secret").model_dump()
    return JobRecord(**values | {"status": status, "created_at": at, "finished_at": at} | fields)


def test_a_webhook_says_how_the_job_ended() -> None:
    output = StoredOutput(
        content_type="image/png",
        width_px=8,
        height_px=6,
        size_bytes=100,
        sha256="a" * 64,
        result_key="jobs/1/2/result.png",
        manifest_key="jobs/1/2/manifest.json",
    )
    record = ended(JobStatus.SUCCEEDED, output=output, metadata={"name": "é"}, worker="w1")

    message = json.loads(payload(record))

    assert message == {
        "type": "job.succeeded",
        "timestamp": "2026-11-22T12:00:00.000Z",
        "data": {
            "id": record.id,
            "status": "succeeded",
            "created_at": "2026-11-22T12:00:00.000Z",
            "started_at": None,
            "finished_at": "2026-11-22T12:00:00.000Z",
            "retried_from": None,
            "metadata": {"name": "é"},
            "output": {
                "content_type": "image/png",
                "width_px": 8,
                "height_px": 6,
                "size_bytes": 100,
                "sha256": "a" * 64,
            },
            "error": None,
        },
    }
    assert message_id(record) == f"{record.id}:succeeded"


def test_a_webhook_says_why_a_job_failed() -> None:
    error = JobError(code=ErrorCode.DIVERGED, message="the loss became infinite")
    message = json.loads(payload(ended(JobStatus.FAILED, error=error, retried_from="earlier")))
    assert message["type"] == "job.failed"
    assert message["data"]["error"] == {"code": "diverged", "message": "the loss became infinite"}
    assert message["data"]["output"] is None
    assert message["data"]["retried_from"] == "earlier"


def test_a_webhook_is_the_same_each_time_that_it_is_tried() -> None:
    record = ended(JobStatus.CANCELED)
    later = record.model_copy(update={"webhook_attempts": 3, "webhook_error": "the answer was 500"})
    assert payload(record) == payload(later)
    assert message_id(record) == message_id(later)


# -- signatures ---------------------------------------------------------------------------------

BODY = '{"type":"job.succeeded","name":"é"}'.encode()


def test_a_receiver_verifies_with_any_library_of_the_standard() -> None:
    headers = Signer(SECRET).headers("id:succeeded", BODY, datetime.now(UTC))
    assert Webhook(SECRET).verify(BODY, headers) == json.loads(BODY)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that the specification's own libraries are tested with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = Signer(secret).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", body, datetime.fromtimestamp(1614265330, UTC)
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("changed", ["body", "id", "time", "secret"])
def test_whatever_was_changed_is_noticed(changed: str) -> None:
    headers = Signer(SECRET).headers("id:succeeded", BODY, datetime.now(UTC))
    body = BODY + b" " if changed == "body" else BODY
    if changed == "id":
        headers["webhook-id"] = "id:failed"
    if changed == "time":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEWER if changed == "secret" else SECRET).verify(body, headers)


def test_one_that_was_recorded_is_refused_later() -> None:
    headers = Signer(SECRET).headers("id", BODY, datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers)


def test_the_holder_of_one_key_cannot_sign_for_another() -> None:
    secrets = f"{NEWER}, {SECRET}"
    headers = Signer(secrets, "0123456789abcdef").headers("id", BODY, datetime.now(UTC))
    for secret in owner_secrets(secrets, "0123456789abcdef"):
        Webhook(secret).verify(BODY, headers)
    for secret in (SECRET, NEWER, *owner_secrets(secrets, "fedcba9876543210")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, headers)
    assert owner_secrets(SECRET, ANONYMOUS) == [SECRET]


def test_secrets_are_exchanged_without_a_gap() -> None:
    headers = Signer(f"{NEWER}, {SECRET}").headers("id", BODY, datetime.now(UTC))
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, NEWER):
        assert Webhook(secret).verify(BODY, headers)


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "secret",
        "whsec_",
        "whsec_***",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        SECRET + "\n!",
    ],
)
def test_a_malformed_secret_is_refused_and_not_printed(malformed: str) -> None:
    with pytest.raises(ValueError, match="webhook secret 2 ") as caught:
        Signer(f"{SECRET},{malformed}")
    assert str(caught.value).endswith("has to be whsec_ and the base64 of 24 to 64 random bytes")


# -- when they are tried ------------------------------------------------------------------------


def test_it_is_tried_for_about_three_days_at_growing_intervals() -> None:
    delays = [next_delay(attempts, lambda low, high: (low + high) / 2) for attempts in range(1, 10)]
    assert delays == list(DELAYS_SECONDS) == sorted(delays)
    assert delays[0] == 5
    assert 3 * 86_400 <= sum(delays) <= 3.5 * 86_400
    assert next_delay(50, lambda low, _: low) > 0


@patient
@given(st.integers(1, 20))
def test_what_failed_together_is_not_tried_again_together(attempts: int) -> None:
    usual = DELAYS_SECONDS[min(attempts, 9) - 1]
    delays = {next_delay(attempts) for _ in range(20)}
    assert len(delays) > 10
    assert all(0.75 * usual <= delay <= 1.25 * usual for delay in delays)


# -- the page -----------------------------------------------------------------------------------


def test_the_example_of_the_page_verifies_and_deduplicates() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    space: dict[str, Any] = {}
    exec(compile(example.replace("whsec_...", SECRET), PAGE.name, "exec"), space)  # noqa: S102
    body = payload(ended(JobStatus.SUCCEEDED))
    headers = Signer(SECRET).headers("id:succeeded", body, datetime.now(UTC))

    assert space["receive"](body, headers) == 204
    assert space["receive"](body, headers) == 204
    assert space["receive"](body + b" ", headers) == 401
    assert [message["type"] for message in space["handled"]] == ["job.succeeded"]
