"""Every error as problem details (RFC 9457): a sentence, a stable code, and where it is wrong."""

from http import HTTPStatus
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, request
from kombu.exceptions import OperationalError
from pydantic import BaseModel, Field, ValidationError
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from shared.errors import (
    Fault,
    ImpastoError,
    InFlight,
    InvalidInput,
    InvalidRequest,
    NotFound,
    RateLimited,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from shared.storage import ObjectMissing

RETRY_AFTER_SECONDS = 2
RETRY_STATUSES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
# What Flask and Werkzeug refuse by themselves gets the code that it has when we do.
OURS = {error.status: error for error in (InvalidRequest, NotFound, TooLarge, UnsupportedMedia)}
log = structlog.get_logger(__name__)


class ProblemFault(BaseModel):
    """One thing that is wrong."""

    pointer: str = Field(description="Form field, or JSON pointer into `params`.")
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457, application/problem+json)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable; branch on this one.")
    errors: list[ProblemFault] = []


def problems(*statuses: int) -> dict[Any, Any]:
    """Error responses of a route, for the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        str(status): {"content": {"application/problem+json": {"schema": schema}}}
        for status in statuses
    }


def problem_response(error: ImpastoError) -> Response:
    """The answer to a request that ended in `error`."""
    response = _respond(error.status, error.title, str(error), error.code, error.faults)
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def invalid_parameters(error: ValidationError, *root: str) -> InvalidInput:
    """pydantic's errors as ours; `root` is the form field or part of the request they are in."""
    faults = tuple(
        Fault("/".join([*root, *map(str, item["loc"])]), item["msg"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
    first = faults[0]
    return InvalidInput(f"{first.pointer}: {first.detail}", faults)


def register(app: Flask) -> None:
    """Turn whatever a route raises into problem details."""

    @app.errorhandler(ImpastoError)
    def known(error: ImpastoError) -> Response:
        return problem_response(error)

    @app.errorhandler(ObjectMissing)
    def missing(_: ObjectMissing) -> Response:
        return problem_response(NotFound("the file is not in the object storage any more"))

    @app.errorhandler(RedisError)
    @app.errorhandler(OperationalError)
    @app.errorhandler(BotoCoreError)
    @app.errorhandler(ClientError)
    def unreachable(error: Exception) -> Response:
        log.warning("unavailable", error=repr(error), path=request.path)
        server = "object storage" if isinstance(error, BotoCoreError | ClientError) else "Redis"
        return problem_response(
            Unavailable(f"{server} does not answer; nothing that was accepted is lost, try again")
        )

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        ours = OURS.get(status)
        # The phrases of some statuses differ between versions of Python; our codes do not.
        title = ours.title if ours else status.phrase
        code = ours.code if ours else status.phrase.lower().replace(" ", "_")
        response = _respond(status, title, error.description or title, code)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("internal error", path=request.path)
        return problem_response(ImpastoError("something broke on our side; it has been logged"))


def _respond(
    status: int, title: str, detail: str, code: str, faults: tuple[Fault, ...] = ()
) -> Response:
    problem = Problem(
        type=f"urn:impasto:problem:{code}",
        title=title,
        status=int(status),
        detail=detail,
        instance=request.path,
        code=code,
        errors=[ProblemFault(pointer=fault.pointer, detail=fault.detail) for fault in faults],
    )
    again = status in RETRY_STATUSES or code == InFlight.code
    headers: dict[str, Any] = {"Retry-After": str(RETRY_AFTER_SECONDS)} if again else {}
    return Response(
        problem.model_dump_json(), status, headers, content_type="application/problem+json"
    )
