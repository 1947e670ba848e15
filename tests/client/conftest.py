"""A live API on a real socket, real servers behind it, and no workers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from api.app import create_app
from client import Impasto
from client.cli import main
from shared.settings import Settings
from tests.api.conftest import change, paint, report
from tests.faults.proxy import Proxy

__all__ = ["change", "paint", "report"]

NOBODY = "http://127.0.0.1:9"
Run = Callable[..., Result]


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """Where an API listens."""
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def url(settings: Settings) -> Iterator[str]:
    """Where the API listens that most tests ask. It has never seen a key, and no test makes one."""
    with listening(settings) as url:
        yield url


@pytest.fixture
def impasto(url: str, valkey: object) -> Iterator[Impasto]:
    with Impasto(url) as impasto:
        yield impasto


@pytest.fixture
def line(url: str) -> Iterator[Proxy]:
    """The network between the client and the API."""
    parts = urlsplit(url)
    with Proxy((str(parts.hostname), int(parts.port or 0))) as proxy:
        yield proxy


@pytest.fixture
def far(line: Proxy, valkey: object) -> Iterator[Impasto]:
    """A client behind that network."""
    with Impasto(f"http://127.0.0.1:{line.port}", timeout_seconds=10) as impasto:
        yield impasto


@pytest.fixture
def run(url: str, valkey: object) -> Run:
    """Run `impasto ...` against the live API; the terminal is wide."""
    runner = CliRunner(env={"IMPASTO_URL": url, "COLUMNS": "200"})
    return lambda *arguments, **options: runner.invoke(main, [*map(str, arguments)], **options)


class Stranger:
    """A web server that is no Impasto. It gives its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self._servers: list[HTTPServer] = []
        self.requests: list[str] = []

    def start(self, *answers: tuple[int, dict[str, str], bytes]) -> str:
        """Returns its address."""
        left, requests = list(answers), self.requests

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                requests.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, body = left[0] if len(left) == 1 else left.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - so http.server calls them

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    stranger = Stranger()
    yield stranger
    stranger.close()
