"""`impasto api`: the API under gunicorn."""

import ipaddress
from typing import Any

import click
from flask import Response
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException

from api.app import create_app
from api.problems import problem_response
from shared.errors import InvalidRequest
from shared.settings import Settings

REQUEST_TIMEOUT_SECONDS = 60


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

    def load(self) -> Any:
        """Make the application, in the process that serves it."""
        app = create_app(self._settings)
        app.register_error_handler(ParseException, _malformed_body)
        return app


@click.command()
@click.option("--host", default=None, help="Address to listen on. [default: IMPASTO_API_HOST]")
@click.option("--port", type=int, default=None, help="Port. [default: IMPASTO_API_PORT]")
@click.option("--fd", type=int, hidden=True, help="Socket inherited from `impasto up`.")
def api(host: str | None, port: int | None, fd: int | None) -> None:
    """Serve the HTTP API and the page."""
    settings = Settings()
    host = host or settings.api_host
    decided = settings.require_keys or settings.allow_anonymous
    if fd is None and not _is_loopback(host) and not decided:
        raise click.ClickException(
            f"it would let everybody on {host} in: make a key with `impasto keys create NAME` and"
            " set IMPASTO_REQUIRE_KEYS=true, or listen on 127.0.0.1 behind a proxy that asks for"
            " credentials, or set IMPASTO_ALLOW_ANONYMOUS=true"
        )
    address = f"[{host}]" if ":" in host else host
    bind = f"fd://{fd}" if fd else f"{address}:{settings.api_port if port is None else port}"
    Server(settings, gunicorn_options(settings, bind)).run()


def gunicorn_options(settings: Settings, bind: str) -> dict[str, Any]:
    """gunicorn's settings: threads, since a request mostly waits for Redis or S3."""
    return {
        "bind": bind,
        "worker_class": "gthread",
        "workers": settings.api_processes,
        "threads": settings.api_threads,
        "timeout": REQUEST_TIMEOUT_SECONDS,
        "graceful_timeout": 5,
        "loglevel": "warning",
        "control_socket_disable": True,  # one path in the home folder for all servers of a user
    }


def _malformed_body(error: ParseException) -> Response:
    """gunicorn finds a chunked body malformed only while the application reads it."""
    return problem_response(InvalidRequest(f"the body is not as HTTP has it: {error}"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
