"""Who asks: every route under `/v1` needs an API key, unless keys are not used here.

What tells nothing of anybody's jobs is open: health, metrics, the documents, the page, the presets.
"""

from typing import Final, cast

from flask import Flask, Response, g, request

from api.problems import problem_response
from shared.connections import connect_impatient
from shared.errors import Unauthorized
from shared.jobs import ANONYMOUS
from shared.keys import ApiKey, ApiKeys
from shared.settings import Settings

PROTECTED = "/v1/"
OPEN_PATHS: Final = frozenset({"/v1/presets"})  # says what the documentation says
CHALLENGE = 'Bearer realm="impasto"'


def register(app: Flask, settings: Settings) -> None:
    """Ask every request under `/v1` for its key, before its body is read."""
    keys = ApiKeys(connect_impatient(settings.redis_url.get_secret_value()), settings)

    @app.before_request
    def authenticate() -> Response | None:
        if not is_protected(request.path):
            return None
        try:
            g.api_key = _authenticated(keys, request.headers.get("Authorization", ""))
        except Unauthorized as error:
            response = problem_response(error)
            response.headers["WWW-Authenticate"] = CHALLENGE
            return response
        return None


def is_protected(path: str) -> bool:
    """Whether a path, or pattern of paths, is for those with a key."""
    return path.startswith(PROTECTED) and path not in OPEN_PATHS


def owner() -> str:
    """Whose jobs this request makes and sees. Fails outside of what is protected."""
    key = _key()
    return key.id if key else ANONYMOUS


def max_unfinished_jobs(settings: Settings) -> int:
    """How many unfinished jobs the owner may have."""
    key = _key()
    if key is None or key.max_unfinished_jobs is None:
        return settings.max_unfinished_jobs
    return key.max_unfinished_jobs


def _key() -> ApiKey | None:
    return cast(ApiKey | None, g.api_key)


def _authenticated(keys: ApiKeys, header: str) -> ApiKey | None:
    """The key in an `Authorization` header; None for somebody who needs none.

    A key that was sent is checked even where none is needed: whoever has one relies on it. Another
    scheme is that of a proxy in front, and says nothing to us.
    """
    scheme, _, secret = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        key = keys.authenticate(secret.strip())
        if key is None:
            raise Unauthorized("this is no API key that is known here, or it was revoked")
        return key
    if keys.required():
        raise Unauthorized("an API key is needed here: `Authorization: Bearer impasto_...`")
    return None
