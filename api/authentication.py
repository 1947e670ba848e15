"""Who asks, and how often: every route under `/v1` needs an API key, unless none are used here.

What tells nothing of anybody's jobs is open: health, metrics, the documents, the page, the presets.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, cast

from flask import Flask, Response, g, request
from redis.exceptions import RedisError

from api.cors import is_preflight
from api.problems import problem_response
from api.rates import Rates, address
from shared.connections import connect_impatient
from shared.errors import Unauthorized
from shared.jobs import ANONYMOUS
from shared.keys import ApiKey, ApiKeys, is_shaped_like_a_key
from shared.settings import Settings

PROTECTED = "/v1/"
OPEN_PATHS: Final = frozenset({"/v1/presets"})  # says what the documentation says
CHALLENGE = 'Bearer realm="impasto"'


def register(app: Flask, settings: Settings) -> None:
    """Ask every request under `/v1` for its key, before its body is read, and count it."""
    keys = ApiKeys(connect_impatient(settings.redis_url.get_secret_value()), settings)
    rates = Rates(settings)

    @app.before_request
    def admit() -> Response | None:
        if not is_protected(request.path) or (settings.cors_origins and is_preflight()):
            return None
        secret = _bearer(request.headers.get("Authorization", ""))
        known = keys.remembered(secret) if secret is not None else None
        # Before Redis is asked: who guesses costs it nothing. A key that is known here does not
        # pay for others at its address, and one that is not yet pays only for those that look like
        # keys, which nothing but Redis can tell from it.
        may_be_key = secret is not None and is_shaped_like_a_key(secret)
        asker = f"{address()}:keys" if may_be_key and not known else _caller(known)
        rates.spend_request(asker, _requests_per_minute(known, settings))
        try:
            g.api_key = _authenticated(keys, secret)
        except Unauthorized as error:
            response = problem_response(error)
            response.headers["WWW-Authenticate"] = CHALLENGE
            return response
        g.is_still_admitted = partial(_is_still_admitted, keys, secret)
        rates.spend_job(_caller(g.api_key), _jobs_per_minute(g.api_key, settings))
        return None


def is_protected(path: str) -> bool:
    """Whether a path, or pattern of paths, is for those with a key."""
    return path.startswith(PROTECTED) and path not in OPEN_PATHS


def owner() -> str:
    """Whose jobs this request makes and sees. Fails outside of what is protected."""
    key = _key()
    return key.id if key else ANONYMOUS


def admission() -> Callable[[], bool]:
    """What tells an answer that takes long, without its request, whether its key is still valid."""
    return cast(Callable[[], bool], g.is_still_admitted)


def max_unfinished_jobs(settings: Settings) -> int:
    """How many unfinished jobs the owner may have."""
    key = _key()
    limit = key.max_unfinished_jobs if key else None
    return settings.max_unfinished_jobs if limit is None else limit


def max_running_jobs(settings: Settings) -> int | None:
    """How many of them are painted at a time; None: as many as there are workers."""
    key = _key()
    limit = key.max_running_jobs if key else None
    return settings.max_running_jobs if limit is None else limit


def _requests_per_minute(key: ApiKey | None, settings: Settings) -> int | None:
    limit = key.requests_per_minute if key else None
    return settings.requests_per_minute if limit is None else limit


def _jobs_per_minute(key: ApiKey | None, settings: Settings) -> int | None:
    limit = key.jobs_per_minute if key else None
    return settings.jobs_per_minute if limit is None else limit


def _caller(key: ApiKey | None) -> str:
    """Whose requests are counted together."""
    return f"key:{key.id}" if key else address()


def _key() -> ApiKey | None:
    return cast(ApiKey | None, g.api_key)


def _is_still_admitted(keys: ApiKeys, secret: str | None) -> bool:
    try:
        _authenticated(keys, secret)
    except Unauthorized:
        return False
    except RedisError:  # nobody can say; whoever was let in outlasts an outage
        return True
    return True


def _bearer(header: str) -> str | None:
    """The key in an `Authorization` header. Another scheme is that of a proxy in front, and says
    nothing to us."""
    scheme, _, secret = header.strip().partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _authenticated(keys: ApiKeys, secret: str | None) -> ApiKey | None:
    """Whose key this is; None for somebody who has none and needs none.

    A key that was sent is checked even where none is needed: whoever has one relies on it.
    """
    if secret is not None:
        key = keys.authenticate(secret)
        if key is None:
            raise Unauthorized("this is no API key that is known here, or it was revoked")
        return key
    if keys.required():
        raise Unauthorized("an API key is needed here: `Authorization: Bearer impasto_...`")
    return None
