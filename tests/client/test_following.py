"""Following a job: by its stream of events, and wherever that does not come through."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from client import (
    ApiProblem,
    Completed,
    Impasto,
    PreviewMade,
    Progressed,
    ServiceUnreachable,
    StatusChanged,
)
from client import streaming as module
from client.patience import FOR_THE_END, Patience
from shared.jobs import JobStatus, StoredOutput
from shared.records import JobRecords
from tests.api.conftest import Change, Report
from tests.client.conftest import NOBODY, listening
from tests.faults.proxy import Proxy

Paint = Callable[[str], StoredOutput]
MakePicture = Callable[..., Path]
RUNNING, QUEUED, SUCCEEDED = JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.SUCCEEDED
STREAM_SIGNS = (b"text/event-stream", b"retry: 2000", b"event: ")


@pytest.fixture
def job_id(impasto: Impasto, picture_file: MakePicture) -> str:
    return impasto.submit(picture_file("content"), [picture_file("style")]).id


@pytest.fixture
def heard(line: Proxy) -> list[str]:
    """What clients ask the API over the line: the first line, and how the stream goes on."""
    requests: list[str] = []

    def note(piece: bytes) -> bytes:
        if piece.startswith((b"GET ", b"POST ")):
            lines = piece.decode(errors="replace").splitlines()
            last = [text for text in lines if text.lower().startswith("last-event-id")]
            requests.append(" ".join([lines[0].rsplit(" ", 1)[0], *last]))
        return piece

    line.change_requests(note)
    return requests


def streams(heard: list[str]) -> list[str]:
    return [request for request in heard if "/events" in request]


def test_the_newest_progress_comes_by_the_stream_and_without_asking_again(
    far: Impasto, heard: list[str], job_id: str, records: JobRecords, report: Report
) -> None:
    following = far.follow(job_id)
    assert next(following).status == QUEUED
    records.claim(job_id, "w1")
    assert next(job for job in following if job.status == RUNNING).progress is None
    for step in (5, 30):
        progress = report(job_id, step=step, previews=[step])
        job = next(job for job in following if job.progress is not None)
        assert job.progress == progress
        assert (job.id, job.status) == (job_id, RUNNING)
    records.cancel(job_id)
    assert next(job for job in following if job.cancel_requested_at is not None).progress
    assert len(streams(heard)) == 1
    assert len(heard) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_following_ends_with_the_job(
    impasto: Impasto, job_id: str, paint: Paint, stream: bool
) -> None:
    seen = []
    for job in impasto.follow(job_id, stream=stream):
        if not seen:
            paint(job_id)
        seen.append(job)
    assert (seen[0].status, seen[-1].status) == (QUEUED, SUCCEEDED)
    assert seen[-1] == impasto.job(job_id)
    assert list(impasto.follow(job_id)) == [seen[-1]]


def test_without_a_stream_it_comes_at_every_poll(impasto: Impasto, job_id: str) -> None:
    following = impasto.follow(job_id, stream=False)
    first, second = next(following), next(following)
    assert first == second


def test_a_stream_that_breaks_off_goes_on_after_the_last_event(
    far: Impasto,
    line: Proxy,
    heard: list[str],
    job_id: str,
    records: JobRecords,
    report: Report,
    paint: Paint,
) -> None:
    events = far.events(job_id)
    first = next(events)
    assert isinstance(first, StatusChanged)
    assert first.job.status == QUEUED
    line.reset()
    records.claim(job_id, "w1")
    second = next(events)
    assert isinstance(second, StatusChanged)
    assert second.job.status == RUNNING
    one, two = streams(heard)
    assert "last-event-id" not in one.lower()
    assert two.lower().endswith(f"last-event-id: {first.id}")

    progress = report(job_id, step=7, previews=[7])
    third, fourth = next(events), next(events)
    assert isinstance(third, Progressed)
    assert third.progress == progress
    assert isinstance(fourth, PreviewMade)
    assert fourth.step == 7
    records.cancel(job_id)
    events.close()


def test_events_end_with_the_job(impasto: Impasto, job_id: str, paint: Paint) -> None:
    paint(job_id)
    (event,) = impasto.events(job_id)
    assert isinstance(event, Completed)
    assert event.job == impasto.job(job_id)
    assert list(impasto.events(job_id, last_event_id=event.id)) == []


def test_a_follower_does_not_notice_that_the_line_breaks(
    far: Impasto, line: Proxy, heard: list[str], job_id: str, paint: Paint
) -> None:
    following = far.follow(job_id)
    next(following)
    for number in (1, 2):
        breaking = threading.Thread(target=break_stream, args=(line, heard, number))
        breaking.start()
        assert next(following).status == QUEUED  # what a poll says in between
        breaking.join()
    paint(job_id)
    *_, last = following
    assert last.status == SUCCEEDED
    assert len(streams(heard)) >= 2


def break_stream(line: Proxy, heard: list[str], number: int) -> None:
    """Once it has begun, and told how the job is."""
    deadline = time.monotonic() + 30
    while len(streams(heard)) < number and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    line.reset()


def test_a_service_that_is_away_for_a_while_is_waited_for(
    far: Impasto, line: Proxy, job_id: str, paint: Paint
) -> None:
    following = far.follow(job_id)
    next(following)
    line.refuse()
    paint(job_id)
    threading.Timer(2.0, line.pass_on).start()
    *_, last = following
    assert last.status == SUCCEEDED


def test_where_there_is_no_place_for_a_stream_the_job_is_polled(
    change: Change, impasto: Impasto, job_id: str, paint: Paint
) -> None:
    with listening(change(max_streams=1)) as url, Impasto(url) as other, Impasto(url) as far:
        occupant = other.events(job_id)
        next(occupant)
        with pytest.raises(ApiProblem) as full:
            next(Impasto(url, patient=False).events(job_id))
        assert full.value.status == 503
        seen = []
        for job in far.follow(job_id):
            seen.append(job.status)
            if len(seen) == 2:
                paint(job_id)
        assert seen == [QUEUED, QUEUED, SUCCEEDED]
        occupant.close()


def test_where_there_are_no_streams_the_job_is_polled(
    far: Impasto, line: Proxy, job_id: str, paint: Paint
) -> None:
    line.change_requests(lambda piece: piece.replace(b"/events HTTP", b"/no-such HTTP"))
    seen = []
    for job in far.follow(job_id):
        seen.append(job.status)
        if len(seen) == 2:
            paint(job_id)
    assert seen == [QUEUED, QUEUED, SUCCEEDED]


def test_a_proxy_that_keeps_the_events_is_found_out_once(
    far: Impasto,
    line: Proxy,
    heard: list[str],
    job_id: str,
    paint: Paint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.5)

    def keep(piece: bytes) -> bytes:
        # The length of a chunk, or its end, may come as a piece of its own.
        is_answer = piece.startswith((b"HTTP/", b"{"))
        return piece if is_answer and not any(sign in piece for sign in STREAM_SIGNS) else b""

    line.change_answers(keep)
    following = far.follow(job_id)
    next(following)
    assert next(following).status == QUEUED
    paint(job_id)
    *_, last = following
    assert last.status == SUCCEEDED
    assert far.wait(job_id).status == SUCCEEDED
    assert len(streams(heard)) == 1


def test_an_answer_that_is_no_stream_is_not_waited_for(
    far: Impasto, line: Proxy, job_id: str, paint: Paint
) -> None:
    line.change_answers(lambda piece: piece.replace(b"text/event-stream", b"text/html; stream"))
    seen = []
    for job in far.follow(job_id):
        seen.append(job.status)
        if len(seen) == 2:
            paint(job_id)
    assert seen[-1] == SUCCEEDED


def test_it_gives_up_in_the_end_and_at_once_on_a_refusal(
    impasto: Impasto, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    for ask in (impasto.follow, impasto.events):
        with pytest.raises(ApiProblem, match="no job"):
            list(ask("unknown"))
    assert time.monotonic() - started < FOR_THE_END.away_seconds / 2

    monkeypatch.setattr(module, "FOR_THE_END", Patience(nobody_seconds=0.3))
    with Impasto(NOBODY) as nobody, pytest.raises(ServiceUnreachable):
        list(nobody.follow("x"))
