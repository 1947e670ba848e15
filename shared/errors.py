"""Errors that a user can meet, each with its stable code and HTTP status.

ImpastoError
├── InvalidRequest              400  the request itself is malformed
├── Unauthorized                401  no API key, or not a valid one
├── NotFound                    404
├── Conflict                    409  the job is in a state that does not allow this
│   └── InFlight                409  the same request is still worked on
├── Gone                        410  it was there, and is not kept any more
├── TooLarge                    413
├── UnsupportedMedia            415  not a kind of file that is read here
├── InvalidInput                422  understood, but out of bounds
│   ├── InvalidImage
│   └── KeyReused               422  an idempotency key came with another request before
├── TooMany                     429  more jobs or streams than one may have at a time
├── RateLimited                 429  more requests or jobs than one may ask for in a minute
└── Unavailable                 503  Redis or S3 is away; nothing is lost, try again
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a request: where (a JSON pointer or form field) and what."""

    pointer: str
    detail: str


class ImpastoError(Exception):
    """Base of all errors here. `str(error)` is a sentence for the person who caused it."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class InvalidRequest(ImpastoError):
    """The request is not shaped as the API expects."""

    code = "invalid_request"
    status = 400
    title = "Bad request"


class Unauthorized(ImpastoError):
    """Keys are required here, and the request has none that is valid."""

    code = "unauthorized"
    status = 401
    title = "Unauthorized"


class QuotaExceeded(ImpastoError):
    """As much is kept for this owner as may be."""

    code = "quota_exceeded"
    status = 403
    title = "Quota exceeded"


class NotFound(ImpastoError):
    """There is no such thing, or not any more."""

    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(ImpastoError):
    """The state of the job does not allow this."""

    code = "conflict"
    status = 409
    title = "Conflict"


class InFlight(Conflict):
    """The first request with this idempotency key has not been answered yet."""

    code = "in_flight"


class Gone(ImpastoError):
    """The job was deleted, or kept as long as jobs are."""

    code = "gone"
    status = 410
    title = "Gone"


class TooLarge(ImpastoError):
    """More bytes, parts or pixels than are taken."""

    code = "too_large"
    status = 413
    title = "Too large"


class UnsupportedMedia(ImpastoError):
    """The file is of a kind that is not read here."""

    code = "unsupported_media"
    status = 415
    title = "Unsupported media type"


class InvalidInput(ImpastoError):
    """A value is out of bounds."""

    code = "invalid_input"
    status = 422
    title = "Invalid input"


class InvalidImage(InvalidInput):
    """The file claims to be an image but cannot be used as one."""

    code = "invalid_image"
    title = "Invalid image"


class KeyReused(InvalidInput):
    """An idempotency key came with another request before."""

    code = "idempotency_key_reused"
    title = "Idempotency key reused"


class TooMany(ImpastoError):
    """More than one may have at a time."""

    code = "too_many"
    status = 429
    title = "Too many"


class RateLimited(ImpastoError):
    """More in a minute than one may ask for."""

    code = "rate_limited"
    status = 429
    title = "Too fast"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ImpastoError):
    """A server that the service needs does not answer."""

    code = "unavailable"
    status = 503
    title = "Service unavailable"
