"""Redis is lost: what S3 knows of the jobs writes their records again."""

import hashlib
import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from shared import names
from shared.archive import Archive
from shared.garbage import Garbage
from shared.idempotency import IdempotencyKeys, Ticket
from shared.jobs import (
    ANONYMOUS,
    Checkpoint,
    ErrorCode,
    Idempotency,
    Inputs,
    JobEnd,
    JobError,
    JobRecord,
    JobStatus,
    Output,
    Priority,
    StoredOutput,
    StoredRequest,
)
from shared.records import JobRecords, Lease, Refusal
from shared.recovery import Outcome, Recovery, Report
from shared.settings import Settings
from shared.storage import (
    Storage,
    checkpoint_key,
    end_key,
    input_key,
    job_prefix,
    manifest_key,
    preview_key,
    request_key,
    result_key,
)
from tests.conftest import store_input
from tests.shared.conftest import job_request

PICTURE = b"a picture"
ERROR = JobError(code=ErrorCode.DIVERGED, message="the loss is not a number")
# What S3 does not know, or what the restored job has anew
FORGOTTEN = {"history", "fence", "attempt", "worker", "started_at", "cancel_requested_at"}


@pytest.fixture(scope="module")
def bucket(settings: Settings) -> Settings:
    """Settings with a bucket of our own: recovery goes through all jobs of a bucket."""
    own = settings.model_copy(update={"s3_bucket": f"recovery-{uuid.uuid4().hex[:8]}"})
    Storage(own).create_bucket()
    return own


@pytest.fixture
def storage(bucket: Settings) -> Iterator[Storage]:
    storage = Storage(bucket)
    yield storage
    storage.delete_prefix("")


@pytest.fixture
def archive(storage: Storage) -> Archive:
    return Archive(storage)


@pytest.fixture
def recovery(
    valkey: redis.Redis, records: JobRecords, storage: Storage, bucket: Settings
) -> Recovery:
    return Recovery(valkey, records, Garbage(valkey, bucket), storage)


class Service:
    """Does to Redis and S3 what API and workers do, in their order."""

    def __init__(self, records: JobRecords, storage: Storage, archive: Archive) -> None:
        self.records = records
        self.storage = storage
        self.archive = archive

    def post(
        self, idempotency: Idempotency | None = None, *, age_seconds: float = 0.0, **fields: Any
    ) -> str:
        inputs = Inputs(
            content=store_input(self.storage, uuid.uuid4().bytes),
            styles=[store_input(self.storage, b"a painting")],
        )
        request = job_request(**{"inputs": inputs} | fields)
        created_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
        self.archive.write_request(
            StoredRequest(**dict(request), created_at=created_at, idempotency=idempotency)
        )
        assert self.records.create(request) is None
        return request.id

    def claim(self, job_id: str) -> Lease:
        lease = self.records.claim(job_id, "w1")
        assert isinstance(lease, Lease)
        return lease

    def store_result(self, lease: Lease, picture: bytes = PICTURE) -> StoredOutput:
        """Upload a result and its manifest."""
        output = Output(
            content_type="image/png",
            width_px=64,
            height_px=48,
            size_bytes=len(picture),
            sha256=hashlib.sha256(picture).hexdigest(),
        )
        result = result_key(lease.job_id, lease.token, "png")
        manifest = manifest_key(lease.job_id, lease.token)
        written = {
            "created_at": datetime.now(UTC).isoformat(),
            "output": output.model_dump(),
            "weights": "oxford-q8",
        }
        self.storage.put(result, picture, "image/png")
        self.storage.put(manifest, json.dumps(written).encode(), "application/json")
        return StoredOutput(**dict(output), result_key=result, manifest_key=manifest)

    def checkpoint(self, lease: Lease, step: int) -> Checkpoint:
        data = f"state at step {step}".encode()
        sha256 = hashlib.sha256(data).hexdigest()
        key = checkpoint_key(lease.job_id, lease.token, step, sha256)
        self.storage.put(key, data, "application/octet-stream")
        checkpoint = Checkpoint(key=key, sha256=sha256, size_bytes=len(data), step=step)
        assert self.records.checkpoint(lease, checkpoint) is not None
        return checkpoint

    def archive_end(self, job_id: str) -> None:
        end = self.get(job_id).end
        assert end is not None
        self.archive.write_end(job_id, end)

    def succeeded(self, **fields: Any) -> str:
        lease = self.claim(self.post(**fields))
        assert self.records.succeed(lease, self.store_result(lease))
        self.archive_end(lease.job_id)
        return lease.job_id

    def failed(self) -> str:
        lease = self.claim(self.post())
        assert self.records.fail(lease, ERROR)
        self.archive_end(lease.job_id)
        return lease.job_id

    def canceled(self) -> str:
        job_id = self.post()
        self.records.cancel(job_id)
        self.archive_end(job_id)
        return job_id

    def get(self, job_id: str) -> JobRecord:
        found = self.records.get(job_id)
        assert found is not None
        return found[0]


@pytest.fixture
def service(records: JobRecords, storage: Storage, archive: Archive) -> Service:
    return Service(records, storage, archive)


def everything(valkey: redis.Redis) -> dict[str, Any]:
    """All that Redis holds."""
    return {key: valkey.dump(key) for key in map(str, valkey.scan_iter("*"))}


def counts(report: Report) -> dict[Outcome, int]:
    return {outcome: number for outcome, number in report.jobs.items() if number}


# -- a lost Redis -------------------------------------------------------------------------------


def test_jobs_in_every_state_are_as_they_were_when_redis_was_lost(
    service: Service, recovery: Recovery, valkey: redis.Redis, settings: Settings
) -> None:
    waiting = service.post(
        owner="somebody",
        priority=Priority.HIGH,
        metadata={"note": "héllo"},
        webhook="https://example.com/hook",
        retried_from="another",
    )
    running = service.post()
    service.claim(running)
    ended = [service.succeeded(), service.failed(), service.canceled()]
    jobs = [waiting, running, *ended]
    before = {job_id: service.get(job_id) for job_id in jobs}
    inputs = valkey.hgetall(names.INPUT_USES)
    valkey.flushall()

    report = recovery.run()

    assert report.restored == len(jobs)
    assert counts(report) == {
        Outcome.QUEUED: 2,
        Outcome.SUCCEEDED: 1,
        Outcome.FAILED: 1,
        Outcome.CANCELED: 1,
    }
    for job_id in jobs:
        old, new = before[job_id], service.get(job_id)
        forgotten = FORGOTTEN | ({"status"} if job_id == running else set())
        if job_id in ended:  # to the millisecond, as S3 has them
            assert new.finished_at is not None
            assert old.finished_at is not None
            assert new.expires_at is not None
            assert abs(new.finished_at - old.finished_at) < timedelta(milliseconds=2)
            kept = (new.expires_at - new.finished_at).total_seconds()
            assert kept == pytest.approx(settings.retention_seconds, abs=0.01)
        times = {"created_at", "finished_at", "expires_at"}
        assert new.model_dump(exclude=forgotten | times) == old.model_dump(
            exclude=forgotten | times
        )
        assert abs(new.created_at - old.created_at) < timedelta(seconds=5)
    assert service.get(running).status == JobStatus.QUEUED
    assert valkey.hgetall(names.INPUT_USES) == inputs
    assert valkey.hgetall(names.STATUSES) == {
        "queued": "2",
        "succeeded": "1",
        "failed": "1",
        "canceled": "1",
    }
    assert valkey.hgetall(names.UNFINISHED) == {ANONYMOUS: "1", "somebody": "1"}
    assert valkey.zrange(names.QUEUE, 0, -1) == [waiting, running]
    assert valkey.zrange(names.EXPIRY, 0, -1) == sorted(
        ended, key=lambda job_id: before[job_id].finished_at
    )


def test_restored_jobs_are_sent_to_workers_and_run_to_their_end(
    service: Service, recovery: Recovery, records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = service.post()
    stale = service.claim(job_id)
    valkey.flushall()
    recovery.run()

    assert [due.job_id for due in records.take_due(10)] == [job_id]
    lease = service.claim(job_id)
    assert lease.fence > stale.fence
    assert lease.attempt == 1
    assert not records.succeed(stale, service.store_result(stale))
    output = service.store_result(lease)
    assert records.succeed(lease, output)
    assert service.get(job_id).output == output


def test_a_restored_job_goes_on_from_its_newest_checkpoints(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    lease = service.claim(service.post())
    checkpoints = [service.checkpoint(lease, step) for step in (5, 90, 100)]
    valkey.flushall()

    report = recovery.run()

    assert counts(report) == {Outcome.RESUMED: 1}
    assert service.get(lease.job_id).checkpoints == [checkpoints[2], checkpoints[1]]


def test_the_checkpoints_of_a_later_claim_are_newer(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    job_id = service.post()
    service.checkpoint(service.claim(job_id), 700)
    for _ in range(9):  # 10 comes after 9, though not in an alphabet
        valkey.hset(names.record(job_id), "lease_until", 1)
        valkey.hset(names.record(job_id), "attempt", 0)
        newest = service.checkpoint(service.claim(job_id), 20)
    valkey.flushall()
    recovery.run()
    assert service.get(job_id).checkpoints[0] == newest


def test_a_job_whose_picture_is_whole_has_succeeded_though_nobody_could_say_so(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    lease = service.claim(service.post())
    service.checkpoint(lease, 5)
    output = service.store_result(lease)
    valkey.flushall()

    assert counts(recovery.run()) == {Outcome.SUCCEEDED: 1}

    record = service.get(lease.job_id)
    assert record.output == output
    assert record.finished_at is not None
    assert record.checkpoints == []


def test_of_two_whole_pictures_that_of_the_later_claim_counts(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    job_id = service.post()
    service.store_result(service.claim(job_id), b"the stale one")
    for _ in range(9):
        valkey.hset(names.record(job_id), "lease_until", 1)
        valkey.hset(names.record(job_id), "attempt", 0)
        output = service.store_result(service.claim(job_id), b"a newer one")
    assert service.get(job_id).fence == 10  # 10 comes after 9, though not in an alphabet
    valkey.flushall()
    recovery.run()
    assert service.get(job_id).output == output


def test_a_damaged_picture_is_not_taken_for_a_result_and_an_older_whole_one_is(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    job_id = service.post()
    output = service.store_result(service.claim(job_id))
    valkey.hset(names.record(job_id), "lease_until", 1)
    damaged = service.store_result(service.claim(job_id))
    service.storage.put(damaged.result_key, PICTURE[:-1], "image/png")
    valkey.flushall()
    recovery.run()
    assert service.get(job_id).output == output


@pytest.mark.parametrize("damage", ["result", "manifest", "no manifest", "no result"])
def test_a_job_without_a_whole_picture_is_painted_again(
    service: Service, recovery: Recovery, valkey: redis.Redis, damage: str
) -> None:
    lease = service.claim(service.post())
    output = service.store_result(lease)
    match damage:
        case "result":
            service.storage.put(output.result_key, b"", "image/png")
        case "manifest":
            service.storage.put(output.manifest_key, b'{"output": {}', "application/json")
        case "no manifest":
            service.storage.delete(output.manifest_key)
        case "no result":
            service.storage.delete(output.result_key)
    valkey.flushall()
    assert counts(recovery.run()) == {Outcome.QUEUED: 1}
    assert service.get(lease.job_id).output is None


@pytest.mark.parametrize("end", [b"", b'{"status": "succeeded"}', b'{"status": "queued"}'])
def test_an_end_that_cannot_be_read_does_not_lose_the_job(
    service: Service, recovery: Recovery, valkey: redis.Redis, end: bytes
) -> None:
    job_id = service.succeeded()
    output = service.get(job_id).output
    service.storage.put(end_key(job_id), end, "application/json")
    valkey.flushall()
    assert counts(recovery.run()) == {Outcome.SUCCEEDED: 1}
    assert service.get(job_id).output == output


def test_an_end_that_is_none_does_not_end_a_job(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    job_id = service.post()
    end = JobEnd(status=JobStatus.RUNNING, finished_at=datetime.now(UTC), output=None, error=None)
    service.archive.write_end(job_id, end)
    valkey.flushall()
    assert counts(recovery.run()) == {Outcome.QUEUED: 1}


def begin(keys: IdempotencyKeys) -> Ticket | str:
    """What one more request with the key gets: a ticket, or the id of the job."""
    ticket = Ticket.draw(ANONYMOUS, "the key", "2" * 64)
    return keys.begin(ticket) or ticket


def test_idempotency_keys_are_known_again_for_as_long_as_they_were(
    service: Service, recovery: Recovery, valkey: redis.Redis, settings: Settings
) -> None:
    keys = IdempotencyKeys(valkey)
    ticket = begin(keys)
    assert not isinstance(ticket, str)
    valkey.flushall()
    job_id = service.post(ticket.idempotency, age_seconds=1000)
    forgotten = service.post(
        Idempotency(key_sha256="3" * 64, request_sha256="2" * 64),
        age_seconds=settings.idempotency_seconds + 10,
    )
    valkey.flushall()

    recovery.run()

    assert begin(keys) == job_id
    key = names.idempotency(ANONYMOUS, ticket.idempotency.key_sha256)
    left = settings.idempotency_seconds - 1000
    assert left - 60 < valkey.ttl(key) <= left + 1
    assert service.get(forgotten).status == JobStatus.QUEUED
    assert not valkey.exists(names.idempotency(ANONYMOUS, "3" * 64))


def test_an_idempotency_key_is_not_taken_from_the_job_that_it_made_meanwhile(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    keys = IdempotencyKeys(valkey)
    ticket = begin(keys)
    assert not isinstance(ticket, str)
    lost = job_request()
    service.archive.write_request(
        StoredRequest(**dict(lost), created_at=datetime.now(UTC), idempotency=ticket.idempotency)
    )
    job = job_request()
    assert service.records.create(job, ticket) is None

    recovery.run()

    assert begin(keys) == job.id
    assert service.get(lost.id).status == JobStatus.QUEUED


def test_a_request_that_is_worked_on_makes_no_second_job_beside_the_restored_one(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    keys = IdempotencyKeys(valkey)
    ticket = begin(keys)
    assert not isinstance(ticket, str)
    job_id = service.post(ticket.idempotency)
    valkey.flushall()
    again = begin(keys)
    assert not isinstance(again, str)

    recovery.run()

    assert service.records.create(job_request(), again) == Refusal.SUPERSEDED
    assert begin(keys) == job_id


def test_webhooks_of_jobs_that_ended_lately_are_sent_again_and_older_ones_are_not(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    recent, old = (service.succeeded(webhook="https://example.com/") for _ in range(2))
    service.succeeded()
    end = service.get(old).end
    assert end is not None
    earlier = end.model_copy(update={"finished_at": end.finished_at - timedelta(days=2)})
    service.archive.write_end(old, earlier)
    valkey.flushall()
    recovery.run()
    assert valkey.zrange(names.OUTBOX, 0, -1) == [recent]


def test_inputs_that_only_lost_records_named_are_kept_and_the_others_are_removed_in_time(
    service: Service, recovery: Recovery, valkey: redis.Redis, storage: Storage
) -> None:
    service.post()
    service.post()
    unused = store_input(storage, b"nobody's")
    valkey.flushall()

    report = recovery.run()

    assert report.unused_inputs == 1
    assert valkey.zrange(names.UNUSED_INPUTS, 0, -1) == [unused]
    assert sorted(map(int, valkey.hvals(names.INPUT_USES))) == [1, 1, 2]


def test_owners_whose_api_key_is_lost_are_named(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    for owner in ("lost", "known", ANONYMOUS):
        service.post(owner=owner)
    valkey.flushall()
    valkey.hset(names.KEYS, "known", "{}")
    assert recovery.run().owners == {"lost"}


def test_more_jobs_than_fit_on_a_page_of_s3_are_all_found(
    valkey: redis.Redis, records: JobRecords, settings: Settings
) -> None:
    own = settings.model_copy(update={"s3_bucket": f"recovery-{uuid.uuid4().hex[:8]}"})
    storage = Storage(own)
    storage.create_bucket()
    archive, now = Archive(storage), datetime.now(UTC)
    requests = [
        StoredRequest(**dict(job_request()), created_at=now, idempotency=None) for _ in range(1050)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(archive.write_request, requests))
    told: list[tuple[int, int]] = []

    report = Recovery(valkey, records, Garbage(valkey, own), storage).run(
        lambda done, total: told.append((done, total))
    )

    assert counts(report) == {Outcome.QUEUED: 1050}
    assert len(records.get_many([request.id for request in requests])) == 1050
    assert told[0] == (0, 1050)
    assert told[-1] == (1050, 1050)
    assert told == sorted(told)


# -- what is there stays ------------------------------------------------------------------------


def test_running_it_twice_changes_nothing(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    service.post(Idempotency(key_sha256="1" * 64, request_sha256="2" * 64))
    service.succeeded(webhook="https://example.com/")
    service.checkpoint(service.claim(service.post()), 5)
    store_input(service.storage, b"nobody's")
    valkey.flushall()
    recovery.run()
    before = everything(valkey)

    report = recovery.run()

    assert counts(report) == {Outcome.KNOWN: 3}
    assert everything(valkey) == before


def test_a_live_system_is_not_changed(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    service.post()
    service.succeeded()
    lease = service.claim(service.post())
    service.checkpoint(lease, 5)
    service.store_result(lease)  # and is about to say so
    before = everything(valkey)

    assert counts(recovery.run()) == {Outcome.KNOWN: 3}

    assert everything(valkey) == before


def test_a_deleted_job_does_not_come_back(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    job_id = service.succeeded()
    assert service.records.delete(job_id)
    assert counts(recovery.run()) == {Outcome.DELETED: 1}
    valkey.delete(names.gone(job_id))  # after a week, in which nobody could sweep
    assert counts(recovery.run()) == {Outcome.DELETED: 1}
    assert service.records.get(job_id) is None


def test_a_job_that_is_deleted_while_recovery_reads_it_does_not_come_back(
    service: Service, records: JobRecords, archive: Archive, valkey: redis.Redis
) -> None:
    job_id = service.succeeded()
    request, end = archive.request(job_id), archive.end(job_id)
    assert request is not None
    assert service.records.delete(job_id)
    assert not records.restore(request, end)
    valkey.delete(names.gone(job_id))
    assert not records.restore(request, end)
    assert records.get(job_id) is None


def test_a_deletion_that_s3_knows_of_outlasts_redis(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    job_id = service.succeeded()
    assert service.records.delete(job_id)
    service.storage.delete_prefix(job_prefix(job_id))
    service.storage.put(preview_key(job_id, 1), b"late", "image/jpeg")
    valkey.flushall()
    report = recovery.run()
    assert counts(report) == {Outcome.LEFTOVER: 1}
    assert report.restored == 0
    assert service.records.get(job_id) is None


def test_a_post_that_is_just_about_to_write_its_record_makes_one_job(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    ticket = begin(IdempotencyKeys(valkey))
    assert not isinstance(ticket, str)
    request = job_request()
    service.archive.write_request(
        StoredRequest(**dict(request), created_at=datetime.now(UTC), idempotency=ticket.idempotency)
    )
    recovery.run()
    assert service.records.create(request, ticket) is None
    assert valkey.hgetall(names.STATUSES) == {"queued": "1"}
    assert valkey.hgetall(names.UNFINISHED) == {ANONYMOUS: "1"}
    assert begin(IdempotencyKeys(valkey)) == request.id


def test_two_recoveries_at_once_restore_each_job_once(
    service: Service, recovery: Recovery, valkey: redis.Redis
) -> None:
    for _ in range(30):
        service.post()
    valkey.flushall()
    start = threading.Barrier(2)
    reports: list[Report] = []

    def run() -> None:
        start.wait()
        reports.append(recovery.run())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(report.restored for report in reports) == 30
    assert valkey.hget(names.STATUSES, "queued") == "30"


# -- what cannot be read ------------------------------------------------------------------------


def test_a_damaged_request_is_named_and_does_not_hold_up_the_others(
    service: Service, recovery: Recovery, valkey: redis.Redis, storage: Storage
) -> None:
    damaged, sound = service.post(), service.post()
    whole = storage.get(request_key(damaged))
    storage.put(request_key(damaged), whole[: len(whole) // 2], "application/json")
    valkey.flushall()

    report = recovery.run()

    assert counts(report) == {Outcome.UNREADABLE: 1, Outcome.QUEUED: 1}
    assert len(report.unreadable) == 1
    assert request_key(damaged) in report.unreadable[0]
    assert service.get(sound).status == JobStatus.QUEUED
    # Its inputs are not given away: it can be mended.
    assert report.unused_inputs is None
    assert valkey.zcard(names.UNUSED_INPUTS) == 0

    storage.put(request_key(damaged), whole, "application/json")
    assert counts(recovery.run()) == {Outcome.QUEUED: 1, Outcome.KNOWN: 1}
    assert storage.exists(input_key(service.get(damaged).inputs.content or ""))


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    service: Service,
    records: JobRecords,
    valkey: redis.Redis,
    storage: Storage,
    bucket: Settings,
) -> None:
    service.post()
    service.succeeded()
    store_input(storage, b"nobody's")
    valkey.flushall()
    recovery = Recovery(valkey, records, Garbage(valkey, bucket), storage, dry_run=True)

    report = recovery.run()

    assert counts(report) == {Outcome.QUEUED: 1, Outcome.SUCCEEDED: 1}
    assert report.unused_inputs is None
    assert everything(valkey) == {}


def test_an_empty_bucket_has_no_jobs(recovery: Recovery) -> None:
    report = recovery.run()
    assert (report.restored, counts(report), report.unused_inputs) == (0, {}, 0)
