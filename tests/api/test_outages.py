"""Redis or S3 is away: 503 in time, or 202 where the job is safe."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from api.app import create_app
from api.problems import Problem
from shared.jobs import Job, JobStatus, StoredOutput
from shared.records import JobRecords
from shared.settings import Settings
from tests.api.conftest import Change, Traces, post
from tests.faults.proxy import Moment, Proxy

CLOSED = "127.0.0.1:9"
NO_JOB = "/v1/jobs/0190a000-0000-7000-8000-000000000000"
# Closed ports refuse at once; what takes bytes and never answers is given up after 2 s. As long
# again is for a machine that is busy with other tests.
QUICKLY = 4.0
BUSY_MACHINE = 6.0


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
        ("DELETE", NO_JOB),
        ("POST", f"{NO_JOB}/cancel"),
        ("POST", f"{NO_JOB}/retry"),
        ("GET", f"{NO_JOB}/result"),
        ("GET", f"{NO_JOB}/manifest"),
        ("GET", f"{NO_JOB}/preview"),
        ("GET", f"{NO_JOB}/events"),
        ("GET", f"{NO_JOB}/inputs/{'0' * 64}"),
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


BREAKS: dict[str, Callable[[Proxy], None]] = {
    "refused": Proxy.refuse,
    "swallowed": Proxy.black_hole,
    "held": Proxy.hold,
    "slow": lambda line: line.slow(delay_seconds=4),
}


@pytest.mark.parametrize("break_", BREAKS.values(), ids=BREAKS)
def test_a_redis_that_goes_away_is_told_in_time_and_its_return_needs_nobody(
    through: Callable[..., Settings], redis_line: Proxy, break_: Callable[[Proxy], None]
) -> None:
    application = create_app(through())
    api = application.test_client()
    job = Job.model_validate_json(post(api).data)
    break_(redis_line)
    all_unavailable(
        application,
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("GET", job.urls.self),
        ("DELETE", job.urls.self),
        ("POST", job.urls.cancel),
        ("POST", job.urls.retry),
        ("GET", job.urls.result),
    )
    unready(api)
    redis_line.pass_on()
    assert api.get(job.urls.self).get_json()["status"] in ("queued", "canceled")
    assert post(api).status_code == 202


@pytest.mark.parametrize("break_", BREAKS.values(), ids=BREAKS)
def test_an_s3_that_goes_away_is_told_in_time_and_its_return_needs_nobody(
    through: Callable[..., Settings],
    storage_line: Proxy,
    paint: Callable[[str], StoredOutput],
    break_: Callable[[Proxy], None],
) -> None:
    application = create_app(through())
    api = application.test_client()
    job = Job.model_validate_json(post(api).data)
    paint(job.id)
    break_(storage_line)
    all_unavailable(
        application,
        ("POST", "/v1/jobs"),
        ("POST", job.urls.retry),
        ("GET", f"{job.urls.result}?proxy=1"),
        ("GET", job.urls.manifest),
        ("GET", f"{job.urls.preview}?step=1"),
        ("GET", f"{job.urls.self}/inputs/{job.inputs.content}"),
    )
    unready(api)
    started = time.monotonic()
    assert api.get(job.urls.self).get_json()["status"] == "succeeded"
    assert api.get("/v1/jobs").status_code == 200
    assert time.monotonic() - started < 2  # S3, if it were asked, is waited for so long
    storage_line.pass_on()
    assert api.get(job.urls.manifest).status_code == 200
    assert post(api).status_code == 202


def all_unavailable(application: Any, *routes: tuple[str, str]) -> None:
    """At the same time, as they would come."""
    with ThreadPoolExecutor(len(routes)) as visitors:
        asked = [
            visitors.submit(unavailable, application.test_client(), *route, BUSY_MACHINE)
            for route in routes
        ]
    for answer in asked:
        answer.result()


def unready(api: FlaskClient) -> None:
    started = time.monotonic()
    answer = api.get("/readyz")
    assert time.monotonic() - started < BUSY_MACHINE
    assert answer.status_code == 503
    assert answer.get_json()["status"] == "unavailable"


def test_readiness_is_told_in_time_when_nothing_answers(change: Change, silent: str) -> None:
    nothing = change(redis_url=f"redis://{silent}/0", s3_endpoint_url=f"http://{silent}")
    unready(create_app(nothing).test_client())


def test_an_s3_that_takes_the_images_and_not_the_request_accepts_nothing(
    through: Callable[..., Settings], storage_line: Proxy, valkey: redis.Redis, traces: Traces
) -> None:
    api = create_app(through()).test_client()
    before = traces.jobs()
    storage_line.when(b'"idempotency":', moment=Moment.REQUEST_LOST, do=storage_line.refuse)
    unavailable(api, "POST", "/v1/jobs")
    assert valkey.keys("impasto:job*") == []
    storage_line.pass_on()
    assert traces.jobs() == before
    assert post(api).status_code == 202


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
    unavailable(blind, "GET", f"/v1/jobs/{job_id}/preview?step=1")


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
