"""The API dies in the middle of a request: the job is accepted or it is not, never half."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from client import Impasto
from shared.jobs import JobStatus
from tests.faults.jobs import SMALL
from tests.faults.proxy import Moment
from tests.faults.rig import Rig, kill, until


def known(rig: Rig) -> set[str]:
    """Ids of all jobs."""
    with Impasto(rig.url) as client:
        return {job.id for job in client.jobs(limit=100).jobs}


def test_a_request_that_was_half_sent_is_no_job(rig: Rig) -> None:
    before = known(rig)
    request = httpx.Request(
        "POST",
        f"{rig.url}/v1/jobs",
        files={"content": ("a.png", rig.picture("content").read_bytes())},
    )
    body = request.read()
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join(["POST /v1/jobs HTTP/1.1", *lines, "", ""]).encode()
    address = (request.url.host, request.url.port)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head + body[: len(body) // 2])
        kill(rig.api.process)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""  # no answer
    rig.repair()
    assert known(rig) == before


@pytest.mark.parametrize(
    ("word", "moment", "accepted"),
    [
        (b"EVALSHA", Moment.REQUEST_LOST, False),
        (b"LPUSH", Moment.REQUEST_LOST, True),
        (b"LPUSH", Moment.ANSWER_LOST, True),
    ],
)
def test_an_api_that_is_killed_while_it_accepts_a_job_accepts_it_or_not(
    rig: Rig, word: bytes, moment: Moment, accepted: bool
) -> None:
    before = known(rig)
    death = rig.api.redis.when(word, do=lambda: kill(rig.api.process), moment=moment)
    with pytest.raises(httpx.TransportError):
        rig.post(**SMALL)
    death.wait(10)
    rig.repair()
    new = known(rig) - before
    assert len(new) == accepted
    for job_id in new:  # nobody may have told a worker, and yet it is painted
        rig.watch(job_id)
        assert rig.wait_for_end(job_id).status == JobStatus.SUCCEEDED


def test_jobs_go_on_without_the_api(rig: Rig) -> None:
    job = rig.submit(**SMALL)
    rig.api.kill()
    assert rig.wait_for_end(job.id).status == JobStatus.SUCCEEDED
    rig.repair()
    until(lambda: rig.client.job(job.id).status == JobStatus.SUCCEEDED, "the API's return")


def test_a_request_that_is_sent_ten_times_with_one_key_is_one_job(rig: Rig) -> None:
    before = known(rig)

    def insist(_: int) -> str:
        while (answer := rig.post("ten times", **SMALL)).status_code == 409:
            time.sleep(0.1)  # the first is still worked on
        assert answer.status_code == 202
        return str(answer.json()["id"])

    with ThreadPoolExecutor(10) as pool:
        job_ids = set(pool.map(insist, range(10)))
    assert job_ids == known(rig) - before
    (job_id,) = job_ids
    assert rig.wait_for_end(job_id).attempt == 1
    assert rig.post("ten times", **SMALL).json()["id"] == job_id


@pytest.mark.parametrize("moment", [Moment.REQUEST_LOST, Moment.ANSWER_LOST])
def test_a_request_whose_answer_was_lost_can_be_sent_again_with_its_key(
    rig: Rig, moment: Moment
) -> None:
    before = known(rig)
    key = f"again, {moment.name}"
    death = rig.api.redis.when(b"LPUSH", do=lambda: kill(rig.api.process), moment=moment)
    with pytest.raises(httpx.TransportError):
        rig.post(key, **SMALL)
    death.wait(10)
    rig.repair()
    answer = rig.post(key, **SMALL)
    assert answer.status_code == 202
    assert known(rig) - before == {answer.json()["id"]}
