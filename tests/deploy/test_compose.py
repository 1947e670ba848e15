"""What people rely on who start docker-compose.yml, and what the Dockerfiles promise.

Nothing is built here: that needs a Docker daemon.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.docker import healthcheck
from shared.connections import connect_impatient
from shared.settings import Settings
from shared.workers import WorkerRegistry
from tests.shared.test_workers import worker

ROOT = Path(__file__).resolve().parents[2]
DOCKER_COMPOSE = Path(sys.executable).with_name("docker-compose")
BASE = ("docker-compose.yml",)
GPU = ("docker-compose.yml", "deploy/compose/gpu.yml")
DOCKERFILES = {
    name: (ROOT / "deploy" / "docker" / f"{name}.Dockerfile").read_text()
    for name in ("api", "worker")
}


def docker_compose(*arguments: str, files: tuple[str, ...] = BASE, **variables: str) -> str:
    """Run docker-compose without the variables of this shell and without a `.env`."""
    command = [str(DOCKER_COMPOSE), "--env-file", os.devnull]
    command += [part for file in files for part in ("--file", file)]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def services(files: tuple[str, ...] = BASE, **variables: str) -> dict[str, Any]:
    found = json.loads(docker_compose("config", "--format", "json", files=files, **variables))
    return dict(found["services"])


@pytest.mark.parametrize("files", [BASE, GPU], ids=["base", "gpu"])
def test_the_files_are_valid(files: tuple[str, ...]) -> None:
    docker_compose("config", "--quiet", files=files)


@pytest.mark.parametrize("files", [BASE, GPU], ids=["base", "gpu"])
def test_nothing_is_reachable_from_other_machines(files: tuple[str, ...]) -> None:
    ports = [port for service in services(files).values() for port in service.get("ports", [])]
    assert {port["target"] for port in ports} == {8080, 9000, 9001}
    assert all(port["host_ip"] == "127.0.0.1" for port in ports)


def test_every_image_has_a_version() -> None:
    images = [service["image"] for service in services().values()]
    for dockerfile in DOCKERFILES.values():
        images += re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    assert len(images) == 7
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name, f"{image} has no tag"
        assert tag != "latest"


def test_our_images_carry_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    for name in ("api", "bucket", "worker"):
        assert services()[name]["image"].endswith(f":{version[1]}")


def test_redis_keeps_jobs_over_a_crash_and_evicts_none() -> None:
    redis = services()["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "everysec"
    assert options["--maxmemory-policy"] == "noeviction"
    assert [volume["target"] for volume in redis["volumes"]] == ["/data"]


def test_one_variable_replaces_the_image_of_minio() -> None:
    assert services()["minio"]["image"].startswith("minio/minio:RELEASE.")
    assert services(MINIO_IMAGE="example/s3:1")["minio"]["image"] == "example/s3:1"


def test_both_sides_get_the_same_credentials() -> None:
    found = services(
        REDIS_PASSWORD="redispassword",
        IMPASTO_S3_ACCESS_KEY_ID="access",
        IMPASTO_S3_SECRET_ACCESS_KEY="secretsecret",
    )
    assert "redispassword" in found["redis"]["command"]
    assert found["redis"]["environment"]["REDISCLI_AUTH"] == "redispassword"
    assert found["minio"]["environment"]["MINIO_ROOT_USER"] == "access"
    assert found["minio"]["environment"]["MINIO_ROOT_PASSWORD"] == "secretsecret"
    for name in ("api", "bucket", "worker"):
        environment = found[name]["environment"]
        assert environment["IMPASTO_REDIS_URL"] == "redis://:redispassword@redis:6379/0"
        assert environment["IMPASTO_S3_ACCESS_KEY_ID"] == "access"
        assert environment["IMPASTO_S3_SECRET_ACCESS_KEY"] == "secretsecret"
    assert "development-only" not in json.dumps(found)


def test_presigned_urls_name_the_port_that_minio_is_published_on() -> None:
    found = services(MINIO_PORT="9555")
    published = {port["target"]: port["published"] for port in found["minio"]["ports"]}
    assert published[9000] == "9555"
    url = found["api"]["environment"]["IMPASTO_S3_PUBLIC_ENDPOINT_URL"]
    assert url == "http://127.0.0.1:9555"


def test_every_variable_that_is_set_for_us_is_a_setting() -> None:
    known = {f"IMPASTO_{name.upper()}" for name in Settings.model_fields}
    for name in ("api", "bucket", "worker"):
        assert set(services()[name]["environment"]) <= known


def test_workers_can_be_scaled() -> None:
    worker = services()["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker


@pytest.mark.parametrize("name", ["api", "worker"])
def test_jobs_are_taken_only_when_redis_and_the_bucket_are_there(name: str) -> None:
    conditions = {to: how["condition"] for to, how in services()[name]["depends_on"].items()}
    assert conditions == {
        "redis": "service_healthy",
        "bucket": "service_completed_successfully",
    }
    assert "healthcheck" in services()["redis"]


def test_a_stopped_worker_has_time_to_give_its_job_back() -> None:
    assert services()["worker"]["stop_grace_period"] == "1m0s"


def test_the_gpu_override_drives_all_gpus() -> None:
    worker = services(GPU)["worker"]
    assert worker["command"] == ["impasto", "worker", "--gpus", "all"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["count"] == -1  # all
    assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_images_run_without_root_and_get_signals(name: str) -> None:
    dockerfile = DOCKERFILES[name]
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    (command,) = re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE)
    assert json.loads(command) == ["impasto", name]  # as a list: no shell keeps the signals
    assert "\nHEALTHCHECK " in dockerfile


@pytest.mark.parametrize("name", ["api", "worker"])
def test_images_install_their_own_extra_at_locked_versions(name: str) -> None:
    assert re.findall(r"^ +sh /source/install\.sh (.+)$", DOCKERFILES[name], re.MULTILINE) == [name]
    install = (ROOT / "deploy" / "docker" / "install.sh").read_text()
    assert "--constraint /source/requirements.lock" in install


def test_the_worker_image_is_not_built_without_the_weights() -> None:
    (check,) = re.findall(r"^RUN python -c (.+)$", DOCKERFILES["worker"], re.MULTILINE)
    assert "verify_weights()" in check


@pytest.mark.parametrize(
    ("name", "modules", "forbidden"),
    [
        ("api", ["api.command", "client.cli"], {"worker", "deploy", "torch"}),
        ("worker", ["worker.app", "worker.commands.worker"], {"api", "deploy", "flask"}),
    ],
)
def test_the_packages_in_an_image_are_enough(
    name: str, modules: list[str], forbidden: set[str], tmp_path: Path
) -> None:
    copied = re.findall(r"^COPY (\w+) \w+$", DOCKERFILES[name], re.MULTILINE)
    for package in copied:
        shutil.copytree(ROOT / package, tmp_path / package)
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    imported = {module.partition(".")[0] for module in done.stdout.split()}
    assert not imported & forbidden


def test_the_healthcheck_knows_workers_that_are_registered(settings: Settings) -> None:
    redis = connect_impatient(settings.redis_url.get_secret_value())
    registry = WorkerRegistry(redis, settings)
    registry.announce(worker("container-7", job_id="01a2015f-5161-725d-9a81-199bd9d00454"))
    try:
        assert healthcheck.missing({"container-7"}, settings) == set()
        assert healthcheck.missing({"container-7", "other"}, settings) == {"other"}
    finally:
        registry.withdraw(worker("container-7"))
    assert healthcheck.missing({"container-7"}, settings) == {"container-7"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="containers run Linux")
def test_the_healthcheck_finds_the_names_of_running_workers() -> None:
    command = [sys.executable, "-c", "input()"]
    environment = {**os.environ, "IMPASTO_WORKER_NAME": "container-7"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        assert "container-7" in healthcheck.worker_names()
        process.communicate(b"\n")


def test_a_worker_stays_healthy_when_redis_is_away() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "IMPASTO_WORKER_NAME": "container-7",
        "IMPASTO_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    script = ROOT / "deploy" / "docker" / "healthcheck.py"
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Redis does not answer" in done.stdout
