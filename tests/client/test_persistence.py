"""Requests that make a job: whatever happens on the way, it is one job, and the caller has it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from client import ApiProblem, Impasto, ServiceUnreachable
from client import persistence as module
from shared.jobs import Job, JobStatus
from tests.client.conftest import NOBODY
from tests.faults.proxy import Moment, Proxy

MakePicture = Callable[..., Path]


@pytest.fixture
def line(url: str) -> Iterator[Proxy]:
    """The network between the client and the API."""
    parts = urlsplit(url)
    with Proxy((str(parts.hostname), int(parts.port or 0))) as proxy:
        yield proxy


@pytest.fixture
def far(line: Proxy, valkey: redis.Redis) -> Iterator[Impasto]:
    """A client behind that network."""
    with Impasto(f"http://127.0.0.1:{line.port}", timeout_seconds=10) as impasto:
        yield impasto


@pytest.fixture
def submit(picture_file: MakePicture) -> Callable[..., Job]:
    content, style = picture_file("content"), picture_file("style")
    return lambda impasto, **options: impasto.submit(content, [style], **options)


@pytest.mark.parametrize("moment", [Moment.REQUEST_LOST, Moment.ANSWER_LOST])
def test_a_connection_that_breaks_makes_neither_none_nor_two(
    impasto: Impasto, far: Impasto, line: Proxy, submit: Callable[..., Job], moment: Moment
) -> None:
    broken = line.when(b"POST /v1/jobs", moment=moment)
    job = submit(far)
    assert broken.happened
    assert [known.id for known in impasto.jobs().jobs] == [job.id]


@pytest.mark.parametrize("moment", [Moment.REQUEST_LOST, Moment.ANSWER_LOST])
def test_a_retry_over_a_connection_that_breaks_is_one_job(
    impasto: Impasto, far: Impasto, line: Proxy, submit: Callable[..., Job], moment: Moment
) -> None:
    first = submit(impasto)
    impasto.cancel(first.id)
    broken = line.when(b"/retry", moment=moment)
    again = far.retry(first.id)
    assert broken.happened
    assert again.retried_from == first.id
    assert [known.id for known in impasto.jobs([JobStatus.QUEUED]).jobs] == [again.id]


def test_a_service_that_starts_again_is_waited_for(
    far: Impasto, line: Proxy, submit: Callable[..., Job]
) -> None:
    line.refuse()
    threading.Timer(1.0, line.pass_on).start()
    assert submit(far).status == JobStatus.QUEUED


def test_a_redis_that_is_away_for_a_while_is_waited_for(
    impasto: Impasto, submit: Callable[..., Job], valkey: redis.Redis
) -> None:
    impasto.jobs()
    valkey.execute_command("CLIENT", "PAUSE", 3000, "ALL")
    started = time.monotonic()
    job = submit(impasto)
    assert time.monotonic() - started > 2  # it was refused at least once
    assert [known.id for known in impasto.jobs().jobs] == [job.id]


def test_callers_with_the_same_key_have_the_same_job(
    url: str, valkey: redis.Redis, submit: Callable[..., Job]
) -> None:
    jobs: list[Job] = []
    together = threading.Barrier(4)

    def call() -> None:
        with Impasto(url) as impasto:
            together.wait()
            jobs.append(submit(impasto, idempotency_key="order 7"))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(jobs) == 4
    assert len({job.id for job in jobs}) == 1


def test_every_call_has_a_key_of_its_own(impasto: Impasto, submit: Callable[..., Job]) -> None:
    first, second = submit(impasto), submit(impasto)
    assert first.id != second.id
    impasto.cancel(first.id)
    assert impasto.retry(first.id).id != impasto.retry(first.id).id
    same = [impasto.retry(first.id, idempotency_key="again").id for _ in range(2)]
    assert same[0] == same[1]


def test_a_refusal_is_final(impasto: Impasto, submit: Callable[..., Job]) -> None:
    submit(impasto, idempotency_key="order 7")
    started = time.monotonic()
    with pytest.raises(ApiProblem) as refusal:
        submit(impasto, idempotency_key="order 7", size=64)
    assert (refusal.value.status, refusal.value.code) == (422, "idempotency_key_reused")
    assert time.monotonic() - started < 5


def test_patience_ends(
    far: Impasto, line: Proxy, submit: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AWAY_SECONDS", 1.0)
    line.black_hole()
    with (
        Impasto(far.url, timeout_seconds=0.3) as impatient,
        pytest.raises(ServiceUnreachable) as gone,
    ):
        submit(impatient)
    assert gone.value.was_sent

    started = time.monotonic()
    with Impasto(NOBODY) as nobody, pytest.raises(ServiceUnreachable) as absent:
        submit(nobody)
    assert not absent.value.was_sent
    assert 1 < time.monotonic() - started < 20


def test_it_waits_as_long_as_the_service_says() -> None:
    asked: list[float] = []

    def send() -> str:
        asked.append(time.monotonic())
        if len(asked) == 1:
            raise ApiProblem(503, "unavailable", "the queue is full", retry_after_seconds=1)
        return "done"

    assert module.persistently(send) == "done"
    assert asked[1] - asked[0] >= 1
