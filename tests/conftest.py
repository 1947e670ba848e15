"""Real servers for the tests: Valkey and SeaweedFS alone, or the whole system with two workers."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# To be said before anybody loads OpenMP. Processes of tests share the cores, and its threads wait
# for each other busily: with too many, all take several times as long. And sums have one order on
# every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import redis
from PIL import Image

from deploy.embedded.data import DataFolder
from deploy.embedded.servers import start_seaweedfs, start_valkey
from deploy.embedded.stack import Stack
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage

WORKERS = 2
REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "images"


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """The tests do not depend on what the developer's shell sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", None)
        for name in list(os.environ):
            if name.startswith("IMPASTO_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings that reach a real Redis and a real S3 server, without any worker."""
    folder = tmp_path_factory.mktemp("servers")
    with (
        start_valkey(folder / "valkey", folder) as valkey,
        start_seaweedfs(folder / "s3", folder) as seaweedfs,
    ):
        yield Settings.from_environment(valkey.environment | seaweedfs.environment)


@pytest.fixture
def valkey(settings: Settings) -> Iterator[redis.Redis]:
    """The server's client; the server is empty."""
    url = settings.redis_url.get_secret_value()
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def records(valkey: redis.Redis, settings: Settings) -> JobRecords:
    return JobRecords(valkey, settings)


@pytest.fixture(scope="session")
def storage(settings: Settings) -> Storage:
    return Storage(settings)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system, as `impasto up --workers 2` starts it, noticing lost workers sooner."""
    folder = DataFolder(tmp_path_factory.mktemp("stack"))
    with pytest.MonkeyPatch.context() as patch, folder:
        patch.setenv("IMPASTO_HEARTBEAT_SECONDS", "0.5")
        patch.setenv("IMPASTO_LEASE_SECONDS", "5")
        patch.setenv("IMPASTO_RECONCILE_INTERVAL_SECONDS", "1")
        patch.setenv("IMPASTO_REPUBLISH_SECONDS", "2")
        with Stack(folder, workers=WORKERS, port=None, report=print) as stack:
            yield stack


@pytest.fixture(scope="session")
def picture_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes picture files: `picture_file("content", 96, 64)` -> a PNG's path."""
    folder = tmp_path_factory.mktemp("pictures")

    def make(name: str, width: int = 96, height: int = 72) -> Path:
        path = folder / f"{name}-{width}x{height}.png"
        path.write_bytes(picture_bytes(name, width, height))
        return path

    return make


def store_input(storage: Storage, data: bytes, *, may_be_there: bool = True) -> str:
    """Store an image as the API does. Returns its SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    storage.put_input(io.BytesIO(data), sha256, may_be_there=may_be_there)
    return sha256


def picture_bytes(name: str, width: int = 96, height: int = 72, kind: str = "PNG") -> bytes:
    """A smooth picture with some texture; the same for the same name."""
    random = np.random.default_rng(sum(name.encode()))
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(random.uniform(4, 40) * (x * np.cos(a) + y * np.sin(a))) for a in range(9)]
    channels = [sum(waves[i::3]) / 6 + 0.5 + random.normal(0, 0.03, x.shape) for i in range(3)]
    pixels = (np.stack(channels, axis=-1).clip(0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
