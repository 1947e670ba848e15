"""The API on real servers, without workers."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse

from api.app import create_app
from api.rates import PREFIX as RATES
from shared.jobs import Losses, Progress, StoredOutput
from shared.messaging import ProgressWriter
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage, manifest_key, result_key
from tests.conftest import picture_bytes
from tests.faults.proxy import Proxy

CONTENT = picture_bytes("content", 48, 32)
STYLE = picture_bytes("style", 32, 48)
Change = Callable[..., Settings]
Report = Callable[..., Progress]


@pytest.fixture
def change(settings: Settings) -> Change:
    """The settings with some of them changed."""
    return lambda **values: Settings(**{**dict(settings), **values}, _env_file=None)


@pytest.fixture(scope="session")
def application(settings: Settings) -> Any:
    return create_app(settings)


@pytest.fixture
def api(application: Any, valkey: redis.Redis) -> FlaskClient:
    return application.test_client()


def form(*parts: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    """Arguments of a multipart POST; pictures by default, `content=None` leaves one out."""
    files = {"content": CONTENT, "style": STYLE} | fields
    data = MultiDict([(name, value) for name, value in files.items() if value is not None])
    for name, value in parts:
        data.add(name, value)
    body = MultiDict()
    for name, value in data.items(multi=True):
        is_file = isinstance(value, bytes)
        body.add(name, FileStorage(io.BytesIO(value), filename=f"{name}.png") if is_file else value)
    return {"data": body, "content_type": "multipart/form-data"}


def post(api: FlaskClient, *parts: tuple[str, Any], **fields: Any) -> TestResponse:
    return api.post("/v1/jobs", **form(*parts, **fields))


@dataclass(frozen=True)
class Traces:
    """What requests leave behind: objects in S3 and keys in Redis, but that they were counted."""

    storage: Storage
    valkey: redis.Redis

    def all(self) -> tuple[frozenset[str], frozenset[str]]:
        pages = self.storage._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.storage._bucket
        )
        objects = {item["Key"] for page in pages for item in page.get("Contents", [])}
        keys = {key for key in self.valkey.keys("*") if not key.startswith(f"{RATES}:")}
        return frozenset(objects), frozenset(keys)

    def jobs(self) -> set[str]:
        """Ids of the jobs of which something lies in S3."""
        return {key.split("/")[1] for key in self.all()[0] if key.startswith("jobs/")}


@pytest.fixture(scope="module")
def connections(url: str) -> Iterator[httpx.Client]:
    """Connections that are kept to the API that a module of tests serves at `url`."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def traces(storage: Storage, valkey: redis.Redis) -> Traces:
    return Traces(storage, valkey)


@pytest.fixture
def redis_line(settings: Settings) -> Iterator[Proxy]:
    """The network between the API and Redis."""
    with Proxy(_address(settings.redis_url.get_secret_value())) as proxy:
        yield proxy


@pytest.fixture
def storage_line(settings: Settings) -> Iterator[Proxy]:
    """The network between the API and S3."""
    with Proxy(_address(str(settings.s3_endpoint_url))) as proxy:
        yield proxy


@pytest.fixture
def through(
    change: Change, redis_line: Proxy, storage_line: Proxy, valkey: redis.Redis
) -> Callable[..., Settings]:
    """Settings that reach both servers through lines that can be broken."""

    def settings(**values: Any) -> Settings:
        url = urlsplit(change().redis_url.get_secret_value())
        address = f":{url.password}@127.0.0.1:{redis_line.port}"
        lines = {
            "redis_url": url._replace(netloc=address).geturl(),
            "s3_endpoint_url": f"http://127.0.0.1:{storage_line.port}",
        }
        return change(**lines | values)

    return settings


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


@pytest.fixture
def paint(records: JobRecords, storage: Storage) -> Callable[[str], StoredOutput]:
    """Does what a worker does, with a picture that is there already."""

    def finish(job_id: str) -> StoredOutput:
        lease = records.claim(job_id, "painter")
        assert isinstance(lease, Lease)
        output = StoredOutput(
            content_type="image/png",
            width_px=48,
            height_px=32,
            size_bytes=len(CONTENT),
            sha256="ab" * 32,
            result_key=result_key(job_id, lease.token, "png"),
            manifest_key=manifest_key(job_id, lease.token),
        )
        storage.put(output.result_key, CONTENT, "image/png")
        storage.put(output.manifest_key, b'{"weights": "oxford-q8"}', "application/json")
        assert records.succeed(lease, output)
        return output

    return finish


@pytest.fixture
def report(settings: Settings) -> Report:
    """Reports progress as a worker does."""
    writer = ProgressWriter(settings)

    def write(job_id: str, step: int, previews: Sequence[int] = ()) -> Progress:
        progress = Progress(
            step=step,
            total_steps=100,
            fraction=step / 100,
            level=1,
            width_px=48,
            height_px=32,
            losses=Losses(content=1.5, style=2.5, tv=0.5, total=4.5),
            steps_per_second=6.0,
            eta_seconds=(100 - step) / 6,
            previews=list(previews),
        )
        writer.write(job_id, progress)
        return progress

    return write
