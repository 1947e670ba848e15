"""gunicorn, as the API runs under it."""

from importlib import import_module
from typing import Any

from flask import Response, current_app
from flask.typing import ResponseReturnValue
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

from api import processes
from api.connections import PacedWorker, TooSlow, allow_descriptors
from api.decoding import give_large_blocks_back
from api.problems import problem_response
from api.services import EXTENSION
from shared.errors import InvalidRequest
from shared.logs import adopt_logs
from shared.settings import Settings

REQUEST_TIMEOUT_SECONDS = 60
IDLE_CONNECTIONS = 1000


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with our options instead of a configuration file."""

    def __init__(self, settings: Settings, options: dict[str, Any]) -> None:
        self._settings = settings
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Hand over the options."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve until a signal comes."""
        adopt_logs(self._settings, "gunicorn", self._settings.log_level.upper())
        if self._settings.api_processes > 1:
            processes.count_together()
        allow_descriptors()
        import_module("api.app")  # not sooner, see `api.processes`; once for all of them
        super().run()

    def load(self) -> Any:
        """Make the application, in the process that serves it."""
        from api.app import create_app

        give_large_blocks_back()
        app = create_app(self._settings)
        app.register_error_handler(ParseException, _malformed_body)
        app.register_error_handler(ClientDisconnected, _incomplete_body)
        return app


class ServerLog(Logger):  # type: ignore[misc]  # as above
    """gunicorn's own lines, which go where all others go."""

    def setup(self, cfg: Any) -> None:
        """Leave the writing to `shared.logs.adopt_logs`."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class StreamingWorker(PacedWorker):
    """A process of the API, whose streams end when it does."""

    def run(self) -> None:
        """Serve until a signal comes, or whoever sends signals is gone."""
        try:
            super().run()
        finally:
            self._end_streams()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to end: requests are finished, streams go on at another process."""
        self._end_streams()
        super().handle_exit(sig, frame)

    def _end_streams(self) -> None:
        if hasattr(self, "wsgi"):  # not while it starts
            self.wsgi.extensions[EXTENSION].watching.close()


def gunicorn_options(settings: Settings, bind: str) -> dict[str, Any]:
    """gunicorn's settings: threads, since a request mostly waits for Redis or S3.

    A thread is made when all others are busy. So there may be one for each stream of events.
    """
    threads = settings.api_threads + settings.max_streams
    return {
        "bind": bind,
        "worker_class": "api.server.StreamingWorker",
        "workers": settings.api_processes,
        "threads": threads,
        "sendfile": False,  # which waits for slow readers without an end
        "worker_connections": threads + IDLE_CONNECTIONS,
        "timeout": REQUEST_TIMEOUT_SECONDS,
        "graceful_timeout": 5,
        "loglevel": settings.log_level,
        "logger_class": "api.server.ServerLog",
        "child_exit": processes.forget,
        "on_exit": processes.remove_counts,
        # Proxies are believed as `trusted_proxies` says (see `api.app`), and by nothing else.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},  # of any neighbour on a socket of Unix otherwise
        "control_socket_disable": True,  # one path in the home folder for all servers of a user
    }


def _malformed_body(error: ParseException) -> Response:
    """gunicorn finds a chunked body malformed only while the application reads it."""
    return problem_response(InvalidRequest(f"the body is not as HTTP has it: {error}"))


def _incomplete_body(error: ClientDisconnected) -> ResponseReturnValue:
    """The client went away, or is as slow as if it had."""
    slow = isinstance(error.__context__, TooSlow)
    return current_app.handle_user_exception(
        RequestTimeout("the body came too slowly") if slow else BadRequest("the body is incomplete")
    )
