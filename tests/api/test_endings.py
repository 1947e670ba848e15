"""After the end of a job: what happened to it, trying it again, deleting it."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from api.app import create_app
from shared.archive import Archive
from shared.jobs import ErrorCode, Job, JobError, JobStatus, StoredOutput
from shared.names import GARBAGE, QUEUE, gone
from shared.outbox import Outbox
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage, input_key
from tests.api.conftest import CONTENT, STYLE, Change, Traces, form, post
from tests.api.test_bad_inputs import assert_refused
from tests.conftest import picture_bytes
from tests.faults.proxy import Proxy

Paint = Callable[[str], StoredOutput]
KEY = {"Idempotency-Key": "again"}
WAIT_SECONDS = 20.0
SECRET = "whsec_" + 32 * "A"
RECEIVER = "https://127.0.0.1:8443/told?token=x"


@pytest.fixture
def told(change: Change, valkey: redis.Redis) -> FlaskClient:
    """An API that sends webhooks, also within its own network."""
    return create_app(change(webhook_secrets=SECRET, webhook_allow_private=True)).test_client()


def submit(api: FlaskClient, *parts: tuple[str, Any], **fields: Any) -> Job:
    answer = post(api, *parts, **fields)
    assert answer.status_code == 202, answer.text
    return Job.model_validate_json(answer.data)


def look(api: FlaskClient, job: Job) -> Job:
    return Job.model_validate_json(api.get(job.urls.self).data)


def claim(records: JobRecords, job: Job, worker: str = "w1@machine") -> Lease:
    lease = records.claim(job.id, worker)
    assert isinstance(lease, Lease)
    return lease


def fail(records: JobRecords, job: Job) -> None:
    error = JobError(code=ErrorCode.DIVERGED, message="the loss is not a number")
    assert records.fail(claim(records, job), error)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- history ------------------------------------------------------------------------------------


def test_a_job_tells_what_happened_to_it_and_names_no_machine(
    api: FlaskClient, records: JobRecords
) -> None:
    job = submit(api)
    first = claim(records, job)
    records.release(first)
    records.resumed(claim(records, job), 120)
    api.post(job.urls.cancel)
    shown = api.get(job.urls.self)
    assert [(line["event"], line["detail"]) for line in shown.get_json()["history"]] == [
        ("created", ""),
        ("claimed", ""),
        ("released", ""),
        ("claimed", ""),
        ("resumed", "step 120"),
        ("canceling", ""),
    ]
    times = [datetime.fromisoformat(line["at"]) for line in shown.get_json()["history"]]
    assert times == sorted(times)
    assert "machine" not in shown.text


def test_the_history_of_a_failure_ends_with_its_code(api: FlaskClient, records: JobRecords) -> None:
    job = submit(api)
    fail(records, job)
    last = look(api, job).history[-1]
    assert (last.event, last.detail) == ("failed", "diverged")


# -- webhook ------------------------------------------------------------------------------------


def test_a_job_says_who_is_told_of_its_end_and_whether_that_worked(
    told: FlaskClient, records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    job = submit(told, webhook=RECEIVER)
    assert job.webhook is not None
    assert (job.webhook.url, job.webhook.attempts) == (RECEIVER, 0)
    assert job.webhook.delivered_at is job.webhook.error is None

    fail(records, job)
    outbox = Outbox(valkey, records)
    (due,) = outbox.take(10)
    assert (due.id, due.webhook) == (job.id, RECEIVER)
    outbox.failed(job.id, 1, "it answered 500", 0.0)
    shown = look(told, job).webhook
    assert shown is not None
    assert (shown.attempts, shown.error, shown.delivered_at) == (1, "it answered 500", None)

    outbox.delivered(job.id, 2)
    shown = look(told, job).webhook
    assert shown is not None
    assert (shown.attempts, shown.error) == (2, None)
    assert shown.delivered_at is not None


def test_a_job_without_a_webhook_says_so(told: FlaskClient) -> None:
    assert submit(told).webhook is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://example.org/",
        "file:///etc/passwd",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:password@example.org/",
        "https://example.org/\u00e9",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_a_webhook_that_may_not_be_sent_is_refused(
    change: Change, traces: Traces, url: str
) -> None:
    api = create_app(change(webhook_secrets=SECRET)).test_client()
    before = traces.all()
    problem = assert_refused(post(api, webhook=url), 422, "invalid_input")
    assert [fault.pointer for fault in problem.errors] == ["webhook"]
    assert traces.all() == before


def test_a_webhook_that_nothing_could_sign_is_refused(api: FlaskClient, traces: Traces) -> None:
    before = traces.all()
    problem = assert_refused(post(api, webhook="https://example.org/"), 422, "invalid_input")
    assert [fault.pointer for fault in problem.errors] == ["webhook"]
    assert traces.all() == before


def test_a_webhook_is_one_plain_field(told: FlaskClient, traces: Traces) -> None:
    before = traces.all()
    for answer in (
        post(told, webhook=RECEIVER.encode()),
        post(told, ("webhook", RECEIVER), webhook=RECEIVER),
    ):
        assert_refused(answer, 400, "invalid_request")
    assert traces.all() == before


# -- trying again -------------------------------------------------------------------------------


def test_a_retried_job_is_a_new_one_like_the_first(
    told: FlaskClient, records: JobRecords, storage: Storage, valkey: redis.Redis
) -> None:
    first = submit(
        told,
        ("mask", CONTENT),
        ("init", STYLE),
        params='{"size": 64, "init": "image"}',
        metadata='{"order": 7}',
        priority="low",
        webhook=RECEIVER,
    )
    fail(records, first)

    answer = told.post(first.urls.retry)

    assert answer.status_code == 202
    again = Job.model_validate_json(answer.data)
    assert answer.headers["Location"] == again.urls.self != first.urls.self
    assert again.retried_from == first.id
    assert (again.status, again.attempt, again.error) == ("queued", 0, None)
    for name in ("params", "metadata", "priority", "webhook"):
        assert getattr(again, name) == getattr(first, name)
    old, new = records.get(first.id), records.get(again.id)
    assert old is not None
    assert new is not None
    assert new[0].inputs == old[0].inputs
    assert Archive(storage).request(again.id) is not None
    assert valkey.zrange(QUEUE, 0, -1) == [again.id]
    assert look(told, first).status == JobStatus.FAILED


@pytest.mark.parametrize("ended", ["succeeded", "canceled"])
def test_any_finished_job_can_be_tried_again(api: FlaskClient, paint: Paint, ended: str) -> None:
    job = submit(api)
    paint(job.id) if ended == "succeeded" else api.post(job.urls.cancel)
    assert look(api, job).status == ended
    assert api.post(job.urls.retry).status_code == 202


def test_an_unfinished_job_cannot_be_tried_again(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis
) -> None:
    job = submit(api)
    assert_refused(api.post(job.urls.retry, headers=KEY), 409, "conflict")
    lease = claim(records, job)
    assert_refused(api.post(job.urls.retry, headers=KEY), 409, "conflict")
    records.stop(lease)
    assert api.post(job.urls.retry, headers=KEY).status_code == 202  # the key was free


def test_a_retry_that_is_sent_again_is_one_job(api: FlaskClient, valkey: redis.Redis) -> None:
    job, other = submit(api), submit(api)
    for finished in (job, other):
        api.post(finished.urls.cancel)
    first = api.post(job.urls.retry, headers=KEY)
    assert "Idempotent-Replayed" not in first.headers
    api.delete(job.urls.self)  # which does not matter any more

    again = api.post(job.urls.retry, headers=KEY)

    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.get_json()["id"] == first.get_json()["id"]
    assert valkey.zcard(QUEUE) == 1
    assert_refused(api.post(other.urls.retry, headers=KEY), 422, "idempotency_key_reused")
    posted = api.post("/v1/jobs", headers=KEY, **form())
    assert_refused(posted, 422, "idempotency_key_reused")


def test_a_job_whose_images_are_gone_cannot_be_tried_again(
    api: FlaskClient, records: JobRecords, storage: Storage, traces: Traces
) -> None:
    job = submit(api, style=picture_bytes("lost", 40, 40))
    api.post(job.urls.cancel)
    found = records.get(job.id)
    assert found is not None
    storage.delete(input_key(found[0].inputs.styles[0]))
    before = traces.jobs()
    problem = assert_refused(api.post(job.urls.retry, headers=KEY), 410, "gone")
    assert "image" in problem.detail
    assert traces.jobs() == before


def test_a_retry_is_refused_like_any_job(change: Change, valkey: redis.Redis) -> None:
    api = create_app(change(max_unfinished_jobs=1)).test_client()
    job = submit(api)
    api.post(job.urls.cancel)
    submit(api)
    assert_refused(api.post(job.urls.retry), 429, "too_many")


# -- deleting -----------------------------------------------------------------------------------


def test_a_deleted_job_is_gone_with_everything_of_its_own(
    api: FlaskClient, paint: Paint, traces: Traces, valkey: redis.Redis, storage: Storage
) -> None:
    job, kept = submit(api), submit(api)
    output = paint(job.id)
    assert storage.exists(output.result_key)

    answer = api.delete(job.urls.self)

    assert (answer.status_code, answer.data) == (204, b"")
    assert job.id not in traces.jobs()
    assert kept.id in traces.jobs()
    assert look(api, kept).status == "queued"
    assert [shown["id"] for shown in api.get("/v1/jobs").get_json()["jobs"]] == [kept.id]
    assert valkey.zscore(GARBAGE, f"jobs/{job.id}/") is not None  # what comes late is swept


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("GET", "/result"),
        ("GET", "/result?proxy=1"),
        ("GET", "/manifest"),
        ("GET", "/preview"),
    ],
)
def test_a_job_that_was_there_is_gone_and_not_unknown(
    api: FlaskClient, paint: Paint, valkey: redis.Redis, method: str, route: str
) -> None:
    job = submit(api)
    paint(job.id)
    api.delete(job.urls.self)
    assert_refused(api.open(f"/v1/jobs/{job.id}{route}", method=method), 410, "gone")
    valkey.set(gone(job.id), "somebody else")
    assert_refused(api.open(f"/v1/jobs/{job.id}{route}", method=method), 404, "not_found")


def test_an_unfinished_job_is_not_deleted(api: FlaskClient, records: JobRecords) -> None:
    job = submit(api)
    assert_refused(api.delete(job.urls.self), 409, "conflict")
    records.claim(job.id, "w1")
    api.post(job.urls.cancel)
    assert_refused(api.delete(job.urls.self), 409, "conflict")
    assert look(api, job).status == "running"


@pytest.mark.parametrize("break_", [Proxy.refuse, Proxy.black_hole])
def test_a_job_is_deleted_although_s3_is_away_and_its_files_are_swept_later(
    through: Callable[..., Settings],
    storage_line: Proxy,
    valkey: redis.Redis,
    traces: Traces,
    break_: Callable[[Proxy], None],
) -> None:
    api = create_app(through()).test_client()
    job = submit(api)
    api.post(job.urls.cancel)
    break_(storage_line)
    started = time.monotonic()
    assert api.delete(job.urls.self).status_code == 204
    assert time.monotonic() - started < 4
    assert_refused(api.get(job.urls.self), 410, "gone")
    assert job.id in traces.jobs()
    assert valkey.zscore(GARBAGE, f"jobs/{job.id}/") is not None


# -- how it ended, for `impasto recover` --------------------------------------------------------


def test_a_canceled_job_stays_canceled_even_if_redis_loses_it(
    api: FlaskClient, storage: Storage
) -> None:
    job = submit(api)
    api.post(job.urls.cancel)
    archive = Archive(storage)
    until(lambda: archive.end(job.id) is not None)
    end = archive.end(job.id)
    assert end is not None
    assert (end.status, end.finished_at) == ("canceled", look(api, job).finished_at)


def test_a_cancel_does_not_wait_for_s3_and_is_archived_once_it_is_back(
    through: Callable[..., Settings], storage_line: Proxy, storage: Storage
) -> None:
    api = create_app(through()).test_client()
    job = submit(api)
    storage_line.refuse()
    started = time.monotonic()
    assert api.post(job.urls.cancel).get_json()["status"] == "canceled"
    assert time.monotonic() - started < 3
    assert not Archive(storage).end(job.id)
    storage_line.pass_on()
    until(lambda: Archive(storage).end(job.id) is not None)
