"""Sends the webhooks that are due. Any worker does: a row that is taken is put off for others."""

import threading
import time
from urllib.parse import urlsplit

import structlog
from redis.exceptions import RedisError

from shared.jobs import JobRecord
from shared.outbox import Outbox
from shared.settings import Settings
from shared.webhooks import Signer, message_id, next_delay, payload
from worker.dispatch import Delivery, deliver

SENDERS = 4
# A host that took so long gets one sender at a time for a while: the others are for other hosts.
SLOW_SECONDS = 1.0
SLOW_FOR_SECONDS = 60.0
log = structlog.get_logger(__name__)


class Postman:
    """Takes rows from the outbox while it has senders for them, each a thread.

    What it does not report back, since it is stopped or Redis is away, comes back to the outbox
    after a minute and is sent again: at least once.
    """

    def __init__(self, outbox: Outbox, settings: Settings) -> None:
        """Raises `ValueError` when a secret is malformed."""
        secrets = settings.webhook_secrets
        self._outbox = outbox
        self._settings = settings
        self._secrets = secrets.get_secret_value() if secrets else None
        if self._secrets is not None:
            Signer(self._secrets)  # says now if they are wrong
        self._free = threading.BoundedSemaphore(SENDERS)
        self._hosts = _Hosts()

    def run(self) -> None:
        """Hand what is due to senders; waits while all of them are busy, not for them to end.

        Without secrets it leaves the rows to workers that have them. Raises `RedisError`.
        """
        while self._secrets is not None:
            self._free.acquire()
            try:
                rows = self._outbox.take(1)  # no more than are sent at once
            except BaseException:
                self._free.release()
                raise
            if not rows:
                self._free.release()
                return
            (record,) = rows
            host = urlsplit(record.webhook or "").netloc
            started = self._hosts.begin(host)
            if started is None:  # the row comes back in a minute
                self._free.release()
                continue
            signer = Signer(self._secrets, record.owner)
            threading.Thread(
                target=self._send, args=(record, signer, host, started), name="webhook", daemon=True
            ).start()

    def _send(self, record: JobRecord, signer: Signer, host: str, started: float) -> None:
        try:
            self._report(record, self._deliver(record, signer))
        except RedisError as error:  # it will be sent once more
            log.warning("webhook not noted", job_id=record.id, error=repr(error))
        finally:
            self._hosts.end(host, started)
            self._free.release()

    def _deliver(self, record: JobRecord, signer: Signer) -> Delivery:
        if record.webhook is None:
            return Delivery("the job has no webhook", gone=True)
        try:
            return deliver(
                record.webhook,
                message_id(record),
                payload(record),
                signer,
                allow_private=self._settings.webhook_allow_private,
                timeout_seconds=self._settings.webhook_timeout_seconds,
            )
        except Exception:  # unforeseen; left in the outbox it would come back every minute
            log.exception("webhook not sent", job_id=record.id)
            return Delivery("it could not be sent; the log of the worker says why")

    def _report(self, record: JobRecord, delivery: Delivery) -> None:
        attempt = record.webhook_attempts + 1
        # Never the URL: its query may hold a token.
        told = log.bind(job_id=record.id, attempt=attempt)
        if delivery.error is None:
            self._outbox.delivered(record.id, attempt)
            told.info("webhook delivered")
        elif delivery.gone or attempt >= self._settings.webhook_max_attempts:
            self._outbox.failed(record.id, attempt, delivery.error, None)
            told.warning("webhook given up", error=delivery.error)
        else:
            again = max(next_delay(attempt), delivery.retry_after_seconds)
            self._outbox.failed(record.id, attempt, delivery.error, again)
            told.info("webhook failed", error=delivery.error, again_in_seconds=round(again))


class _Hosts:
    """Which hosts are being sent to, and which of them are slow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: dict[str, list[float]] = {}  # since when its senders are busy
        self._slow_until: dict[str, float] = {}

    def begin(self, host: str) -> float | None:
        """When the sending began; None: the host is slow, and being sent to already."""
        now = time.monotonic()
        with self._lock:
            started = self._started.setdefault(host, [])
            takes_long = any(now - since > SLOW_SECONDS for since in started)
            if started and (takes_long or self._slow_until.get(host, now) > now):
                return None
            started.append(now)
        return now

    def end(self, host: str, started: float) -> None:
        """What began at `started` is over."""
        now = time.monotonic()
        with self._lock:
            self._started[host].remove(started)
            if not self._started[host]:
                del self._started[host]
            if now - started > SLOW_SECONDS:
                self._slow_until[host] = now + SLOW_FOR_SECONDS
            self._slow_until = {
                name: until for name, until in self._slow_until.items() if until > now
            }
