"""`impasto recover`, as an operator runs it after Redis came back empty."""

import io
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import redis
from click.testing import CliRunner, Result
from rich.console import Console

from client.cli import main
from client.commands import recover as module
from shared import names
from shared.archive import Archive
from shared.jobs import ErrorCode, JobEnd, JobError, JobStatus, StoredRequest
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, request_key
from tests.conftest import store_input
from tests.shared.conftest import job_request

DONE, FAILED, UNREACHABLE = 0, 1, 3
NOBODY = "127.0.0.1:9"
Recover = Callable[..., Result]


@pytest.fixture(scope="module")
def bucket(settings: Settings) -> Settings:
    """Settings with a bucket of our own: recovery goes through all jobs of a bucket."""
    own = settings.model_copy(update={"s3_bucket": f"recover-{uuid.uuid4().hex[:8]}"})
    Storage(own).create_bucket()
    return own


@pytest.fixture
def storage(bucket: Settings) -> Storage:
    storage = Storage(bucket)
    storage.delete_prefix("")
    return storage


@pytest.fixture
def recover(bucket: Settings, valkey: redis.Redis) -> Recover:
    """Run `impasto recover ...` with the servers' settings, and others on top."""
    assert bucket.s3_secret_access_key is not None
    servers = {
        "IMPASTO_REDIS_URL": bucket.redis_url.get_secret_value(),
        "IMPASTO_S3_ENDPOINT_URL": bucket.s3_endpoint_url,
        "IMPASTO_S3_BUCKET": bucket.s3_bucket,
        "IMPASTO_S3_ACCESS_KEY_ID": bucket.s3_access_key_id,
        "IMPASTO_S3_SECRET_ACCESS_KEY": bucket.s3_secret_access_key.get_secret_value(),
        "COLUMNS": "200",
    }

    def run(*arguments: str, **environment: str) -> Result:
        return CliRunner(env=servers | environment).invoke(main, ["recover", *arguments])

    return run


def lose(storage: Storage, number: int = 1, owner: str = "anonymous") -> list[str]:
    """Jobs of which only S3 knows."""
    requests = [job_request(owner=owner) for _ in range(number)]
    for request in requests:
        Archive(storage).write_request(
            StoredRequest(**dict(request), created_at=datetime.now(UTC), idempotency=None)
        )
    return [request.id for request in requests]


def end(storage: Storage, job_id: str) -> None:
    """Archive a failure."""
    error = JobError(code=ErrorCode.DIVERGED, message="the loss is not a number")
    failed = JobEnd(
        status=JobStatus.FAILED, finished_at=datetime.now(UTC), output=None, error=error
    )
    Archive(storage).write_end(job_id, failed)


def test_lost_jobs_are_written_again_and_counted(
    recover: Recover, storage: Storage, records: JobRecords
) -> None:
    jobs = lose(storage, 3)
    end(storage, jobs[0])

    result = recover()

    assert result.exit_code == DONE, result.output
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["2", "wait again"] in [[word.strip() for word in line] for line in lines]
    assert ["1", "failed"] in [[word.strip() for word in line] for line in lines]
    assert "3 of 3 jobs restored" in result.stdout
    statuses = [record.status for record, _ in records.get_many(jobs)]
    assert statuses == [JobStatus.FAILED, JobStatus.QUEUED, JobStatus.QUEUED]

    again = recover()
    assert again.exit_code == DONE
    assert "0 of 3 jobs restored" in again.stdout
    assert "there already" in again.stdout


def test_scripts_get_one_json_document(recover: Recover, storage: Storage) -> None:
    lose(storage, 2)
    store_input(storage, uuid.uuid4().bytes)

    result = recover("--json")

    assert result.exit_code == DONE
    report = json.loads(result.stdout)
    assert report["restored"] == report["jobs"]["queued"] == 2
    assert sum(report["jobs"].values()) == 2
    assert (report["dry_run"], report["unused_inputs"], report["unreadable"]) == (False, 1, [])


def test_a_dry_run_only_says_what_would_be_done(
    recover: Recover, storage: Storage, records: JobRecords, valkey: redis.Redis
) -> None:
    jobs = lose(storage, 2)
    result = recover("--dry-run")
    assert result.exit_code == DONE
    assert "2 of 2 jobs would be restored" in result.stdout
    assert records.get_many(jobs) == []
    assert valkey.keys("*") == []


def test_a_job_that_cannot_be_read_is_named_and_the_command_fails(
    recover: Recover, storage: Storage, records: JobRecords
) -> None:
    damaged, sound = lose(storage, 2)
    storage.put(request_key(damaged), b"{", "application/json")

    result = recover()

    assert result.exit_code == FAILED
    assert request_key(damaged) in result.stdout
    assert "1 jobs cannot be read" in result.stderr
    assert records.get(sound) is not None

    as_json = recover("--json")
    assert as_json.exit_code == FAILED
    assert damaged in json.loads(as_json.stdout)["unreadable"][0]


def test_owners_without_a_key_are_told_how_to_get_to_their_jobs_again(
    recover: Recover, storage: Storage, valkey: redis.Redis
) -> None:
    lose(storage, owner="00112233445566aa")
    lose(storage, owner="00112233445566bb")
    valkey.hset(names.KEYS, "00112233445566bb", "{}")
    result = recover()
    assert "keys create NAME --id 00112233445566aa" in result.stdout
    assert "00112233445566bb" not in result.stdout


def test_an_empty_bucket_is_no_error(recover: Recover, storage: Storage) -> None:
    result = recover()
    assert result.exit_code == DONE
    assert "no jobs" in result.stdout


@pytest.mark.parametrize(
    ("server", "environment"),
    [
        ("Redis", {"IMPASTO_REDIS_URL": f"redis://{NOBODY}/0"}),
        ("S3", {"IMPASTO_S3_ENDPOINT_URL": f"http://{NOBODY}"}),
        ("S3", {"IMPASTO_S3_SECRET_ACCESS_KEY": "wrong"}),
        ("S3", {"IMPASTO_S3_BUCKET": "elsewhere"}),
    ],
)
def test_a_server_that_is_away_is_named(
    recover: Recover, storage: Storage, server: str, environment: dict[str, str]
) -> None:
    lose(storage)
    result = recover(**environment)
    assert result.exit_code == UNREACHABLE
    assert f"{server} does not answer" in result.stderr


def test_what_takes_longer_shows_a_bar_that_is_not_in_the_way_of_scripts(
    recover: Recover, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(storage, 2)
    terminal = io.StringIO()
    monkeypatch.setattr(module, "stderr", Console(file=terminal, force_terminal=True))
    monkeypatch.setattr(module, "BAR_AFTER_SECONDS", 0.0)
    result = recover("--json")
    assert "Reading jobs" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert json.loads(result.stdout)["restored"] == 2
