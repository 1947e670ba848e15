"""What a request costs Redis and S3: clients poll all the time, and all wait for the same ones."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from botocore.httpsession import URLLib3Session
from flask.testing import FlaskClient
from redis.connection import AbstractConnection

from api.app import create_app
from shared.jobs import Job, JobList, Progress, StoredOutput
from shared.keys import ApiKeys
from shared.messaging import ProgressWriter
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, input_key
from tests.api.conftest import Change, Report, form, post
from tests.conftest import picture_bytes

Sent = list[Any]
# Threads that do what earlier tests have left to do.
ELSEWHERE = {"afterwards", "watching"}
PROGRESS = Progress(
    step=5,
    total_steps=50,
    fraction=0.1,
    level=1,
    width_px=96,
    height_px=72,
    losses=None,
    steps_per_second=None,
    eta_seconds=None,
)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Counts how often a request sends something to Redis, and waits for the answer."""
    sent: Sent = []
    send = AbstractConnection.send_packed_command

    def counted(connection: AbstractConnection, command: Any, *args: Any, **options: Any) -> None:
        if threading.current_thread().name not in ELSEWHERE:
            sent.append(command)
        send(connection, command, *args, **options)

    @contextmanager
    def counting() -> Iterator[Sent]:
        sent.clear()
        yield sent

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    return counting


@pytest.fixture
def job(api: FlaskClient) -> Job:
    return Job.model_validate(post(api).json)


def test_a_poll_is_one_round_trip(
    api: FlaskClient,
    job: Job,
    count: Callable[[], Any],
    report: Report,
    paint: Callable[[str], StoredOutput],
) -> None:
    def poll(status: str) -> Job:
        with count() as sent:
            answer = api.get(job.urls.self)
        assert len(sent) == 1
        found = Job.model_validate(answer.json)
        assert found.status == status
        return found

    api.get(job.urls.self)  # looks whether keys are needed here, which is remembered for a while
    assert poll("queued").queue_position == 0
    progress = report(job.id, step=5)
    assert poll("queued").progress is None  # nobody paints it: what lies there is of an older time
    output = paint(job.id)
    assert poll("succeeded").progress == progress
    assert poll("succeeded").output.sha256 == output.sha256


def test_a_poll_with_a_key_is_one_round_trip(
    settings: Settings, valkey: redis.Redis, count: Callable[[], Any]
) -> None:
    ann, bob = (bearer(valkey, settings, name) for name in ("ann", "bob"))
    client = create_app(settings).test_client()
    job = Job.model_validate(client.post("/v1/jobs", **form(), headers=ann).json)
    with count() as sent:
        assert client.get(job.urls.self, headers=ann).status_code == 200
    assert len(sent) == 1

    # What is remembered of a job is not for everybody.
    assert client.get(job.urls.self, headers=bob).status_code == 404
    with count() as sent:
        assert client.get(job.urls.self, headers=bob).status_code == 404
    assert len(sent) == 1
    assert client.get("/v1/jobs", headers=bob).json["jobs"] == []


def test_a_list_is_two_round_trips_whatever_its_length(
    api: FlaskClient, job: Job, count: Callable[[], Any]
) -> None:
    for _ in range(4):
        post(api)
    with count() as sent:
        page = JobList.model_validate(api.get("/v1/jobs").json)
    assert len(page.jobs) == 5
    assert len(sent) == 2


def test_progress_may_lie_on_a_redis_of_its_own(
    change: Change, valkey: redis.Redis, count: Callable[[], Any], records: JobRecords
) -> None:
    url = urlsplit(change().redis_url.get_secret_value())
    apart = change(result_backend_url=url._replace(path="/1").geturl())
    client = create_app(apart).test_client()
    job = Job.model_validate(post(client).json)
    records.claim(job.id, "w1")
    ProgressWriter(apart).write(job.id, PROGRESS)
    with count() as sent:
        found = Job.model_validate(client.get(job.urls.self).json)
    assert (found.status, found.progress) == ("running", PROGRESS)
    assert len(sent) == 2


def test_without_the_redis_of_the_progress_the_truth_is_told(
    change: Change, valkey: redis.Redis, records: JobRecords
) -> None:
    client = create_app(change(result_backend_url="redis://127.0.0.1:9/0")).test_client()
    job = Job.model_validate(post(client).json)
    records.claim(job.id, "w1")
    found = Job.model_validate(client.get(job.urls.self).json)
    assert (found.status, found.progress) == ("running", None)


# -- what a submit costs S3 ---------------------------------------------------------------------


@pytest.fixture
def asked_of_s3(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a request asks S3 for: the method, and the first folder or the bucket's object."""
    asked: list[str] = []
    send = URLLib3Session.send

    def noted(session: URLLib3Session, request: Any) -> Any:
        _, _, key = urlsplit(request.url).path.strip("/").partition("/")
        if threading.current_thread().name not in ELSEWHERE:
            asked.append(f"{request.method} {key.partition('/')[0]}")
        return send(session, request)

    monkeypatch.setattr(URLLib3Session, "send", noted)
    return asked


def test_new_images_are_stored_without_a_look_whether_they_are_there(
    api: FlaskClient, asked_of_s3: list[str]
) -> None:
    content, style = picture_bytes("a new one"), picture_bytes("a newer one")
    assert post(api, content=content, style=style).status_code == 202
    assert asked_of_s3 == ["PUT inputs", "PUT inputs", "PUT jobs"]


def test_an_image_that_was_seen_is_not_stored_again(
    api: FlaskClient, storage: Storage, asked_of_s3: list[str]
) -> None:
    content, style = picture_bytes("seen"), picture_bytes("seen too")
    assert post(api, content=content, style=style).status_code == 202
    asked_of_s3.clear()
    other = picture_bytes("another")
    assert post(api, content=other, style=style).status_code == 202
    assert sorted(asked_of_s3) == ["HEAD inputs", "PUT inputs", "PUT jobs"]

    # Unless it has gone from there: what Redis knows is not what S3 has.
    storage.delete(input_key(hashlib.sha256(style).hexdigest()))
    asked_of_s3.clear()
    assert post(api, content=other, style=style).status_code == 202
    assert sorted(asked_of_s3) == ["HEAD inputs", "HEAD inputs", "PUT inputs", "PUT jobs"]
    assert storage.exists(input_key(hashlib.sha256(style).hexdigest()))


def test_an_image_that_is_content_and_style_is_stored_once(
    api: FlaskClient, asked_of_s3: list[str]
) -> None:
    both = picture_bytes("both")
    assert post(api, content=both, style=both).status_code == 202
    assert asked_of_s3 == ["PUT inputs", "PUT jobs"]


# -- what is remembered of an answer ------------------------------------------------------------


def test_an_answer_that_is_remembered_is_as_one_made_anew(
    application: Any, api: FlaskClient, job: Job, records: JobRecords, report: Report
) -> None:
    records.claim(job.id, "w1")
    for step in (5, 6, 6, 7):
        progress = report(job.id, step=step, previews=[step])
        answer = api.get(job.urls.self)
        assert Job.model_validate(answer.json).progress == progress
        anew = create_app(application.extensions["impasto"].settings).test_client()
        assert anew.get(job.urls.self).data == answer.data
        assert anew.get(job.urls.self).headers["ETag"] == answer.headers["ETag"]


def test_a_job_that_is_gone_is_not_remembered(api: FlaskClient, job: Job) -> None:
    assert api.post(job.urls.cancel).json["status"] == "canceled"
    assert api.get(job.urls.self).json["status"] == "canceled"
    assert api.delete(job.urls.self).status_code == 204
    assert api.get(job.urls.self).status_code == 410


def test_a_job_is_shown_as_the_model_says(
    api: FlaskClient, paint: Callable[[str], StoredOutput], report: Report
) -> None:
    """Its JSON is put together from parts; metadata may look like any of them."""
    metadata = {"progress": None, "output": {"queue_position": 3}, "é": '","progress":null,"'}
    job = Job.model_validate(post(api, metadata=json.dumps(metadata)).json)
    report(job.id, step=5)
    paint(job.id)
    told = api.get(job.urls.self)
    found = Job.model_validate(told.json)
    assert found.metadata == metadata
    assert told.text == found.model_dump_json()


def test_jobs_with_much_metadata_are_shown_too(api: FlaskClient) -> None:
    job = Job.model_validate(post(api, metadata=json.dumps({"a": "x" * 8_000})).json)
    for _ in range(2):
        assert Job.model_validate(api.get(job.urls.self).json) == job


def test_more_jobs_than_are_remembered_are_shown(
    settings: Settings, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.display.MAX_KEPT", 2)
    client = create_app(settings).test_client()
    jobs = [Job.model_validate(post(client).json) for _ in range(5)]
    for _ in range(2):
        for job in jobs:
            assert client.get(job.urls.self).json["id"] == job.id
    assert len(client.application.extensions["impasto"].display._kept) == 2


def bearer(valkey: redis.Redis, settings: Settings, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {ApiKeys(valkey, settings).create(name)}"}
