"""A request that is sent again makes nothing twice; one that was not accepted leaves nothing."""

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from api.uploads import MAX_METADATA_BYTES
from shared.archive import Archive
from shared.jobs import Job, StoredOutput
from shared.names import QUEUE, input_deleting, record
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, input_key
from tests.api.conftest import CONTENT, STYLE, Change, Traces, form, post
from tests.api.servers import serve
from tests.api.test_bad_inputs import assert_refused
from tests.conftest import picture_bytes
from tests.faults.proxy import Moment, Proxy

KEY = {"Idempotency-Key": "order 7"}
WAIT_SECONDS = 20.0
# What goes to S3 last: the body of request.json.
ARCHIVING = (b'"created_at":', b'"idempotency":')
# Redis sees the request's inputs in one script only: the one that accepts.
ACCEPTING = (b"EVALSHA", b'"styles":')


def send(
    api: FlaskClient, *parts: tuple[str, Any], headers: dict[str, str] | None = None, **fields: Any
) -> TestResponse:
    return api.post(
        "/v1/jobs", headers=KEY if headers is None else headers, **form(*parts, **fields)
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- the same key -------------------------------------------------------------------------------


def test_a_request_that_comes_again_is_answered_with_its_job(
    api: FlaskClient, valkey: redis.Redis
) -> None:
    first = send(api, params='{"size": 64}', metadata='{"a": 1, "b": 2}')
    assert first.status_code == 202
    assert "Idempotent-Replayed" not in first.headers

    # Another boundary, another spelling: the same request.
    again = send(
        api,
        params='{ "preset": "default", "size":64 }',
        metadata='{"b": 2, "a": 1}',
        priority="normal",
    )

    assert again.status_code == 202
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.get_json() == first.get_json()
    assert valkey.zrange(QUEUE, 0, -1) == [first.get_json()["id"]]
    assert valkey.llen("impasto.normal") == 1


def test_the_answer_shows_the_job_as_it_is_by_now(
    api: FlaskClient, paint: Callable[[str], StoredOutput]
) -> None:
    job_id = send(api).get_json()["id"]
    paint(job_id)
    again = send(api)
    assert again.get_json()["id"] == job_id
    assert again.get_json()["status"] == "succeeded"
    assert "Retry-After" not in again.headers


def test_a_request_whose_job_was_deleted_meanwhile_is_gone(api: FlaskClient) -> None:
    job = Job.model_validate_json(send(api).data)
    api.post(job.urls.cancel)
    api.delete(job.urls.self)
    assert_refused(send(api), 410, "gone")


def test_without_a_key_or_with_another_one_every_request_is_a_job(
    api: FlaskClient, valkey: redis.Redis
) -> None:
    for headers in ({}, {}, {"Idempotency-Key": "a"}, {"Idempotency-Key": "b"}):
        assert send(api, headers=headers).status_code == 202
    assert valkey.zcard(QUEUE) == 4


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([], {"params": '{"size": 65}'}),
        ([], {"metadata": '{"a": 1}'}),
        ([], {"priority": "low"}),
        ([], {"content": STYLE}),
        ([], {"content": STYLE, "style": CONTENT}),
        ([("style", CONTENT)], {}),
        ([("mask", CONTENT)], {}),
    ],
)
def test_a_key_belongs_to_one_request(
    api: FlaskClient, traces: Traces, parts: list[tuple[str, Any]], fields: dict[str, Any]
) -> None:
    assert send(api).status_code == 202
    before = traces.all()
    assert_refused(send(api, *parts, **fields), 422, "idempotency_key_reused")
    assert traces.all() == before


@pytest.mark.parametrize("key", ["", "a" * 256, "é", "a\tb", "\x7f"])
def test_a_key_that_is_none_is_refused(api: FlaskClient, traces: Traces, key: str) -> None:
    before = traces.all()
    for path in ("/v1/jobs", "/v1/jobs/some-job/retry"):
        answer = api.post(path, headers={"Idempotency-Key": key}, **form())
        assert_refused(answer, 400, "invalid_request")
    assert traces.all() == before


@pytest.mark.parametrize("key", ["a" * 255, " ~!", '"quoted"'])
def test_any_printable_key_is_taken(api: FlaskClient, key: str) -> None:
    assert send(api, headers={"Idempotency-Key": key}).status_code == 202


def test_while_the_first_is_worked_on_the_second_is_told_to_wait(
    through: Callable[..., Settings], storage_line: Proxy, records: JobRecords
) -> None:
    application = create_app(through())
    api = application.test_client()
    assert send(api).status_code == 202
    seconds: list[TestResponse] = []
    key = {"Idempotency-Key": "another"}
    storage_line.when(
        *ARCHIVING,
        moment=Moment.BEFORE,
        do=lambda: seconds.append(send(application.test_client(), headers=key)),
    )

    first = send(api, headers=key)

    assert first.status_code == 202
    (second,) = seconds
    assert_refused(second, 409, "in_flight")
    assert int(second.headers["Retry-After"]) > 0
    assert send(api, headers=key).get_json()["id"] == first.get_json()["id"]


def test_a_request_that_took_too_long_gives_way_to_its_own_repetition(
    through: Callable[..., Settings], storage_line: Proxy, valkey: redis.Redis, traces: Traces
) -> None:
    application = create_app(through())
    before = traces.jobs()
    seconds: list[TestResponse] = []

    def two_minutes_later() -> None:
        valkey.delete(*valkey.keys("impasto:idempotency:*"))
        seconds.append(send(application.test_client()))

    storage_line.when(*ARCHIVING, moment=Moment.BEFORE, do=two_minutes_later)
    first = send(application.test_client())

    (second,) = seconds
    assert second.status_code == 202
    assert_refused(first, 409, "in_flight")
    assert send(application.test_client()).get_json()["id"] == second.get_json()["id"]
    assert traces.jobs() - before == {second.get_json()["id"]}
    assert valkey.zcard(QUEUE) == 1


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [
        ("max_queued_jobs", 503, "unavailable"),
        ("max_unfinished_jobs", 429, "too_many"),
        ("max_kept_jobs", 403, "quota_exceeded"),
    ],
)
def test_a_refused_request_leaves_nothing_and_may_come_again_with_its_key(
    change: Change, valkey: redis.Redis, traces: Traces, limit: str, status: int, code: str
) -> None:
    api = create_app(change(**{limit: 1})).test_client()
    waiting = post(api).get_json()
    before = traces.all()

    refused = send(api, style=picture_bytes("refused", 48, 48))
    assert_refused(refused, status, code)
    assert traces.all() == before  # not even its images were stored

    api.post(waiting["urls"]["cancel"])
    api.delete(waiting["urls"]["self"])
    assert send(api, style=STYLE).status_code == 202  # even another one: nothing came of the first
    assert valkey.llen("impasto.normal") == 2


def test_metadata_that_would_fill_redis_is_refused(api: FlaskClient, valkey: redis.Redis) -> None:
    longest = json.dumps({"a": "x" * (MAX_METADATA_BYTES - len('{"a": ""}'))})
    assert_refused(post(api, metadata=longest + " "), 413, "too_large")
    accepted = post(api, metadata=longest)
    assert accepted.status_code == 202
    assert accepted.get_json()["metadata"] == json.loads(longest)
    stored = valkey.memory_usage(record(accepted.get_json()["id"]), samples=0)
    assert stored is not None
    assert stored < 20_000


def test_a_request_that_comes_again_is_answered_even_when_the_queue_is_full(
    change: Change,
) -> None:
    api = create_app(change(max_queued_jobs=1, max_unfinished_jobs=1)).test_client()
    first = send(api)
    assert send(api).get_json() == first.get_json()


def test_an_invalid_request_does_not_use_up_its_key(api: FlaskClient) -> None:
    assert send(api, params='{"size": 1}').status_code == 422
    assert send(api, params='{"size": 64}').status_code == 202


def test_an_input_that_is_just_being_removed_is_waited_for(
    api: FlaskClient, valkey: redis.Redis, storage: Storage
) -> None:
    picture = picture_bytes("removed", 40, 40)
    digest = hashlib.sha256(picture).hexdigest()
    valkey.set(input_deleting(digest), "1")
    assert_refused(send(api, style=picture), 503, "unavailable")
    assert not storage.exists(input_key(digest))

    threading.Timer(0.5, lambda: valkey.delete(input_deleting(digest))).start()
    assert send(api, style=picture).status_code == 202
    assert storage.get(input_key(digest)) == picture


# -- what breaks in the middle ------------------------------------------------------------------


def test_what_was_accepted_can_be_written_again_from_s3(api: FlaskClient, storage: Storage) -> None:
    job = Job.model_validate_json(send(api, metadata='{"order": 7}', priority="low").data)
    stored = Archive(storage).request(job.id)
    assert stored is not None
    assert (stored.metadata, stored.priority, stored.params) == ({"order": 7}, "low", job.params)
    assert len(stored.inputs.styles) == 1
    assert stored.idempotency is not None
    assert abs((stored.created_at - job.created_at).total_seconds()) < WAIT_SECONDS


def test_a_redis_that_is_full_at_the_last_moment_leaves_no_request_that_could_come_to_life(
    through: Callable[..., Settings], storage_line: Proxy, valkey: redis.Redis, traces: Traces
) -> None:
    api = create_app(through()).test_client()
    before = traces.jobs()
    full = storage_line.when(
        *ARCHIVING,
        moment=Moment.BEFORE,
        do=lambda: valkey.config_set("maxmemory", 1),
    )
    try:
        assert_refused(send(api), 503, "unavailable")
        full.wait(WAIT_SECONDS)
    finally:
        valkey.config_set("maxmemory", 0)
    assert traces.jobs() == before
    assert valkey.keys("impasto:job*") == []
    assert send(api).status_code == 202


@pytest.mark.parametrize("moment", [Moment.REQUEST_LOST, Moment.ANSWER_LOST])
def test_nobody_knows_whether_it_was_accepted_until_it_comes_again(
    through: Callable[..., Settings],
    redis_line: Proxy,
    valkey: redis.Redis,
    traces: Traces,
    moment: Moment,
) -> None:
    api = create_app(through()).test_client()
    assert post(api).status_code == 202  # Redis knows the scripts now
    valkey.flushdb()
    before = traces.jobs()
    cut = redis_line.when(*ACCEPTING, moment=moment)

    assert_refused(send(api), 503, "unavailable")
    cut.wait(WAIT_SECONDS)
    until(lambda: send(api).status_code == 202)

    again = send(api)
    assert again.headers["Idempotent-Replayed"] == "true"
    (waiting,) = map(str, valkey.zrange(QUEUE, 0, -1))
    assert again.get_json()["id"] == waiting
    until(lambda: traces.jobs() - before == {waiting})


def test_redis_comes_back_and_what_was_left_over_is_removed(
    through: Callable[..., Settings],
    redis_line: Proxy,
    storage_line: Proxy,
    valkey: redis.Redis,
    traces: Traces,
) -> None:
    api = create_app(through()).test_client()
    before = traces.jobs()
    storage_line.when(*ARCHIVING, moment=Moment.BEFORE, do=redis_line.refuse)
    assert_refused(send(api), 503, "unavailable")
    assert len(traces.jobs() - before) == 1
    redis_line.pass_on()
    until(lambda: traces.jobs() == before)
    until(lambda: valkey.keys("impasto:idempotency:*") == [])
    assert send(api).status_code == 202


def test_an_api_that_is_killed_before_it_accepts_has_accepted_nothing(
    through: Callable[..., Settings],
    settings: Settings,
    storage_line: Proxy,
    valkey: redis.Redis,
    traces: Traces,
    tmp_path: Path,
) -> None:
    before = traces.jobs()
    files = [("content", ("a.png", CONTENT)), ("style", ("b.png", STYLE))]
    with serve(through(), tmp_path / "first") as first:
        killed = storage_line.when(
            *ARCHIVING, moment=Moment.ANSWER_LOST, do=lambda: kill(first.process.pid)
        )
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{first.url}/v1/jobs", files=files, headers=KEY, timeout=30)
        killed.wait(WAIT_SECONDS)
    assert valkey.keys("impasto:job*") == []
    (ghost,) = traces.jobs() - before

    api = create_app(settings).test_client()
    assert_refused(send(api), 409, "in_flight")  # it cannot be known that nobody works on it
    (ticket,) = valkey.keys("impasto:idempotency:*")
    assert 0 < valkey.ttl(ticket) <= 120
    valkey.delete(ticket)  # two minutes later
    accepted = send(api)
    assert accepted.status_code == 202
    assert accepted.get_json()["id"] != ghost
    assert json.loads(accepted.data)["status"] == "queued"


def kill(pid: int) -> None:
    """gunicorn and the process that serves."""
    os.killpg(pid, signal.SIGKILL)
