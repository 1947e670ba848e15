"""What the service answers: typed values, or its problem details as an `ApiProblem`."""

import contextlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from client.errors import ApiProblem

T = TypeVar("T")


def typed(kind: type[T]) -> Callable[[httpx.Response], T]:
    """Reads an answer that is JSON."""
    adapter = TypeAdapter(kind)

    def read(response: httpx.Response) -> T:
        try:
            return adapter.validate_json(response.content)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "the answer"
            raise stranger(response, f" ({where}: {fault['msg']})") from None

    return read


def content(response: httpx.Response) -> bytes:
    """Reads an answer that is a file."""
    return response.content


def nothing(response: httpx.Response) -> None:
    """Reads an answer that says no more than that it worked."""


def stranger(response: httpx.Response, reason: str = "") -> ApiProblem:
    """Something answers, and it is no Impasto, or one of another version."""
    return ApiProblem(
        response.status_code, "unknown", f"{response.url} does not answer as Impasto does{reason}"
    )


def problem(response: httpx.Response) -> ApiProblem:
    """What a service says that has refused."""
    code, detail = "unknown", f"{response.url} answered {response.status_code}"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        details: dict[str, Any] = response.json()
        code, detail = str(details["code"]), str(details["detail"])
    asked = response.headers.get("Retry-After", "")
    return ApiProblem(
        response.status_code,
        code,
        detail,
        retry_after_seconds=float(asked) if re.fullmatch(r"\d{1,4}", asked) else None,
    )
