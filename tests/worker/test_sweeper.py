"""What is not needed any more goes, also from S3, whatever happens meanwhile."""

import time
import uuid
from collections.abc import Callable

import pytest
import redis
from botocore.exceptions import EndpointConnectionError
from structlog.testing import capture_logs

from shared import garbage, names
from shared.archive import Archive
from shared.garbage import Garbage
from shared.jobs import Inputs, JobRequest, StoredRequest
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, checkpoint_key, input_key, job_prefix, preview_key, result_key
from tests.conftest import store_input
from tests.shared.conftest import job_request
from worker import sweeper as module
from worker.sweeper import Sweeper

LONG_AGO = 1.0
MakeSweeper = Callable[..., Sweeper]


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    """Settings that keep inputs that nobody uses for a moment only."""
    return Settings(**{**dict(settings), "unused_input_seconds": 0.001}, _env_file=None)


@pytest.fixture
def make(valkey: redis.Redis, hasty: Settings, storage: Storage) -> MakeSweeper:
    def make(s3: Storage = storage, interval_seconds: float = 60.0) -> Sweeper:
        return Sweeper(valkey, Garbage(valkey, hasty), s3, interval_seconds)

    return make


class DyingStorage(Storage):
    """Takes the worker with it when it has removed so many objects."""

    def __init__(self, settings: Settings, removals: int) -> None:
        super().__init__(settings)
        self._left = removals

    def delete(self, key: str) -> None:
        super().delete(key)
        self._left -= 1
        if self._left == 0:
            raise SystemExit


def new_input(storage: Storage) -> str:
    return store_input(storage, uuid.uuid4().bytes)


def finished_job(records: JobRecords, storage: Storage, content: str, *styles: str) -> JobRequest:
    """A canceled job that has left something of everything in S3."""
    request = job_request(inputs=Inputs(content=content, styles=list(styles)))
    Archive(storage).write_request(
        StoredRequest(**dict(request), created_at="2026-01-01T00:00:00Z", idempotency=None)
    )
    assert records.create(request) is None
    for key in (
        result_key(request.id, "1-a", "png"),
        checkpoint_key(request.id, "1-a", 5, "f" * 64),
        preview_key(request.id, 1),
    ):
        storage.put(key, b"bytes", "application/octet-stream")
    records.cancel(request.id)
    return request


def objects(storage: Storage, job_id: str) -> list[str]:
    return list(storage.keys(job_prefix(job_id)))


def let_time_pass(valkey: redis.Redis) -> None:
    """Everything that waits to be removed is due."""
    for key in (names.GARBAGE, names.UNUSED_INPUTS):
        for member in list(valkey.zrange(key, 0, -1)):
            valkey.zadd(key, {str(member): LONG_AGO})
    for digest in list(valkey.scan_iter(names.input_deleting("*"))):
        valkey.delete(digest)


def test_an_expired_job_goes_with_all_that_only_it_needed(
    make: MakeSweeper, records: JobRecords, storage: Storage, valkey: redis.Redis
) -> None:
    own, others, shared = (new_input(storage) for _ in range(3))
    expired = finished_job(records, storage, own, shared)
    kept = finished_job(records, storage, others, shared)
    valkey.zadd(names.EXPIRY, {expired.id: LONG_AGO})

    make().run()
    time.sleep(0.005)
    make().run()

    assert records.get(expired.id) is None
    assert objects(storage, expired.id) == []
    assert not storage.exists(input_key(own))
    assert records.get(kept.id) is not None
    assert len(objects(storage, kept.id)) == 4
    assert storage.exists(input_key(others))
    assert storage.exists(input_key(shared))


def test_what_a_straggler_stores_after_the_removal_goes_an_hour_later(
    make: MakeSweeper, records: JobRecords, storage: Storage, valkey: redis.Redis
) -> None:
    job = finished_job(records, storage, new_input(storage))
    valkey.zadd(names.EXPIRY, {job.id: LONG_AGO})
    make().run()
    assert objects(storage, job.id) == []
    storage.put(result_key(job.id, "2-b", "png"), b"late", "image/png")

    let_time_pass(valkey)
    make().run()
    assert objects(storage, job.id) == []

    assert valkey.zcard(names.GARBAGE) == 1
    let_time_pass(valkey)
    make().run()
    assert valkey.zcard(names.GARBAGE) == 0


def test_what_a_straggler_stores_for_a_job_that_was_deleted_goes_an_hour_later(
    make: MakeSweeper, records: JobRecords, storage: Storage, valkey: redis.Redis
) -> None:
    job = finished_job(records, storage, new_input(storage))
    records.delete(job.id)
    storage.delete_prefix(job_prefix(job.id))  # by whoever deletes the job
    make().run()
    storage.put(result_key(job.id, "2-b", "png"), b"late", "image/png")

    let_time_pass(valkey)
    make().run()

    assert objects(storage, job.id) == []


def test_a_worker_that_dies_anywhere_in_between_leaves_nothing_behind(
    make: MakeSweeper,
    records: JobRecords,
    storage: Storage,
    valkey: redis.Redis,
    hasty: Settings,
) -> None:
    for removals in range(1, 6):  # four objects and an input
        content = new_input(storage)
        job = finished_job(records, storage, content)
        records.delete(job.id)
        let_time_pass(valkey)
        with pytest.raises(SystemExit):
            make(DyingStorage(hasty, removals)).run()
        # What is left of it does not look like a job that waits.
        assert Archive(storage).request(job.id) is None

        for _ in range(2):
            let_time_pass(valkey)
            make().run()

        assert objects(storage, job.id) == []
        assert not storage.exists(input_key(content))
        assert valkey.zcard(names.GARBAGE) == valkey.zcard(names.UNUSED_INPUTS) == 0
        assert Garbage(valkey, hasty).touch_inputs([content]) == set()
        valkey.delete(names.UNUSED_INPUTS)


def test_while_s3_is_away_jobs_expire_and_their_objects_go_later(
    make: MakeSweeper,
    records: JobRecords,
    storage: Storage,
    valkey: redis.Redis,
    hasty: Settings,
) -> None:
    jobs = [finished_job(records, storage, new_input(storage)) for _ in range(3)]
    valkey.zadd(names.EXPIRY, {job.id: LONG_AGO for job in jobs})
    away = Storage(
        hasty.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"}), patient=False
    )
    with pytest.raises(EndpointConnectionError):
        away.ping()

    with capture_logs() as logs:
        make(away).run()

    assert [log["log_level"] for log in logs] == ["warning", "info"]
    assert records.get_many([job.id for job in jobs]) == []
    assert all(objects(storage, job.id) for job in jobs)

    let_time_pass(valkey)
    make().run()
    assert not any(objects(storage, job.id) for job in jobs)


def test_much_garbage_does_not_keep_a_worker_busy_for_long(
    make: MakeSweeper,
    storage: Storage,
    valkey: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefixes = {job_prefix(f"ghost-{number}"): LONG_AGO for number in range(2000)}
    valkey.zadd(names.GARBAGE, prefixes)
    digest = new_input(storage)
    valkey.zadd(names.UNUSED_INPUTS, {digest: LONG_AGO})
    monkeypatch.setattr(module, "SECONDS", 0.3)

    make().run()

    assert 0 < valkey.zcard(names.GARBAGE) < len(prefixes)
    assert not storage.exists(input_key(digest))  # nor does it keep from the rest


def test_a_removal_that_took_too_long_is_told(
    make: MakeSweeper,
    storage: Storage,
    valkey: redis.Redis,
    hasty: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SlowStorage(Storage):
        def delete(self, key: str) -> None:
            time.sleep(0.1)
            super().delete(key)

    monkeypatch.setattr(garbage, "REMOVING_SECONDS", 0.05)
    monkeypatch.setattr(module, "SECONDS", 0.05)
    digest = new_input(storage)
    valkey.zadd(names.UNUSED_INPUTS, {digest: LONG_AGO})
    with capture_logs() as logs:
        make(SlowStorage(hasty)).run()
    assert [log["digest"] for log in logs if log["log_level"] == "error"] == [digest]


def test_a_quiet_system_is_swept_without_a_word(make: MakeSweeper, valkey: redis.Redis) -> None:
    with capture_logs() as logs:
        make().run()
    assert logs == []


def test_one_of_many_workers_sweeps_in_every_interval(
    make: MakeSweeper, records: JobRecords, storage: Storage, valkey: redis.Redis
) -> None:
    first, second = (finished_job(records, storage, new_input(storage)) for _ in range(2))
    for job in (first, second):
        valkey.zadd(names.EXPIRY, {job.id: LONG_AGO})
        make().run_if_due()
    assert objects(storage, first.id) == []
    assert objects(storage, second.id) != []
