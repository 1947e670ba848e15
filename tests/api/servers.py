"""`impasto api` as a process of its own, on a real socket."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.settings import Settings

START_SECONDS = 60.0


@dataclass(frozen=True)
class Served:
    """Where it listens, and the process, which leads a group of its own."""

    address: tuple[str, int]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://{host}:{port}"


@contextmanager
def serve(settings: Settings, log: Path, **environment: str) -> Iterator[Served]:
    """The API, which may be killed; what it says goes into `log`."""
    secret = settings.s3_secret_access_key
    assert secret is not None
    servers = {
        "IMPASTO_REDIS_URL": settings.redis_url.get_secret_value(),
        "IMPASTO_S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
        "IMPASTO_S3_ACCESS_KEY_ID": str(settings.s3_access_key_id),
        "IMPASTO_S3_SECRET_ACCESS_KEY": secret.get_secret_value(),
    }
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "client.cli", "api", "--fd", str(listener.fileno())],
            env={**os.environ, **servers, **environment},
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        served = Served(listener.getsockname(), process)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(served.url):
                assert time.monotonic() < deadline, log.read_text()
                assert process.poll() is None, log.read_text()
            yield served
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def running_api(settings: Settings, log: Path, **environment: str) -> Iterator[str]:
    """The address of the API, whose process is the same at the end."""
    with serve(settings, log, **environment) as served:
        yield served.url
        assert served.process.poll() is None, log.read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
