"""`impasto worker` says in a sentence why it cannot start."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from client.cli import main
from shared.cores import Cores
from shared.jobs import ErrorCode
from shared.settings import Settings
from worker import app
from worker.commands import worker as command
from worker.engine import Diverged, InvalidInput
from worker.threads import use_threads


@pytest.fixture
def initialise(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Starts the parent process of a worker with these settings, and returns what it dies of."""
    threads = torch.get_num_threads()

    def call(**values: str) -> str:
        monkeypatch.setattr(app, "settings", Settings(**values))
        with pytest.raises(SystemExit) as ended:
            app._on_init()
        said = str(ended.value.code)
        assert said.startswith("Error: ")
        assert "\n" not in said
        return said

    yield call
    use_threads(threads)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Calls `impasto worker` up to where it becomes Celery, and returns its environment then."""
    environments: list[dict[str, str]] = []
    monkeypatch.setattr("os.execve", lambda *call: environments.append(call[2]))

    def call(*arguments: str, **environment: str) -> dict[str, str]:
        result = CliRunner(env=environment).invoke(main, ["worker", *arguments])
        assert result.exit_code == 0, result.output
        return environments.pop()

    return call


def test_weights_that_are_not_there_stop_a_worker(initialise: Callable[..., str]) -> None:
    said = initialise(weights="/nonexistent.pth")
    assert "/nonexistent.pth" in said
    assert "oxford-q8" in said  # what to do


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".txt"])
@pytest.mark.parametrize("data", [b"", b"not weights at all" * 99, b"PK\x03\x04" + bytes(500)])
def test_a_corrupt_file_stops_a_worker(
    initialise: Callable[..., str], tmp_path: Path, suffix: str, data: bytes
) -> None:
    path = tmp_path / f"vgg19{suffix}"
    path.write_bytes(data)
    assert str(path) in initialise(weights=str(path))


def test_the_weights_of_another_network_stop_a_worker(
    initialise: Callable[..., str], tmp_path: Path
) -> None:
    """A file in perfect order, and yet not VGG-19's."""
    path = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    assert str(path) in initialise(weights=str(path))


def test_a_truncated_file_stops_a_worker(initialise: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "vgg19.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    assert str(path) in initialise(weights=str(path))


def test_the_option_and_the_setting_name_the_device(
    become: Callable[..., dict[str, str]],
) -> None:
    assert become("--device", "cuda:97")["IMPASTO_DEVICE"] == "cuda:97"
    assert become(IMPASTO_DEVICE="cuda:98")["IMPASTO_DEVICE"] == "cuda:98"
    assert become()["IMPASTO_DEVICE"] == "auto"


def test_the_command_does_not_import_pytorch_only_for_celery_to_do_it_again() -> None:
    script = "import sys, worker.commands.worker; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"False\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_all_gpus_of_a_machine_without_any_is_said() -> None:
    result = CliRunner().invoke(main, ["worker", "--gpus", "all"])
    assert result.exit_code == 1
    assert "no GPU" in result.stderr
    assert "CPU" in result.stderr


def test_each_gpu_gets_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(command.subprocess, "Popen", lambda _, env: started.append(env))
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(command.Cores, "usable", lambda: Cores(count=12, pool=""))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(command.time, "sleep", interrupted)
    with pytest.raises(InterruptedError):
        command._one_for_each_gpu("name", None, "WARNING")
    assert [env["CUDA_VISIBLE_DEVICES"] for env in started] == ["0", "1", "2"]
    assert {env["IMPASTO_THREADS"] for env in started} == {"4"}


def interrupted(_: float) -> None:
    raise InterruptedError


def celery(settings: Settings, **changes: str) -> "subprocess.CompletedProcess[str]":
    """A worker as Celery itself starts it, until it ends."""
    environment = {
        "IMPASTO_REDIS_URL": settings.redis_url.get_secret_value(),
        "IMPASTO_S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
        **changes,
    }
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--concurrency", "1"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_worker_that_cannot_start_ends_with_a_sentence(settings: Settings) -> None:
    done = celery(settings, IMPASTO_WEIGHTS="/nonexistent.pth")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: there is no weights file '/nonexistent.pth'")


def test_a_child_that_cannot_start_ends_its_worker(settings: Settings) -> None:
    """However it was started: it would take messages and serve none. The parent does not ask for
    its device, since CUDA that was asked does not survive a fork."""
    done = celery(settings, IMPASTO_DEVICE="cuda:97")
    assert done.returncode != 0
    assert "the worker cannot start" in done.stderr
    assert "cuda:97" in done.stderr


def test_every_error_of_the_engine_that_a_job_can_meet_has_a_code_of_the_api() -> None:
    for kind in (InvalidInput, Diverged):
        assert kind.code in list(ErrorCode)
