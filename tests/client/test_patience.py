"""Requests that fail: whatever happens on the way, a job is one job, and the caller has it."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from client import ApiProblem, Impasto, ServiceUnreachable
from client.patience import FOR_A_JOB
from shared.jobs import Job, JobStatus
from tests.client.conftest import NOBODY, Stranger
from tests.faults.proxy import Moment, Proxy

MakePicture = Callable[..., Path]


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
    assert time.monotonic() - started < FOR_A_JOB.away_seconds / 2


def test_patience_ends(
    far: Impasto, line: Proxy, submit: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = replace(FOR_A_JOB, away_seconds=1.0)
    monkeypatch.setattr("client.operations.FOR_A_JOB", hurried)
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
    assert 1 < time.monotonic() - started < FOR_A_JOB.away_seconds


REFUSAL = '{{"code": "{}", "detail": "not now"}}'
NO_WORKERS = (200, {}, b'{"workers": []}')


def refusal(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, REFUSAL.format(code).encode()


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (503, "unavailable")])
def test_it_waits_as_long_as_the_service_says(stranger: Stranger, status: int, code: str) -> None:
    url = stranger.start(refusal(status, code, Retry_After="1"), NO_WORKERS)
    started = time.monotonic()
    with Impasto(url) as impasto:
        assert impasto.workers() == []
    assert time.monotonic() - started >= 1
    assert len(stranger.requests) == 2


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_without_a_service_behind_it_is_asked_again(
    stranger: Stranger, status: int
) -> None:
    with Impasto(stranger.start((status, {}, b"<html>"), NO_WORKERS)) as impasto:
        assert impasto.workers() == []


@pytest.mark.parametrize(
    "answer",
    [
        refusal(429, "rate_limited", Retry_After="1000"),  # nobody waits so long
        refusal(429, "too_many", Retry_After="1"),  # ends with a job, whenever that is
        refusal(404, "not_found"),
        refusal(500, "internal"),
    ],
    ids=lambda answer: str(answer[0]),
)
def test_what_would_be_the_same_again_is_raised_at_once(
    stranger: Stranger, answer: tuple[int, dict[str, str], bytes]
) -> None:
    with Impasto(stranger.start(answer)) as impasto, pytest.raises(ApiProblem) as refused:
        impasto.workers()
    assert refused.value.status == answer[0]
    assert len(stranger.requests) == 1


def test_who_is_not_patient_asks_once(stranger: Stranger) -> None:
    url = stranger.start(refusal(503, "unavailable"), NO_WORKERS)
    with Impasto(url, patient=False) as impasto, pytest.raises(ApiProblem):
        impasto.workers()


def test_a_deletion_that_may_have_arrived_is_not_sent_again(
    impasto: Impasto, far: Impasto, line: Proxy, submit: Callable[..., Job]
) -> None:
    job = submit(impasto)
    impasto.cancel(job.id)
    line.when(b"DELETE", moment=Moment.ANSWER_LOST)
    with pytest.raises(ServiceUnreachable):  # and not a 410 that would be no news
        far.delete(job.id)
    with pytest.raises(ApiProblem) as gone:
        impasto.job(job.id)
    assert gone.value.status == 410
