"""A line of the log for every request, and the id by which its lines are found.

A request that was answered as it should and changed nothing says so at the level `debug` only:
most of them are polls. What a request carries is not told: neither headers, query nor body.
"""

import os
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import structlog
from flask import g, has_request_context, request
from structlog.types import EventDict
from werkzeug.wsgi import ClosingIterator

from api.metrics import HttpMetrics
from shared.jobs import ANONYMOUS
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID = "X-Request-ID"
ENVIRON_ID = "impasto.request_id"
FLASKS_REQUEST = "werkzeug.request"  # where Werkzeug puts it, in WSGI's environment
STREAMS = "/events"  # how their routes end
NO_ROUTE = ""
OTHER_METHOD = "other"  # of which a client may invent as many as it likes
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_LOGGED = 64
_SANE_ID = re.compile(r"[A-Za-z0-9._:=+/-]{1,128}")
log = structlog.get_logger(__name__)


def add_request_id(_: object, __: str, event: EventDict) -> EventDict:
    """For structlog: whatever is logged during a request can be found by its id."""
    if has_request_context():
        event.setdefault("request_id", request.environ.get(ENVIRON_ID))
    return event


class RequestLog:
    """WSGI middleware that logs and measures all requests."""

    def __init__(self, app: "WSGIApplication", settings: Settings, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._is_debugging = settings.log_level == "debug"

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        started = time.perf_counter()
        asked = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = asked if _SANE_ID.fullmatch(asked) else os.urandom(12).hex()
        environ[ENVIRON_ID] = request_id
        is_stream = False

        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            nonlocal is_stream
            headers.append((REQUEST_ID, request_id))
            rule = environ[FLASKS_REQUEST].url_rule
            route = rule.rule if rule else NO_ROUTE
            method = environ["REQUEST_METHOD"]
            if method not in METHODS:
                method = OTHER_METHOD
            code = int(status[:3])
            is_stream = code == 200 and route.endswith(STREAMS)
            if not is_stream:
                self._metrics.observe(route, method, code, time.perf_counter() - started)
            is_quiet = code < 400 and method in SAFE_METHODS
            if self._is_debugging or not is_quiet:
                tell = log.debug if is_quiet else log.info
                seconds = round(time.perf_counter() - started, 4)
                tell("request", seconds=seconds, **_facts(route, method, code, headers))
            return start_response(status, headers, *failure)

        answer = self._app(environ, start)
        if not is_stream:
            return answer
        self._metrics.streams.inc()
        return ClosingIterator(answer, self._metrics.streams.dec)


def _facts(
    route: str, method: str, status: int, headers: list[tuple[str, str]]
) -> dict[str, str | int]:
    """What is told of a request."""
    key = g.get("api_key")
    facts: dict[str, str | int] = {
        "method": method,
        "route": route,
        "status": status,
        "key": key.id if key else ANONYMOUS,
    }
    job_id = (request.view_args or {}).get("job_id")
    if job_id is None and status == 202:  # it was made just now
        job_id = next((value for name, value in headers if name == "Location"), "")
        job_id = job_id.rpartition("/")[2]
    if job_id is not None:
        facts["job_id"] = job_id[:MAX_LOGGED]
    return facts
