"""`impasto worker` says in a sentence why it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from client.cli import main
from shared.jobs import ErrorCode
from shared.settings import Settings
from worker.engine import Diverged, InvalidInput


@pytest.fixture(autouse=True)
def _never_becomes_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object) -> None:
        raise AssertionError("the worker was started")

    monkeypatch.setattr("os.execve", started)


def start(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["worker", *arguments])


def sentence(result: Result) -> str:
    assert result.exit_code == 1, result.exception
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_weights_that_are_not_there_stop_a_worker() -> None:
    said = sentence(start(IMPASTO_WEIGHTS="/nonexistent.pth"))
    assert "/nonexistent.pth" in said
    assert "oxford-q8" in said  # what to do


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".txt"])
@pytest.mark.parametrize("data", [b"", b"not weights at all" * 99, b"PK\x03\x04" + bytes(500)])
def test_a_corrupt_file_stops_a_worker(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"vgg19{suffix}"
    path.write_bytes(data)
    assert str(path) in sentence(start(IMPASTO_WEIGHTS=str(path)))


def test_the_weights_of_another_network_stop_a_worker(tmp_path: Path) -> None:
    """A file in perfect order, and yet not VGG-19's."""
    path = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    assert str(path) in sentence(start(IMPASTO_WEIGHTS=str(path)))


def test_a_truncated_file_stops_a_worker(tmp_path: Path) -> None:
    path = tmp_path / "vgg19.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    assert str(path) in sentence(start(IMPASTO_WEIGHTS=str(path)))


def test_a_device_that_is_not_there_stops_a_worker() -> None:
    assert "cuda:97" in sentence(start("--device", "cuda:97"))
    assert "abacus" in sentence(start("--device", "abacus"))
    assert "cuda:98" in sentence(start(IMPASTO_DEVICE="cuda:98"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_all_gpus_of_a_machine_without_any_is_said() -> None:
    said = sentence(start("--gpus", "all"))
    assert "no GPU" in said
    assert "CPU" in said


def test_a_child_that_cannot_start_ends_its_worker(settings: Settings, tmp_path: Path) -> None:
    """However it was started: without its network it would take messages and serve none."""
    changes = {
        "IMPASTO_WEIGHTS": "/nonexistent.pth",
        "IMPASTO_REDIS_URL": settings.redis_url.get_secret_value(),
        "IMPASTO_S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
    }
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--concurrency", "1"],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "the worker cannot start" in done.stderr
    assert "there is no weights file '/nonexistent.pth'" in done.stderr


def test_every_error_of_the_engine_that_a_job_can_meet_has_a_code_of_the_api() -> None:
    for kind in (InvalidInput, Diverged):
        assert kind.code in list(ErrorCode)
