"""Previews by step, and the images that a job was made from."""

import hashlib
from collections.abc import Callable

import pytest
import redis
from flask.testing import FlaskClient

from shared.jobs import Job, LossCurve, StoredOutput
from shared.records import JobRecords
from shared.storage import Storage, input_key, losses_key, preview_key
from tests.api.conftest import CONTENT, STYLE, Report, post
from tests.conftest import store_input

FIRST, SECOND = b"\xff\xd8first", b"\xff\xd8second"


@pytest.fixture
def job(api: FlaskClient) -> Job:
    return Job.model_validate_json(post(api).data)


def test_the_newest_preview_is_shown_and_asking_keeps_them_coming(
    api: FlaskClient, job: Job, records: JobRecords, storage: Storage, report: Report
) -> None:
    assert api.get(job.urls.preview).status_code == 404
    assert not records.wishes(job.id).preview  # nobody paints it yet

    records.claim(job.id, "w1")
    assert api.get(job.urls.preview).status_code == 404  # nor has anybody painted
    storage.put(preview_key(job.id, 3), FIRST, "image/jpeg")
    report(job.id, step=4, previews=[3])
    answer = api.get(job.urls.preview)
    assert (answer.status_code, answer.data) == (200, FIRST)
    assert answer.content_type == "image/jpeg"
    assert "no-cache" in answer.headers["Cache-Control"]
    assert records.wishes(job.id).preview

    known = {"If-None-Match": answer.headers["ETag"]}
    assert api.get(job.urls.preview, headers=known).status_code == 304
    storage.put(preview_key(job.id, 9), SECOND, "image/jpeg")
    report(job.id, step=9, previews=[3, 9])
    assert api.get(job.urls.preview, headers=known).data == SECOND


def test_each_preview_stays_under_its_step_and_need_not_be_asked_for_again(
    api: FlaskClient, job: Job, records: JobRecords, storage: Storage, report: Report
) -> None:
    records.claim(job.id, "w1")
    for step, data in ((3, FIRST), (9, SECOND)):
        storage.put(preview_key(job.id, step), data, "image/jpeg")
    report(job.id, step=9, previews=[3, 9])

    shown = Job.model_validate_json(api.get(job.urls.self).data)
    assert shown.progress is not None
    for step, data in zip(shown.progress.previews, (FIRST, SECOND), strict=True):
        answer = api.get(f"{job.urls.preview}?step={step}")
        assert answer.data == data
        assert {"immutable", "private"} <= set(answer.headers["Cache-Control"].split(", "))
        known = {"If-None-Match": answer.headers["ETag"]}
        assert api.get(f"{job.urls.preview}?step={step}", headers=known).status_code == 304
    assert api.get(f"{job.urls.preview}?step=4").status_code == 404


@pytest.mark.parametrize("step", ["-1", "first", "1e3", "../../request.json", ""])
def test_what_is_no_step_is_refused(api: FlaskClient, job: Job, step: str) -> None:
    answer = api.get(f"{job.urls.preview}?step={step}")
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (422, "query/step")


def test_the_images_of_a_job_are_given_back_to_who_posted_it(api: FlaskClient, job: Job) -> None:
    for digest, data in ((job.inputs.content, CONTENT), (job.inputs.styles[0], STYLE)):
        answer = api.get(f"/v1/jobs/{job.id}/inputs/{digest}")
        assert (answer.data, answer.content_type) == (data, "image/png")
        assert "immutable" in answer.headers["Cache-Control"]


def test_only_the_images_of_that_job_are_given(
    api: FlaskClient, job: Job, storage: Storage, valkey: redis.Redis
) -> None:
    other = store_input(storage, b"\xff\xd8 of somebody else")
    for digest in (other, hashlib.sha256(b"nothing").hexdigest(), "..", "x" * 64):
        answer = api.get(f"/v1/jobs/{job.id}/inputs/{digest}")
        assert answer.status_code == 404, digest
        assert answer.content_type == "application/problem+json"
    assert job.inputs.content is not None
    storage.delete(input_key(job.inputs.content))
    assert api.get(f"/v1/jobs/{job.id}/inputs/{job.inputs.content}").status_code == 404


def test_how_the_losses_fell_is_told_from_the_first_preview_on(
    api: FlaskClient, job: Job, storage: Storage
) -> None:
    assert api.get(job.urls.losses).status_code == 404
    curve = LossCurve(step=[1, 5], content=[2, 1], style=[3, 2], tv=[0, 0], total=[5, 3])
    storage.put(losses_key(job.id), curve.model_dump_json().encode(), "application/json")
    assert LossCurve.model_validate_json(api.get(job.urls.losses).data) == curve


def test_previews_stay_when_the_job_has_ended(
    api: FlaskClient,
    job: Job,
    storage: Storage,
    report: Report,
    paint: Callable[[str], StoredOutput],
) -> None:
    report(job.id, step=9, previews=[9])
    storage.put(preview_key(job.id, 9), SECOND, "image/jpeg")
    paint(job.id)
    assert api.get(job.urls.preview).data == SECOND
    assert api.delete(job.urls.delete).status_code == 204
    assert not list(storage.keys(f"jobs/{job.id}/"))


def test_a_picture_is_passed_on_block_by_block_and_whole(
    api: FlaskClient, job: Job, paint: Callable[[str], StoredOutput], storage: Storage
) -> None:
    output = paint(job.id)
    large = bytes(range(256)) * 4096  # sixteen blocks
    storage.put(output.result_key, large, "image/png")
    answer = api.get(f"{job.urls.result}?proxy=1", buffered=False)
    assert answer.headers["Content-Length"] == str(len(large))
    assert len(blocks := list(answer.response)) > 8
    assert b"".join(blocks) == large
    answer.close()
