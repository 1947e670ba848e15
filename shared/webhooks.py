"""Webhooks: to which URLs they may go, what they say, how they are signed, and when they are tried.

They follow Standard Webhooks (https://www.standardwebhooks.com), so that receivers find a library
that verifies them in their language. Sending is `worker.dispatch`.
"""

import base64
import binascii
import hmac
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import httpx
from pydantic import BaseModel, Field
from standardwebhooks import Webhook

from shared.addresses import Address, is_permitted, look_up
from shared.errors import Fault, InvalidInput
from shared.jobs import ANONYMOUS, JobError, JobRecord, JobStatus, Output, Timestamp

MAX_URL_LENGTH = 2048
LOOKUP_SECONDS = 2.0  # a client waits for the answer to its POST
LOWEST_UNPRIVILEGED_PORT = 1024
PORTS = {"http": 80, "https": 443}

# Printable ASCII, as RFC 3986 has it. Programs disagree about the rest, above all the backslash.
_URL = re.compile(r"[!-\[\]-~]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# The last label begins with a letter: some resolvers read 0x7f.1, 0177.0.0.1 or 2130706433 as
# numbers, and so as addresses.
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")

SECRET_PREFIX = "whsec_"  # noqa: S105 - so that scanners find one that has leaked
SECRET_BYTES = range(24, 65)

# The schedule that the specification of Standard Webhooks gives: ten attempts within about 3 days.
DELAYS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2  # so that what failed together is not tried again together


@dataclass(frozen=True)
class Receiver:
    """A URL that webhooks may go to, and the addresses at which it was found."""

    url: httpx.URL
    addresses: list[Address]

    @property
    def port(self) -> int:
        """The port of the URL, or its scheme's own."""
        return self.url.port or PORTS[self.url.scheme]


def check_url(url: str, *, allow_private: bool) -> None:
    """Whether webhooks may go to this URL now; takes 2 s at most. They are asked again when sent.

    Raises `InvalidInput` with what is wrong with it.
    """
    find_receiver(url, allow_private=allow_private, timeout_seconds=LOOKUP_SECONDS)


def find_receiver(url: str, *, allow_private: bool, timeout_seconds: float) -> Receiver:
    """Check a URL and find its addresses, all of which have to be permitted.

    Whoever connects has to use these addresses: a second look-up can have another answer.

    Raises `InvalidInput`, or `Unavailable` when too many host names are being looked up.
    """
    parsed = _parse(url, allow_private=allow_private)
    addresses = _addresses(parsed.raw_host.decode(), timeout_seconds)
    if not all(is_permitted(address, allow_private=allow_private) for address in addresses):
        # Which address it was is nothing that a stranger needs to hear of a private network.
        raise _refusal(f"{parsed.host} is not on the public internet")
    return Receiver(parsed, addresses)


def _parse(url: str, *, allow_private: bool) -> httpx.URL:
    if len(url) > MAX_URL_LENGTH:
        raise _refusal(f"it has more than {MAX_URL_LENGTH} characters")
    if not _URL.fullmatch(url):
        raise _refusal("a URL consists of ASCII letters, digits and signs, without a backslash")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _refusal(f"it is not a URL: {error}") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parsed.scheme not in schemes or not parsed.host:
        raise _refusal(f"it has to begin with {' or '.join(f'{s}://' for s in schemes)} and a host")
    if parsed.userinfo or "@" in url.split("/")[2]:
        raise _refusal("it must not contain credentials; the signature says who sends")
    lowest = 1 if allow_private else LOWEST_UNPRIVILEGED_PORT
    default = PORTS[parsed.scheme]
    if parsed.port not in (None, default) and parsed.port not in range(lowest, 65_536):
        raise _refusal(f"its port has to be {default}, or {lowest} to 65535")
    return parsed


def _addresses(host: str, timeout_seconds: float) -> list[Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        pass  # a name, then
    if not _NAME.fullmatch(host):
        raise _refusal(f"{host} is neither a host name nor an address in its usual notation")
    try:
        return look_up(host, timeout_seconds)
    except TimeoutError:
        raise _refusal(f"the addresses of {host} could not be found in time") from None
    except OSError:
        raise _refusal(f"there is no host with the name {host}") from None


def _refusal(detail: str) -> InvalidInput:
    return InvalidInput(f"webhook: {detail}", (Fault("webhook", detail),))


class EndedJob(BaseModel):
    """What a webhook says of the job."""

    id: str
    status: JobStatus
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    retried_from: str | None
    metadata: dict[str, Any]
    output: Output | None = Field(description="The finished picture; fetch it at the job's result.")
    error: JobError | None


class Message(BaseModel):
    """The body of a webhook. It is the same, byte by byte, each time that it is tried."""

    type: str = Field(description="job.succeeded, job.failed or job.canceled")
    timestamp: Timestamp | None = Field(description="When the job ended.")
    data: EndedJob


def payload(record: JobRecord) -> bytes:
    """What the webhook of a finished job says, JSON."""
    fields = {name: getattr(record, name) for name in EndedJob.model_fields}
    if record.output is not None:  # without its keys in S3
        fields["output"] = Output(**record.output.model_dump(include=set(Output.model_fields)))
    message = Message(
        type=f"job.{record.status}", timestamp=record.finished_at, data=EndedJob(**fields)
    )
    return message.model_dump_json().encode()


def message_id(record: JobRecord) -> str:
    """By which receivers know a webhook that they have had before."""
    return f"{record.id}:{record.status}"


class Signer:
    """Signs with each of some secrets, so that a new one can be brought out before the old goes."""

    def __init__(self, secrets: str, owner: str = ANONYMOUS) -> None:
        """
        Args:
            secrets: those of the installation, separated by commas.
            owner: whose jobs they are.

        Raises:
            ValueError: one of the secrets is malformed.
        """
        self._webhooks = [Webhook(secret) for secret in owner_secrets(secrets, owner)]

    def headers(self, identifier: str, body: bytes, at: datetime) -> dict[str, str]:
        """The headers that a receiver verifies: id, time of this attempt, signatures."""
        at = at.astimezone(UTC)
        signatures = [webhook.sign(identifier, at, body.decode()) for webhook in self._webhooks]
        return {
            "webhook-id": identifier,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def owner_secrets(secrets: str, owner: str) -> list[str]:
    """The secrets that an owner verifies with, derived from those of the installation.

    So the holder of one API key cannot sign what another one receives. Without keys they are those
    of the installation themselves. Raises `ValueError` when one of them is malformed.
    """
    keys = [_key(secret.strip(), number) for number, secret in enumerate(secrets.split(","), 1)]
    if owner != ANONYMOUS:
        keys = [hmac.digest(key, f"impasto webhook {owner}".encode(), "sha256") for key in keys]
    return [SECRET_PREFIX + base64.b64encode(key).decode() for key in keys]


def _key(secret: str, number: int) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError(  # without the secret: this is printed
            f"webhook secret {number} has to be {SECRET_PREFIX} and the base64 of"
            f" {SECRET_BYTES[0]} to {SECRET_BYTES[-1]} random bytes"
        )
    return key


def next_delay(attempts: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds until a webhook is tried again that has failed `attempts` times, 1 or more."""
    delay = DELAYS_SECONDS[min(attempts, len(DELAYS_SECONDS)) - 1]
    return delay * uniform(1 - JITTER, 1 + JITTER)
