"""Accepting a job, in the order that loses nothing and makes nothing twice.

The idempotency key is bound first, so that the same request cannot be worked on twice at a time.
Inputs and request lie in S3 before the record does, so that no record is without them. The record
is the acceptance. The message comes last: a job without one is found by the reconciler.
"""

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.authentication import max_running_jobs, max_unfinished_jobs, owner
from api.services import Services
from shared.errors import (
    Fault,
    ImpastoError,
    InFlight,
    InvalidInput,
    InvalidRequest,
    QuotaExceeded,
    TooMany,
    Unavailable,
)
from shared.idempotency import Ticket
from shared.jobs import Inputs, JobRequest, StoredRequest
from shared.messaging import AWAY
from shared.records import Refusal
from shared.settings import Settings
from shared.storage import STORAGE_ERRORS, request_key
from shared.webhooks import check_url

MAX_KEY_LENGTH = 255
# An input that is just being removed can be stored again a moment later.
REMOVAL_SECONDS = 2.0
REMOVAL_POLL_SECONDS = 0.1
# Redis may have done what it was asked, and its answer may have been lost.
UNANSWERED = (RedisConnectionError, RedisTimeoutError)
log = structlog.get_logger(__name__)


def fingerprint(request: dict[str, Any]) -> str:
    """By which a request is known when it comes again: SHA-256 of what it says.

    Of what it was found to say, that is: neither the boundaries of its form, nor the order and
    spelling of its JSON, nor parameters that are spelt out or left to their preset.
    """
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def once(
    service: Services,
    key: str | None,
    request_sha256: str,
    accept: Callable[[Ticket | None], JobRequest],
) -> JobRequest | str:
    """What `accept` makes, or the id of the job that the same request made before.

    Raises:
        InvalidRequest: this is no idempotency key.
        KeyReused: the key came with another request before.
        InFlight: the first request with this key is still worked on.
    """
    if key is None:
        return accept(None)
    ticket = Ticket.draw(owner(), _checked(key), request_sha256)
    try:
        return service.idempotency.begin(ticket) or accept(ticket)
    except Exception as error:
        abandon = partial(service.idempotency.abandon, ticket)
        if isinstance(error, UNANSWERED):
            service.afterwards.later(abandon)
        else:
            service.afterwards.now_or_later(abandon)
        raise


def accept(
    service: Services,
    job: JobRequest,
    ticket: Ticket | None,
    provide_inputs: Callable[[frozenset[str]], None],
) -> None:
    """Accept `job`. `provide_inputs`, told which may lie in S3, sees to it that all of them do.

    Raises:
        Unavailable: the queue is full, or inputs are just being removed.
        TooMany: its owner has as many unfinished jobs as are allowed.
        QuotaExceeded: its owner has as many jobs as are kept.
        InFlight: this took so long that the next request with the same idempotency key went ahead.
    """
    limit = max_unfinished_jobs(service.settings)
    refusal = service.records.refusal(job.owner, max_unfinished_jobs=limit)
    if refusal is not None:  # before the images are stored
        raise _refused(refusal, service.settings)
    provide_inputs(_touch_inputs(service, job.inputs))
    stored = StoredRequest(
        **dict(job),
        created_at=datetime.now(UTC),
        idempotency=ticket.idempotency if ticket else None,
    )
    try:
        service.archive.write_request(stored)
        refusal = service.records.create(
            job,
            ticket,
            max_unfinished_jobs=limit,
            max_running_jobs=max_running_jobs(service.settings),
        )
        if refusal is not None:
            raise _refused(refusal, service.settings)
    except Exception as error:
        forget = partial(service.storage.delete, request_key(job.id))
        if isinstance(error, UNANSWERED):
            service.afterwards.later(partial(_withdraw, service, job.id, forget))
        elif isinstance(error, STORAGE_ERRORS):  # it would not answer now either
            service.afterwards.later(forget)
        else:
            service.afterwards.now_or_later(forget)
        raise
    _publish(service, job)
    log.info("job accepted", job_id=job.id, retried_from=job.retried_from)


def check_webhook(url: str | None, settings: Settings) -> None:
    """Whether the end of a job can be told there.

    Raises:
        InvalidInput: this installation sends none, or not there.
        Unavailable: too many host names are being looked up.
    """
    if url is None:
        return
    if settings.webhook_secrets is None:
        detail = "none are sent here: there is nothing to sign them with"
        raise InvalidInput(f"webhook: {detail}", (Fault("webhook", detail),))
    check_url(url, allow_private=settings.webhook_allow_private)


def _checked(key: str) -> str:
    if not key or len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"an Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable ASCII characters"
        )
    return key


def _touch_inputs(service: Services, inputs: Inputs) -> frozenset[str]:
    until = time.monotonic() + REMOVAL_SECONDS
    while (known := service.garbage.touch_inputs(inputs.digests)) is None:
        if time.monotonic() > until:
            raise Unavailable("an old copy of these images is just being removed: try again")
        time.sleep(REMOVAL_POLL_SECONDS)
    return known


def _withdraw(service: Services, job_id: str, forget: Callable[[], None]) -> None:
    """Where nobody knows whether a job was accepted: see to it that it is not, if it was not.

    Its request is forgotten then, or `impasto recover` would accept it.
    """
    if service.records.withdraw(job_id):
        forget()


def _publish(service: Services, job: JobRequest) -> None:
    try:
        service.publisher.publish(job.id, job.priority)
    except AWAY as error:
        # The job is accepted: its record stands, and the reconciler publishes it.
        log.warning("publishing failed", job_id=job.id, error=repr(error))


def _refused(refusal: Refusal, settings: Settings) -> ImpastoError:
    match refusal:
        case Refusal.QUEUE_FULL:
            return Unavailable(f"the queue is full: {settings.max_queued_jobs:,} jobs wait")
        case Refusal.TOO_MANY_JOBS:
            limit = max_unfinished_jobs(settings)
            return TooMany(
                f"you have {limit:,} unfinished jobs, as many as you may have: wait until one ends"
            )
        case Refusal.TOO_MANY_KEPT:
            return QuotaExceeded(
                f"{settings.max_kept_jobs:,} jobs of yours are kept, as many as may be: delete some"
            )
        case Refusal.SUPERSEDED:
            return InFlight("this took so long that the next request with its key went ahead")
