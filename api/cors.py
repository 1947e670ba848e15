"""Pages of other origins that may use the API from a browser (CORS).

None unless the settings name them. Whoever is named needs a key all the same, and sends it by
itself: browsers send no credentials of their own.
"""

import re

from flask import Flask, request
from flask_cors import CORS

from shared.origins import parse_origins
from shared.settings import Settings

METHODS = ("GET", "HEAD", "POST", "DELETE")
SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "X-Request-ID",
)
# What a script may read besides the few headers that it always may.
READ = (
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
PREFLIGHT_SECONDS = 3600


def register(app: Flask, settings: Settings) -> None:
    """Tell browsers which other origins' pages may read the answers under `/v1`."""
    origins = parse_origins(settings.cors_origins)
    if not origins:
        return
    CORS(
        app,
        resources=re.compile(r"/v1/.*"),
        # As patterns: the library takes what has a bracket, as an IPv6 address has, for one.
        origins=[re.compile(re.escape(origin) + r"\Z") for origin in origins],
        methods=METHODS,
        allow_headers=SENT,
        expose_headers=READ,
        max_age=PREFLIGHT_SECONDS,
        supports_credentials=False,
    )


def is_preflight() -> bool:
    """Whether this request is a browser's question whether a page may send another one.

    It never has a key, and the answer, from a table of routes, tells nothing of anybody's jobs.
    """
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
