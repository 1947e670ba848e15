"""`Prefer: wait`: making a job and waiting for its end in one request."""

import threading
import time
from collections.abc import Callable

import pytest
import redis
from flask import request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import jobs
from api.app import create_app
from api.services import Services
from shared.jobs import Job, StoredOutput
from shared.records import JobRecords
from tests.api.conftest import Change, form

LONG = 60


def submit(api: FlaskClient, prefer: str, path: str = "/v1/jobs") -> TestResponse:
    return api.post(path, **form(), headers={"Prefer": prefer})


def only_job(records: JobRecords) -> str:
    deadline = time.monotonic() + LONG / 2
    while not (found := records._redis.zrange("impasto:queue", 0, -1)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return str(found[0])


@pytest.mark.parametrize("prefer", [f"wait={LONG}", f"respond-async, wait={LONG}", "Wait = 9999"])
def test_the_answer_comes_when_the_job_has_ended(
    api: FlaskClient, records: JobRecords, paint: Callable[[str], StoredOutput], prefer: str
) -> None:
    painting = threading.Thread(target=lambda: paint(only_job(records)))
    painting.start()
    answer = submit(api, prefer)
    painting.join()
    job = Job.model_validate_json(answer.data)
    assert (answer.status_code, job.status) == (202, "succeeded")
    assert answer.headers["Preference-Applied"] == f"wait={LONG}"
    assert answer.headers["Location"] == job.urls.self
    assert "Retry-After" not in answer.headers


def test_the_answer_does_not_come_later_than_was_asked(api: FlaskClient) -> None:
    started = time.monotonic()
    answer = submit(api, "wait=1")
    assert 1 <= time.monotonic() - started < LONG / 2
    assert (answer.status_code, answer.get_json()["status"]) == (202, "queued")
    assert answer.headers["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize(
    "prefer", ["", "wait", "wait=", "wait=-5", "wait=x", "return=minimal", "wait=0"]
)
def test_what_is_no_wish_to_wait_is_ignored(api: FlaskClient, prefer: str) -> None:
    answer = submit(api, prefer)
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_whoever_waits_does_not_keep_the_images_on_the_disk(
    api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_files: list[int] = []
    wait = jobs._wait_for_the_end

    def look_and_wait(service: Services, job_id: str, seconds: int) -> bool:
        open_files.append(sum(not file.stream.closed for file in request.files.values()))
        return wait(service, job_id, seconds)

    monkeypatch.setattr(jobs, "_wait_for_the_end", look_and_wait)
    assert submit(api, "wait=1").status_code == 202
    assert open_files == [0]


def test_a_retry_can_be_waited_for(api: FlaskClient, records: JobRecords) -> None:
    job = Job.model_validate_json(submit(api, "").data)
    records.cancel(job.id)
    answer = submit(api, "wait=1", job.urls.retry)
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_where_too_many_wait_the_job_is_accepted_all_the_same(
    change: Change, valkey: redis.Redis
) -> None:
    app = create_app(change(max_streams=1, max_key_streams=1))
    waiting = threading.Thread(target=lambda: submit(app.test_client(), "wait=3"))
    waiting.start()
    deadline = time.monotonic() + LONG / 2
    while app.extensions["impasto"].watching.count == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    answer = submit(app.test_client(), f"wait={LONG}")
    waiting.join()
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers
