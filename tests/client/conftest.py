"""A live API on a real socket, real servers behind it, and no workers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from api.app import create_app
from client import Impasto
from client.cli import main
from shared.settings import Settings
from tests.api.conftest import paint

__all__ = ["paint"]

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
def run(url: str, valkey: object) -> Run:
    """Run `impasto ...` against the live API; the terminal is wide."""
    runner = CliRunner(env={"IMPASTO_URL": url, "COLUMNS": "200"})
    return lambda *arguments, **options: runner.invoke(main, [*map(str, arguments)], **options)
