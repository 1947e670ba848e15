"""Redis or S3 is away: 503 in time, or 202 where the job is safe."""

import socket
import time
from collections.abc import Iterator

import pytest
import redis
from flask.testing import FlaskClient

from api.app import create_app
from api.problems import Problem
from shared.jobs import JobStatus
from shared.records import JobRecords
from tests.api.conftest import Change, Traces, post

CLOSED = "127.0.0.1:9"
NO_JOB = "/v1/jobs/0190a000-0000-7000-8000-000000000000"
# Closed ports refuse at once; what takes bytes and never answers is given up after 2 s.
QUICKLY = 3.0
BUSY_MACHINE = 4.0


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def unavailable(api: FlaskClient, method: str, path: str, seconds: float = QUICKLY) -> None:
    started = time.monotonic()
    answer = post(api) if method == "POST" and path == "/v1/jobs" else api.open(path, method=method)
    taken = time.monotonic() - started
    assert answer.status_code == 503, answer.text
    assert answer.content_type == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    problem = Problem.model_validate_json(answer.data)
    assert problem.code == "unavailable"
    assert "127.0.0.1" not in answer.text  # where our servers are is nobody's business
    assert taken < seconds


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("GET", NO_JOB),
        ("POST", f"{NO_JOB}/cancel"),
        ("GET", f"{NO_JOB}/result"),
        ("GET", f"{NO_JOB}/preview"),
        ("GET", "/v1/workers"),
    ],
)
def test_without_redis_every_route_that_needs_it_says_so_at_once(
    change: Change, method: str, path: str
) -> None:
    api = create_app(change(redis_url=f"redis://{CLOSED}/0")).test_client()
    unavailable(api, method, path)


def test_without_redis_no_input_is_stored(change: Change, traces: Traces) -> None:
    before = traces.all()
    api = create_app(change(redis_url=f"redis://{CLOSED}/0")).test_client()
    unavailable(api, "POST", "/v1/jobs")
    assert traces.all() == before


def test_a_redis_that_does_not_answer_is_given_up(change: Change, silent: str) -> None:
    api = create_app(change(redis_url=f"redis://{silent}/0")).test_client()
    unavailable(api, "POST", "/v1/jobs", BUSY_MACHINE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"s3_endpoint_url": f"http://{CLOSED}"},
        {"s3_secret_access_key": "wrong"},
    ],
)
def test_without_s3_no_job_is_accepted(
    change: Change, traces: Traces, valkey: redis.Redis, wrong: dict[str, str]
) -> None:
    unavailable(create_app(change(**wrong)).test_client(), "POST", "/v1/jobs")
    assert valkey.keys("impasto:job*") == []


def test_without_s3_jobs_can_still_be_followed_and_canceled(
    change: Change, api: FlaskClient
) -> None:
    job_id = post(api).get_json()["id"]
    blind = create_app(change(s3_endpoint_url=f"http://{CLOSED}")).test_client()
    assert blind.get(f"/v1/jobs/{job_id}").get_json()["status"] == "queued"
    assert blind.post(f"/v1/jobs/{job_id}/cancel").get_json()["status"] == "canceled"
    unavailable(blind, "GET", f"/v1/jobs/{job_id}/preview")


@pytest.mark.parametrize("answers", [False, True])
def test_a_job_whose_message_cannot_be_sent_is_accepted_all_the_same(
    change: Change, records: JobRecords, silent: str, answers: bool
) -> None:
    broker = silent if answers else CLOSED
    api = create_app(change(broker_url=f"redis://{broker}/0")).test_client()
    started = time.monotonic()

    answer = post(api)

    assert time.monotonic() - started < (2 * BUSY_MACHINE if answers else QUICKLY)
    assert answer.status_code == 202
    found = records.get(answer.get_json()["id"])
    assert found is not None
    assert found[0].status == JobStatus.QUEUED
    assert found[1] == 0  # in the queue, where the reconciler finds it


@pytest.mark.parametrize("path", ["/healthz", "/v1/presets", "/openapi.json", "/"])
def test_what_needs_no_server_is_answered_without_any(change: Change, path: str) -> None:
    alone = change(redis_url=f"redis://{CLOSED}/0", s3_endpoint_url=f"http://{CLOSED}")
    with create_app(alone).test_client().get(path) as answer:
        assert answer.status_code == 200
