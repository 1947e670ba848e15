"""Following a job by server-sent events, over a real socket."""

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import redis

from api import events as events_module
from api.app import create_app
from shared import names
from shared.jobs import ErrorCode, Job, JobError, Progress, StoredOutput
from shared.keys import ApiKeys
from shared.records import JobRecords, Lease
from shared.settings import Settings
from tests.api.conftest import CONTENT, STYLE, Change, Report, form, post
from tests.api.servers import running_api, serve
from tests.faults.proxy import Proxy

FILES = {"content": ("content.png", CONTENT), "style": ("style.png", STYLE)}
MAX_STREAMS = 40
PATIENCE_SECONDS = 30.0


class Event(NamedTuple):
    name: str
    id: str
    data: Any


@pytest.fixture(scope="module")
def url(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("api") / "log"
    environment = {
        "IMPASTO_API_THREADS": "2",
        "IMPASTO_MAX_STREAMS": str(MAX_STREAMS),
        "IMPASTO_MAX_KEY_STREAMS": "2",  # without keys all are one owner, to whom this is nothing
    }
    with running_api(settings, log, **environment) as url:
        yield url


@pytest.fixture
def job(url: str, valkey: redis.Redis) -> Job:
    answer = httpx.post(f"{url}/v1/jobs", files=FILES)
    assert answer.status_code == 202, answer.text
    return Job.model_validate_json(answer.content)


@contextmanager
def stream(url: str, job: Job, last: str | None = None) -> Iterator[httpx.Response]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with (
        httpx.Client(timeout=PATIENCE_SECONDS) as client,
        client.stream("GET", url + job.urls.events, headers=headers) as response,
    ):
        yield response


def events(response: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


def test_a_job_is_told_from_its_acceptance_to_its_end(
    url: str,
    job: Job,
    records: JobRecords,
    report: Report,
    paint: Callable[[str], StoredOutput],
) -> None:
    with stream(url, job) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert "no-store" in response.headers["Cache-Control"]
        told = events(response)
        first = next(told)
        assert (first.name, Job.model_validate(first.data)) == ("status", job)

        lease = records.claim(job.id, "w1")
        assert isinstance(lease, Lease)
        event = next(told)
        assert event.name == "status"
        assert event.data["status"] == "running"
        progress = report(job.id, step=5)
        event = next(told)
        assert event.name == "progress"
        assert Progress.model_validate(event.data) == progress
        report(job.id, step=7, previews=[6])
        event = next(told)
        assert event.name == "progress"
        event = next(told)
        assert event.name == "preview"
        assert event.data == {"step": 6, "url": f"/v1/jobs/{job.id}/preview?step=6"}

        records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="it blew up"))
        event = next(told)
        assert event.name == "completed"
        last = Job.model_validate(event.data)
        assert (last.status, last.error and last.error.code) == ("failed", "diverged")
        assert list(told) == []  # and the stream ends

    assert httpx.get(url + job.urls.self).json() == event.data
    with stream(url, job, last=event.id) as response:
        assert response.status_code == 204  # nothing will come any more


def test_a_stream_that_was_cut_off_goes_on_after_the_last_event(
    url: str, job: Job, records: JobRecords, report: Report
) -> None:
    records.claim(job.id, "w1")
    report(job.id, step=5, previews=[2])
    with stream(url, job) as response:
        seen = next(events(response))
    assert seen.data["progress"]["step"] == 5

    report(job.id, step=8, previews=[2])
    with stream(url, job, last=seen.id) as response:
        told = events(response)
        event = next(told)
        assert (event.name, event.data["step"]) == ("progress", 8)  # and neither status nor preview
        records.cancel(job.id)
        assert next(told).name == "status"


@pytest.mark.parametrize("last", ["", "nonsense", "a/b/c", "../1/2", "ff/9999999999999999999/0"])
def test_an_id_that_is_none_of_ours_is_as_good_as_none(url: str, job: Job, last: str) -> None:
    with stream(url, job, last=last) as response:
        assert next(events(response)).name == "status"


def test_whoever_follows_wishes_for_previews(url: str, job: Job, records: JobRecords) -> None:
    records.claim(job.id, "w1")
    with stream(url, job) as response:
        next(events(response))
        until(lambda: records.wishes(job.id).preview)


def test_one_that_comes_after_the_end_is_told_of_it(
    url: str, job: Job, paint: Callable[[str], StoredOutput]
) -> None:
    paint(job.id)
    with stream(url, job) as response:
        assert [event.name for event in events(response)] == ["completed"]


def test_a_job_that_is_deleted_ends_its_streams(
    url: str, job: Job, records: JobRecords, valkey: redis.Redis
) -> None:
    with stream(url, job) as response:
        told = events(response)
        next(told)
        valkey.flushall()
        assert list(told) == []


def test_a_job_that_cannot_be_shown_does_not_keep_news_from_the_others(
    url: str, records: JobRecords, valkey: redis.Redis
) -> None:
    with ExitStack() as streams:
        followed = []
        for _ in range(12):  # more than there are turns
            made = httpx.post(f"{url}/v1/jobs", files=FILES)
            job = Job.model_validate_json(made.content)
            told = events(streams.enter_context(stream(url, job)))
            next(told)
            followed.append((job, told))
        (broken, its_events), *others = followed
        valkey.hset(names.record(broken.id), "history", "no line of a history\n")
        for job, _ in others:
            records.cancel(job.id)
        assert [next(told).name for _, told in others] == ["completed"] * len(others)
        assert list(its_events) == []  # it is asked for again, and then somebody is told


def test_an_end_is_told_though_the_job_is_deleted_right_after_it(
    url: str, job: Job, records: JobRecords
) -> None:
    with stream(url, job) as response:
        told = events(response)
        next(told)
        records.cancel(job.id)
        time.sleep(1)  # it is news now, and nobody may have read it
        records.delete(job.id)
        assert [event.name for event in told] == ["completed"]


def test_a_stream_without_news_ends_in_time(
    settings: Settings, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "MAX_STREAM_SECONDS", 1.0)
    monkeypatch.setattr(events_module, "HEARTBEAT_SECONDS", 0.3)
    api = create_app(settings).test_client()
    made = Job.model_validate_json(post(api).data)
    text = api.get(made.urls.events).text
    assert text.count("\n:\n") >= 2
    assert text.count("event: ") == 1


def test_the_streams_of_a_key_that_is_revoked_end(
    settings: Settings,
    change: Change,
    valkey: redis.Redis,
    records: JobRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events_module, "HEARTBEAT_SECONDS", 0.2)
    keys = ApiKeys(valkey, settings)
    headers = {"Authorization": f"Bearer {keys.create('guest')}"}
    api = create_app(change(key_cache_seconds=0)).test_client()
    made = Job.model_validate_json(api.post("/v1/jobs", **form(), headers=headers).data)
    told = iter(api.get(made.urls.events, headers=headers, buffered=False).response)
    while "event: status" not in str(next(told)):
        pass
    keys.revoke(keys.list()[0].id)
    records.claim(made.id, "w1")
    assert "event: " not in "".join(map(str, told))


def test_what_is_not_there_is_refused_before_the_stream(url: str, valkey: redis.Redis) -> None:
    answer = httpx.get(f"{url}/v1/jobs/nothing/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_streams_do_not_keep_polls_from_their_answers(
    url: str, job: Job, records: JobRecords, report: Report
) -> None:
    """There are two threads for requests, and as many more as there may be streams."""
    records.claim(job.id, "w1")
    steps = itertools.count(1)
    alone = poll_seconds(url, job)
    with ExitStack() as streams:
        for _ in range(MAX_STREAMS):
            next(events(streams.enter_context(stream(url, job))))
        refused = httpx.get(url + job.urls.events)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) > 0

        assert poll_seconds(url, job) < 10 * alone + 2  # a stream looks up every 15 s

    def is_free() -> bool:
        report(job.id, next(steps))  # so that there is something to say to whoever is still there
        with stream(url, job) as response:
            return response.status_code == 200

    until(is_free)  # whoever went away has given up the place


def poll_seconds(url: str, job: Job) -> float:
    """How long many polls take, all together."""
    began = time.monotonic()
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(8) as clients:
        polls = list(clients.map(lambda _: client.get(url + job.urls.self), range(40)))
    assert {poll.status_code for poll in polls} == {200}
    return time.monotonic() - began


def test_all_places_are_not_for_one_key(
    settings: Settings, change: Change, valkey: redis.Redis, tmp_path: Path
) -> None:
    keys = ApiKeys(valkey, settings)
    greedy, modest = (
        {"Authorization": f"Bearer {keys.create(name)}"} for name in ("greedy", "modest")
    )
    environment = {"IMPASTO_MAX_STREAMS": "3", "IMPASTO_MAX_KEY_STREAMS": "2"}
    with (
        running_api(settings, tmp_path / "log", **environment) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client,
        ExitStack() as streams,
    ):

        def follow(headers: dict[str, str]) -> httpx.Response:
            made = client.post("/v1/jobs", files=FILES, headers=headers).json()
            response = client.stream("GET", made["urls"]["events"], headers=headers)
            return streams.enter_context(response)

        assert [follow(greedy).status_code for _ in range(3)] == [200, 200, 429]
        assert [follow(modest).status_code for _ in range(2)] == [200, 503]


def test_streams_outlast_an_outage_of_redis(
    through: Callable[..., Settings], redis_line: Proxy, tmp_path: Path, records: JobRecords
) -> None:
    with running_api(through(), tmp_path / "log") as url:
        made = httpx.post(f"{url}/v1/jobs", files=FILES)
        job = Job.model_validate_json(made.content)
        with stream(url, job) as response:
            told = events(response)
            next(told)
            redis_line.refuse()
            time.sleep(2)
            records.claim(job.id, "w1")
            redis_line.mend()
            assert next(told).data["status"] == "running"


def test_streams_end_when_the_server_does_and_go_on_at_the_next(
    settings: Settings, tmp_path: Path, valkey: redis.Redis, records: JobRecords
) -> None:
    with serve(settings, tmp_path / "first") as first:
        job = Job.model_validate_json(httpx.post(f"{first.url}/v1/jobs", files=FILES).content)
        with stream(first.url, job) as response:
            told = events(response)
            seen = next(told)
            os.kill(first.process.pid, signal.SIGTERM)
            assert list(told) == []  # an end, not a broken connection
        first.process.wait(PATIENCE_SECONDS)
    records.claim(job.id, "w1")
    with running_api(settings, tmp_path / "next") as url, stream(url, job, seen.id) as response:
        assert next(events(response)).data["status"] == "running"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
