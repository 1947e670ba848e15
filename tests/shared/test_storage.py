"""Storage on a real S3 server."""

import hashlib
import time
import uuid
from collections.abc import Callable

import httpx
import pytest

from shared.settings import Settings
from shared.storage import (
    STORAGE_ERRORS,
    ObjectMissing,
    Storage,
    input_key,
    manifest_key,
    preview_key,
    result_key,
)
from tests.conftest import store_input

Change = Callable[..., Settings]


@pytest.fixture
def change(settings: Settings) -> Change:
    """The settings with some of them changed."""
    return lambda **values: Settings(**{**dict(settings), **values}, _env_file=None)


def fresh_key() -> str:
    return f"tests/{uuid.uuid4()}"


def test_what_is_put_is_got_and_can_be_replaced(storage: Storage) -> None:
    key = fresh_key()
    storage.put(key, b"first", "text/plain")
    assert storage.get(key) == b"first"
    storage.put(key, b"\0second" * 100_000, "text/plain")
    assert storage.get(key) == b"\0second" * 100_000


def test_what_is_not_there_is_missing_and_nothing_worse(storage: Storage) -> None:
    key = fresh_key()
    assert not storage.exists(key)
    with pytest.raises(ObjectMissing, match=key):
        storage.get(key)


def test_an_input_is_stored_once_under_its_hash(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = uuid.uuid4().bytes
    digest = store_input(storage, data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert storage.get(input_key(digest)) == data

    def put(**_: object) -> None:
        raise AssertionError("stored twice")

    monkeypatch.setattr(storage._writer, "put_object", put)
    assert store_input(storage, data) == digest


def test_anybody_can_fetch_a_presigned_url_as_the_file_it_names(storage: Storage) -> None:
    key = fresh_key()
    storage.put(key, b"picture", "image/png")
    answer = httpx.get(storage.presigned_url(key, "mine.png"))
    assert answer.content == b"picture"
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == 'inline; filename="mine.png"'


def test_a_presigned_url_opens_its_object_only(storage: Storage, settings: Settings) -> None:
    key, other = fresh_key(), fresh_key()
    for name in (key, other):
        storage.put(name, b"picture", "image/png")
    url = storage.presigned_url(key, "mine.png")
    assert httpx.get(url.replace(key, other)).status_code == 403
    assert httpx.put(url, content=b"mine").status_code == 403
    plain = f"{settings.s3_endpoint_url}/{settings.s3_bucket}/{key}"
    assert httpx.get(plain).status_code == 403
    assert storage.get(key) == b"picture"


def test_a_presigned_url_ends_in_time(change: Change) -> None:
    storage = Storage(change(presigned_url_seconds=1))
    key = fresh_key()
    storage.put(key, b"picture", "image/png")
    url = storage.presigned_url(key, "mine.png")
    time.sleep(2.1)  # the server's clock has whole seconds
    assert httpx.get(url).status_code == 403


def test_presigned_urls_point_to_the_public_endpoint(change: Change) -> None:
    storage = Storage(change(s3_public_endpoint_url="https://pictures.example:8333"))
    assert storage.presigned_url("k", "f").startswith("https://pictures.example:8333/impasto/k?")


def test_wrong_keys_and_missing_buckets_are_errors_not_missing_objects(change: Change) -> None:
    for wrong in (
        Storage(change(s3_secret_access_key="wrong"), patient=False),
        Storage(change(s3_access_key_id="nobody"), patient=False),
    ):
        for attempt in (wrong.ping, lambda w=wrong: w.exists("k"), lambda w=wrong: w.get("k")):
            with pytest.raises(STORAGE_ERRORS):
                attempt()
        with pytest.raises(STORAGE_ERRORS):
            wrong.put("k", b"", "text/plain")
    with pytest.raises(STORAGE_ERRORS):
        Storage(change(s3_bucket="elsewhere"), patient=False).ping()


def test_a_bucket_is_made_once(change: Change) -> None:
    storage = Storage(change(s3_bucket=f"made-{uuid.uuid4().hex[:8]}"))
    storage.create_bucket()
    storage.create_bucket()
    storage.put("k", b"v", "text/plain")
    assert storage.get("k") == b"v"


def test_an_impatient_client_gives_up_in_time_for_a_request(change: Change) -> None:
    started = time.monotonic()
    with pytest.raises(STORAGE_ERRORS):
        Storage(change(s3_endpoint_url="http://127.0.0.1:9"), patient=False).ping()
    assert time.monotonic() - started < 3


def test_each_attempt_of_each_job_has_keys_of_its_own() -> None:
    keys = [
        key
        for job in ("a", "b")
        for fence in (1, 2)
        for key in (result_key(job, fence, "png"), manifest_key(job, fence))
    ]
    keys += [preview_key("a", 1), preview_key("a", 2), preview_key("b", 1), input_key("a")]
    assert len(set(keys)) == len(keys)
