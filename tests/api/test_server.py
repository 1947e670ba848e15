"""The API under gunicorn: whom it believes, and how it ends."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from shared.settings import Settings
from tests.api.forms import form
from tests.api.servers import Served, serve

# A stream would go on for ten minutes.
END_SECONDS = 60.0


@pytest.fixture
def served(settings: Settings, valkey: redis.Redis, tmp_path: Path) -> Iterator[Served]:
    with serve(settings, tmp_path / "log") as served:
        yield served


def test_nobody_says_by_himself_how_he_came_here_not_even_on_this_machine(served: Served) -> None:
    plain = httpx.get(f"{served.url}/v1/jobs")
    said = httpx.get(
        f"{served.url}/v1/jobs",
        headers={
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Ssl": "off",
            "X-Forwarded-Protocol": "ssl",
            "SCRIPT_NAME": "/v1",
            "PATH_INFO": "/metrics",
        },
    )
    assert said.status_code == 200
    assert "Strict-Transport-Security" not in said.headers
    assert said.json() == plain.json()


def test_a_process_whose_parent_was_killed_ends_though_somebody_follows_a_job(
    served: Served,
) -> None:
    job_id = httpx.post(f"{served.url}/v1/jobs", timeout=60, **form()).json()["id"]
    pid = served.process.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    deadline = time.monotonic() + END_SECONDS
    with httpx.stream("GET", f"{served.url}/v1/jobs/{job_id}/events", timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        os.kill(pid, signal.SIGKILL)
        try:
            for _ in lines:
                assert time.monotonic() < deadline, "the stream goes on"
            while runs(worker):
                assert time.monotonic() < deadline, "the process goes on"
                time.sleep(0.1)
        finally:
            if runs(worker):
                os.kill(int(worker), signal.SIGKILL)


def runs(pid: str) -> bool:
    """Whether there is such a process, and not only what is left of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
