"""What S3 knows of a job outlasts Redis."""

from datetime import UTC, datetime

import pytest

from shared.archive import Archive
from shared.jobs import (
    ErrorCode,
    Idempotency,
    JobEnd,
    JobError,
    JobStatus,
    Priority,
    StoredRequest,
)
from shared.parameters import Parameters
from shared.records import new_job_id
from shared.storage import Storage, StorageCorrupt, end_key, request_key
from tests.shared.conftest import job_request

NOW = datetime(2026, 5, 4, 3, 2, 1, 123000, tzinfo=UTC)
END = JobEnd(
    status=JobStatus.FAILED,
    finished_at=NOW,
    output=None,
    error=JobError(code=ErrorCode.DIVERGED, message="the loss is not a number"),
)


@pytest.fixture
def archive(storage: Storage) -> Archive:
    return Archive(storage)


def stored_request() -> StoredRequest:
    request = job_request(
        owner="somebody",
        priority=Priority.LOW,
        params=Parameters.model_validate({"preset": "neural-style", "seed": 2**62}),
        metadata={"note": "héllo \U0001f3a8", "nested": {"n": [1, 2.5, None, True]}},
        webhook="https://example.com/hook?token=1",
        retried_from=new_job_id(),
    )
    idempotency = Idempotency(key_sha256="1" * 64, request_sha256="2" * 64)
    return StoredRequest(**dict(request), created_at=NOW, idempotency=idempotency)


def test_a_request_is_read_as_it_was_written(archive: Archive) -> None:
    request = stored_request()
    archive.write_request(request)
    assert archive.request(request.id) == request


def test_an_end_is_read_as_it_was_written(archive: Archive) -> None:
    job_id = new_job_id()
    archive.write_end(job_id, END)
    assert archive.end(job_id) == END


def test_nothing_is_known_of_a_job_that_was_never_asked_for(archive: Archive) -> None:
    job_id = new_job_id()
    assert archive.request(job_id) is None
    assert archive.end(job_id) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"id": 5}'])
def test_what_cannot_be_read_is_no_missing_job(
    archive: Archive, storage: Storage, damage: bytes
) -> None:
    job_id = new_job_id()
    storage.put(request_key(job_id), damage, "application/json")
    storage.put(end_key(job_id), damage, "application/json")
    with pytest.raises(StorageCorrupt, match=request_key(job_id)):
        archive.request(job_id)
    with pytest.raises(StorageCorrupt, match=end_key(job_id)):
        archive.end(job_id)


def test_half_a_request_is_told_from_a_whole_one(archive: Archive, storage: Storage) -> None:
    request = stored_request()
    whole = request.model_dump_json().encode()
    storage.put(request_key(request.id), whole[: len(whole) // 2], "application/json")
    with pytest.raises(StorageCorrupt):
        archive.request(request.id)


def test_a_request_under_another_id_is_not_taken_for_that_job(
    archive: Archive, storage: Storage
) -> None:
    job_id = new_job_id()
    other = stored_request()
    storage.put(request_key(job_id), other.model_dump_json().encode(), "application/json")
    with pytest.raises(StorageCorrupt, match=other.id):
        archive.request(job_id)


def test_a_fault_does_not_repeat_what_was_asked_for(archive: Archive, storage: Storage) -> None:
    job_id = new_job_id()
    storage.put(request_key(job_id), b'{"id": {"secret": "token"}}', "application/json")
    with pytest.raises(StorageCorrupt) as caught:
        archive.request(job_id)
    assert "token" not in str(caught.value)
