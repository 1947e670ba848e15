"""The Python client against a live API."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from client import (
    ApiProblem,
    ClientError,
    Impasto,
    JobFailed,
    ServiceSilent,
    ServiceUnreachable,
)
from shared.jobs import (
    ErrorCode,
    Inputs,
    Job,
    JobError,
    JobStatus,
    LossCurve,
    Priority,
    StoredOutput,
)
from shared.keys import ApiKeys
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage, losses_key, preview_key
from tests.api.conftest import Report
from tests.client.conftest import NOBODY, Stranger, listening

Paint = Callable[[str], StoredOutput]
MakePicture = Callable[..., Path]


@pytest.fixture
def job_id(impasto: Impasto, picture_file: MakePicture) -> str:
    return impasto.submit(picture_file("content"), [picture_file("style")]).id


def test_a_submitted_job_is_what_was_asked_for(impasto: Impasto, picture_file: MakePicture) -> None:
    job = impasto.submit(
        picture_file("content"),
        [str(picture_file("style")), picture_file("other")],
        metadata={"order": 7},
        priority=Priority.LOW,
        preset="neural-style",
        size=64,
        style_weights=[1, 2],
    )
    assert (job.params.preset, job.params.size, job.params.optimizer) == (
        "neural-style",
        64,
        "lbfgs",
    )
    assert job.params.style_weights == [1.0, 2.0]
    assert (job.metadata["order"], job.priority) == (7, Priority.LOW)
    assert impasto.job(job.id) == job


def test_the_names_of_the_files_are_kept_with_the_job_whatever_they_are(
    impasto: Impasto, picture_file: MakePicture, tmp_path: Path
) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9 "\n\xf0\x9f\x8e\xa8.png'))
    strange.write_bytes(picture_file("content").read_bytes())
    job = impasto.submit(strange, [picture_file("style")], metadata={"style_names": ["mine"]})
    assert job.metadata == {"content_name": 'caf\ufffd "\n\U0001f3a8.png', "style_names": ["mine"]}


def test_what_a_finished_job_made_can_be_fetched(
    impasto: Impasto, job_id: str, paint: Paint, tmp_path: Path
) -> None:
    paint(job_id)
    assert impasto.wait(job_id).status == JobStatus.SUCCEEDED
    impasto.save_result(job_id, tmp_path / "result.png")
    assert (tmp_path / "result.png").read_bytes() == impasto.result(job_id) != b""
    assert impasto.manifest(job_id) == {"weights": "oxford-q8"}


def test_waiting_for_a_failed_job_says_why(
    impasto: Impasto, job_id: str, records: JobRecords
) -> None:
    lease = records.claim(job_id, "w1")
    assert isinstance(lease, Lease)
    records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="the loss is not a number"))
    with pytest.raises(
        JobFailed, match=r"failed: the loss is not a number \(diverged\)"
    ) as failure:
        impasto.wait(job_id)
    assert failure.value.job.id == job_id


def test_jobs_are_listed_page_by_page(impasto: Impasto, picture_file: MakePicture) -> None:
    ids = [impasto.submit(picture_file("content"), [picture_file("style")]).id for _ in range(3)]
    impasto.cancel(ids[0])
    first = impasto.jobs(limit=2)
    assert [job.id for job in first.jobs] == [ids[2], ids[1]]
    second = impasto.jobs(limit=2, cursor=first.next_cursor)
    assert [job.id for job in second.jobs] == [ids[0]]
    assert [job.id for job in impasto.jobs([JobStatus.CANCELED]).jobs] == [ids[0]]


def test_all_jobs_come_one_after_the_other_whatever_the_pages(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    ids = [impasto.submit(picture_file("content"), [picture_file("style")]).id for _ in range(5)]
    impasto.cancel(ids[1])
    assert [job.id for job in impasto.all_jobs(page_size=2)] == ids[::-1]
    queued = impasto.all_jobs([JobStatus.QUEUED], page_size=1)
    assert next(queued).id == ids[4]
    assert [job.id for job in queued] == [ids[3], ids[2], ids[0]]


def test_pictures_may_be_bytes_that_are_no_files(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    content, style = picture_file("content"), picture_file("style")
    job = impasto.submit(content.read_bytes(), [style.read_bytes()])
    assert job.inputs.content == hashlib.sha256(content.read_bytes()).hexdigest()
    assert job.metadata == {}


def test_a_submission_can_wait_for_the_end_of_its_job(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    def cancel_the_first() -> None:
        with Impasto(impasto.url) as other:
            while not (found := other.jobs().jobs):
                time.sleep(0.05)
            other.cancel(found[0].id)

    canceler = threading.Thread(target=cancel_the_first)
    canceler.start()
    job = impasto.submit(picture_file("content"), [picture_file("style")], wait_seconds=30)
    canceler.join()
    assert job.status == JobStatus.CANCELED

    unfinished = impasto.retry(job.id, wait_seconds=1)
    assert unfinished.status == JobStatus.QUEUED
    with pytest.raises(ValueError, match="0 to 60"):
        impasto.retry(job.id, wait_seconds=61)


def test_a_preview_of_a_step_or_the_newest(
    impasto: Impasto, job_id: str, records: JobRecords, storage: Storage, report: Report
) -> None:
    records.claim(job_id, "w1")
    for step in (3, 7):
        storage.put(preview_key(job_id, step), f"JPEG {step}".encode(), "image/jpeg")
    with pytest.raises(ApiProblem):
        impasto.preview(job_id)
    report(job_id, step=7, previews=[3, 7])
    assert impasto.preview(job_id) == b"JPEG 7"
    assert impasto.preview(job_id, step=3) == b"JPEG 3"
    with pytest.raises(ApiProblem):
        impasto.preview(job_id, step=4)


def test_how_the_losses_fell(impasto: Impasto, job_id: str, storage: Storage) -> None:
    curve = LossCurve(step=[1, 5], content=[2, 1], style=[3, 2], tv=[0, 0], total=[5, 3])
    storage.put(losses_key(job_id), curve.model_dump_json().encode(), "application/json")
    assert impasto.losses(job_id) == curve


def test_the_images_of_a_job_come_back(impasto: Impasto, picture_file: MakePicture) -> None:
    job = impasto.submit(picture_file("content"), [picture_file("style")])
    assert job.inputs.content is not None
    found = impasto.input_image(job.id, job.inputs.content)
    assert found == picture_file("content").read_bytes()


def test_what_a_job_would_take_is_told_from_the_sizes_of_its_pictures(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    content, style = picture_file("content", 96, 72), picture_file("style", 64, 64)
    told = impasto.estimate(content, [style], size=64)
    assert (told.width_px, told.height_px) == (64, 48)
    assert told.steps > 0
    assert told.memory_bytes > 0
    assert impasto.estimate((96, 72), [(64, 64)], size=64) == told
    assert impasto.estimate(content.read_bytes(), [style.read_bytes()], size=64) == told
    with pytest.raises(ClientError, match="is no picture"):
        impasto.estimate(Path(__file__), [style])
    with pytest.raises(ApiProblem, match="params/size"):
        impasto.estimate(content, [style], size=1)


def test_a_refusal_carries_status_code_and_sentence(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    with pytest.raises(ApiProblem, match="params/size") as refusal:
        impasto.submit(picture_file("content"), [picture_file("style")], size=1)
    assert (refusal.value.status, refusal.value.code) == (422, "invalid_input")
    with pytest.raises(ApiProblem, match="missing"):
        impasto.submit(picture_file("content"))


def test_a_texture_a_reconstruction_masks_and_a_start_are_sent_as_they_are_said(
    impasto: Impasto, picture_file: MakePicture, records: JobRecords
) -> None:
    content, style, other = (picture_file(name) for name in ("content", "style", "other"))

    def inputs(job: Job) -> Inputs:
        found = records.get(job.id)
        assert found is not None
        return found[0].inputs

    texture = impasto.submit(None, [style], preset="texture", init_image=other)
    assert (inputs(texture).content, texture.params.init) == (None, "image")
    assert inputs(texture).init == hashlib.sha256(other.read_bytes()).hexdigest()
    assert texture.metadata == {"style_names": [style.name]}

    reconstruction = impasto.submit(content, preset="reconstruction", init="gray")
    assert (inputs(reconstruction).styles, reconstruction.params.init) == ([], "gray")

    masked = impasto.submit(content, [style, other], masks=[other, style])
    assert inputs(masked).masks == [*reversed(inputs(masked).styles)]


@pytest.mark.parametrize(
    "job_id", ["unknown", "", "..", "../presets", "a/b", "a?b", "a#b", "é", "\0"]
)
def test_an_id_is_never_taken_for_another_address(impasto: Impasto, job_id: str) -> None:
    asks = [impasto.job, impasto.cancel, impasto.retry, impasto.delete]
    asks += [impasto.result, impasto.preview, impasto.manifest]
    for ask in asks:
        with pytest.raises(ApiProblem) as refusal:
            ask(job_id)
        assert refusal.value.status in ((404,) if job_id else (404, 405, 308))


def test_a_deleted_job_is_gone(impasto: Impasto, job_id: str) -> None:
    with pytest.raises(ApiProblem, match="not ended") as unfinished:
        impasto.delete(job_id)
    assert unfinished.value.status == 409
    impasto.cancel(job_id)
    impasto.delete(job_id)
    with pytest.raises(ApiProblem) as gone:
        impasto.job(job_id)
    assert (gone.value.status, gone.value.code) == (410, "gone")


def test_a_key_is_sent_from_the_argument_or_the_environment(
    valkey: redis.Redis,
    settings: Settings,
    records: JobRecords,
    picture_file: MakePicture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = ApiKeys(valkey, settings)
    secret = keys.create("studio")
    (key,) = keys.list()
    with listening(settings) as url:
        with Impasto(url, api_key=secret) as impasto:
            job = impasto.submit(picture_file("content"), [picture_file("style")])
        found = records.get(job.id)
        assert found is not None
        assert found[0].owner == key.id

        monkeypatch.setenv("IMPASTO_API_KEY", f"{secret}\n")
        with Impasto(url) as impasto:
            assert impasto.job(job.id) == job

        with Impasto(url, api_key="impasto_no") as impasto, pytest.raises(ApiProblem) as refusal:
            impasto.jobs()
        assert refusal.value.status == 401


@pytest.mark.parametrize("key", ["schl\u00fcssel", "a\nb", "\0"])
def test_a_key_that_is_none_is_said_before_anything_is_sent(key: str) -> None:
    with pytest.raises(ClientError, match="API key"):
        Impasto(NOBODY, api_key=key)


def test_nobody_at_the_address_is_said_with_what_to_do() -> None:
    with Impasto(NOBODY) as impasto, pytest.raises(ServiceUnreachable, match="impasto up"):
        impasto.presets()


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://127.0.0.1", "http://[", "http://127.0.0.1:99999"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(ServiceUnreachable), Impasto(url) as impasto:
        impasto.presets()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>It works!</html>"),
        (200, b"{}"),
        (200, b"[]"),
        (500, b"<html>oops</html>"),
        (404, b"[1]"),
        (502, b'{"error": "bad gateway"}'),
        (400, b"null"),
    ],
)
def test_a_server_that_is_no_impasto_gives_our_error(
    stranger: Stranger, status: int, body: bytes
) -> None:
    with Impasto(stranger.start((status, {}, body)), patient=False) as impasto:
        for ask in (impasto.presets, impasto.workers, impasto.jobs, lambda: impasto.job("x")):
            with pytest.raises(ClientError):
                ask()


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Impasto(url, timeout_seconds=0.2, patient=False) as impasto,
            pytest.raises(ServiceSilent),
        ):
            impasto.job("x")


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_URL", "http://paint.example:1234/")
    with Impasto() as impasto:
        assert impasto.url == "http://paint.example:1234"
    monkeypatch.delenv("IMPASTO_URL")
    with Impasto() as impasto:
        assert impasto.url == "http://127.0.0.1:8080"


def test_a_client_needs_nothing_that_only_the_service_needs() -> None:
    code = "import sys, json, client, client.cli; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    service = {"torch", "flask", "celery", "kombu", "redis", "boto3", "PIL", "structlog"}
    assert not service & set(json.loads(done.stdout))
