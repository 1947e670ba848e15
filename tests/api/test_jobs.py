"""The routes of a job, as a client meets them."""

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient

from shared.jobs import ErrorCode, Job, JobError, JobList, StoredOutput
from shared.names import QUEUE
from shared.presets import PRESETS
from shared.records import JobRecords, Lease
from shared.storage import Storage, input_key
from tests.api.conftest import CONTENT, STYLE, Traces, post
from tests.conftest import picture_bytes

Paint = Callable[[str], StoredOutput]


def submit(api: FlaskClient, **fields: Any) -> Job:
    answer = post(api, **fields)
    assert answer.status_code == 202, answer.text
    return Job.model_validate_json(answer.data)


# -- accepting ----------------------------------------------------------------------------------


def test_an_accepted_job_is_stored_queued_and_published(
    api: FlaskClient, storage: Storage, valkey: redis.Redis
) -> None:
    answer = post(
        api,
        params=json.dumps({"preset": "content-clone", "size": 64}),
        metadata='{"order": 7}',
        priority="high",
    )

    assert answer.status_code == 202
    assert answer.content_type == "application/json"
    assert answer.headers["Retry-After"] == "1"
    job = Job.model_validate_json(answer.data)
    assert answer.headers["Location"] == f"/v1/jobs/{job.id}" == job.urls.self
    assert (job.status, job.priority, job.attempt, job.queue_position) == ("queued", "high", 0, 0)
    assert (job.params.preset, job.params.size, job.params.steps) == ("content-clone", 64, 300)
    assert job.metadata == {"order": 7}
    assert job.progress is job.output is job.error is job.started_at is None
    for data in (CONTENT, STYLE):
        assert storage.get(input_key(hashlib.sha256(data).hexdigest())) == data
    assert json.loads(str(valkey.lindex("impasto.high", 0)))["headers"]["id"] == job.id


def test_defaults_are_enough(api: FlaskClient) -> None:
    job = submit(api)
    assert (job.params.preset, job.priority, job.metadata) == ("default", "normal", {})


def test_styles_keep_their_order(api: FlaskClient, records: JobRecords) -> None:
    answer = post(api, ("style", CONTENT), params='{"style_weights": [1, 3]}')
    found = records.get(answer.get_json()["id"])
    assert found is not None
    expected = [hashlib.sha256(data).hexdigest() for data in (STYLE, CONTENT)]
    assert found[0].inputs.styles == expected
    assert found[0].params.style_weights == [1.0, 3.0]


def test_masks_and_the_image_to_start_from_are_kept_with_the_job(
    api: FlaskClient, records: JobRecords, storage: Storage
) -> None:
    first, second, start = (picture_bytes(name, 32, 32) for name in ("left", "right", "start"))
    parts = [("style", CONTENT), ("mask", first), ("mask", second), ("init", start)]
    answer = post(api, *parts, params='{"init": "image"}')
    assert answer.status_code == 202, answer.text
    found = records.get(answer.get_json()["id"])
    assert found is not None
    inputs = found[0].inputs
    assert [storage.get(input_key(mask)) for mask in inputs.masks] == [first, second]
    assert storage.get(input_key(str(inputs.init))) == start


@pytest.mark.parametrize("left_out", ["content", "style"])
def test_an_image_that_the_parameters_do_not_use_may_be_left_out(
    api: FlaskClient, records: JobRecords, left_out: str
) -> None:
    preset = {"content": "texture", "style": "reconstruction"}[left_out]
    job = submit(api, params=json.dumps({"preset": preset}), **{left_out: None})
    found = records.get(job.id)
    assert found is not None
    inputs = found[0].inputs
    assert (inputs.content is None, inputs.styles == []) == (
        left_out == "content",
        left_out == "style",
    )
    assert (inputs.masks, inputs.init) == ([], None)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_taken_and_what_a_job_says_of_it_is_taken_again(
    api: FlaskClient, name: str
) -> None:
    job = submit(api, params=json.dumps({"preset": name}))
    assert job.params.preset == name
    again = submit(api, params=job.params.model_dump_json())
    assert again.params == job.params


def test_the_same_pictures_are_stored_once(api: FlaskClient, traces: Traces) -> None:
    def inputs() -> set[str]:
        return {key for key in traces.all()[0] if key.startswith("inputs/")}

    submit(api)
    before = inputs()
    submit(api)
    assert inputs() == before


def test_metadata_comes_back_as_it_was_given(api: FlaskClient) -> None:
    metadata = {
        "": "",
        "é\U0001f3a8": [1, -2.5, 1e300, True, None, {"a": "\0\n\u2028"}],
        "n": 2**80,
    }
    job = submit(api, metadata=json.dumps(metadata))
    assert api.get(job.urls.self).get_json()["metadata"] == metadata


def test_jobs_posted_at_the_same_moment_are_all_accepted(
    application: Any, valkey: redis.Redis, records: JobRecords
) -> None:
    answers: list[int] = []
    ids: list[str] = []

    def run() -> None:
        answer = post(application.test_client())
        answers.append(answer.status_code)
        ids.append(answer.get_json()["id"])

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 12
    assert sorted(map(str, valkey.zrange(QUEUE, 0, -1))) == sorted(ids)
    assert len(set(ids)) == 12 == valkey.llen("impasto.normal")


# -- asking -------------------------------------------------------------------------------------


def test_a_job_says_its_place_in_the_queue(api: FlaskClient) -> None:
    jobs = [submit(api) for _ in range(3)]
    urgent = submit(api, priority="high")
    positions = [api.get(job.urls.self).get_json()["queue_position"] for job in [urgent, *jobs]]
    assert positions == [0, 1, 2, 3]


def test_an_unchanged_job_is_not_sent_again(api: FlaskClient, records: JobRecords) -> None:
    job = submit(api)
    first = api.get(job.urls.self)
    again = api.get(job.urls.self, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")

    records.claim(job.id, "w1")
    changed = api.get(job.urls.self, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.get_json()["status"] == "running"
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_only_an_unfinished_job_says_when_to_ask_again(api: FlaskClient, paint: Paint) -> None:
    job = submit(api)
    assert api.get(job.urls.self).headers["Retry-After"] == "1"
    paint(job.id)
    assert "Retry-After" not in api.get(job.urls.self).headers


def test_a_running_job_shows_the_progress_of_its_task(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis
) -> None:
    job = submit(api)
    records.claim(job.id, "w1")
    progress = {
        **{"step": 3, "total_steps": 9, "fraction": 1 / 3, "level": 1, "width_px": 48},
        **{"height_px": 32, "losses": None, "steps_per_second": 2.0, "eta_seconds": 3.0},
        "previews": [2],
    }
    state = {"status": "PROGRESS", "result": progress, "task_id": job.id}
    valkey.set(f"celery-task-meta-{job.id}", json.dumps(state))

    assert api.get(job.urls.self).get_json()["progress"] == progress
    assert api.get("/v1/jobs").get_json()["jobs"][0]["progress"] == progress


def test_a_finished_job_shows_its_output_and_its_times_but_no_keys(
    api: FlaskClient, paint: Paint
) -> None:
    job = submit(api)
    output = paint(job.id)
    shown = api.get(job.urls.self).get_json()
    assert shown["status"] == "succeeded"
    assert shown["output"]["sha256"] == output.sha256
    assert "key" not in json.dumps(shown["output"])
    assert shown["metrics"]["queue_seconds"] >= 0
    assert shown["metrics"]["run_seconds"] >= 0
    assert shown["expires_at"] > shown["finished_at"] >= shown["started_at"] >= shown["created_at"]


def test_a_failed_job_says_why_in_a_code_and_a_sentence(
    api: FlaskClient, records: JobRecords
) -> None:
    job = submit(api)
    lease = records.claim(job.id, "w1")
    assert isinstance(lease, Lease)
    records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="the loss is not a number"))
    shown = api.get(job.urls.self).get_json()
    assert shown["status"] == "failed"
    assert shown["error"] == {"code": "diverged", "message": "the loss is not a number"}
    assert api.get(job.urls.result).status_code == 409


# -- listing ------------------------------------------------------------------------------------


def test_paging_by_cursor_visits_each_job_once(api: FlaskClient) -> None:
    ids = [submit(api).id for _ in range(5)]
    seen: list[str] = []
    cursor = None
    for expected in (2, 2, 1):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = JobList.model_validate(api.get("/v1/jobs", query_string=query).get_json())
        assert len(page.jobs) == expected
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == ids[::-1]


def test_a_last_page_that_is_full_names_no_next_one(api: FlaskClient) -> None:
    for _ in range(2):
        submit(api)
    assert api.get("/v1/jobs?limit=2").get_json()["next_cursor"] is None
    assert api.get("/v1/jobs?limit=1").get_json()["next_cursor"] is not None


def test_jobs_are_listed_by_their_status(api: FlaskClient, paint: Paint) -> None:
    done, canceled, queued = (submit(api).id for _ in range(3))
    paint(done)
    api.post(f"/v1/jobs/{canceled}/cancel")

    def listed(query: str) -> list[str]:
        return [job["id"] for job in api.get(f"/v1/jobs{query}").get_json()["jobs"]]

    assert listed("") == [queued, canceled, done]
    assert listed("?status=succeeded") == [done]
    assert listed("?status=queued,succeeded") == [queued, done]
    assert listed("?status=queued&status=canceled") == [queued, canceled]
    assert listed("?status=failed") == []


# -- canceling ----------------------------------------------------------------------------------


def test_canceling_a_waiting_job_ends_it_and_may_be_repeated(api: FlaskClient) -> None:
    job = submit(api)
    for _ in range(2):
        answer = api.post(job.urls.cancel)
        assert answer.status_code == 200
        assert answer.get_json()["status"] == "canceled"
    assert api.get("/v1/jobs?status=queued").get_json()["jobs"] == []


def test_canceling_a_running_job_leaves_a_wish_for_its_worker(
    api: FlaskClient, records: JobRecords
) -> None:
    job = submit(api)
    records.claim(job.id, "w1")
    answer = api.post(job.urls.cancel).get_json()
    assert answer["status"] == "running"
    assert answer["cancel_requested_at"] is not None
    assert records.wishes(job.id).cancel


def test_a_finished_job_cannot_be_canceled(api: FlaskClient, paint: Paint) -> None:
    job = submit(api)
    paint(job.id)
    answer = api.post(job.urls.cancel)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")
    assert api.get(job.urls.self).get_json()["status"] == "succeeded"


# -- results ------------------------------------------------------------------------------------


def test_the_result_is_a_redirect_to_a_url_that_works(api: FlaskClient, paint: Paint) -> None:
    job = submit(api)
    paint(job.id)
    answer = api.get(job.urls.result)
    assert answer.status_code == 303
    fetched = httpx.get(answer.headers["Location"])
    assert fetched.content == CONTENT
    assert f'filename="{job.id}.png"' in fetched.headers["Content-Disposition"]


def test_the_result_can_be_streamed_and_is_cached_by_its_hash(
    api: FlaskClient, paint: Paint
) -> None:
    job = submit(api)
    output = paint(job.id)
    answer = api.get(job.urls.result + "?proxy=1")
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.content_type == "image/png"
    assert answer.headers["ETag"] == f'"{output.sha256}"'
    cached = api.get(
        job.urls.result + "?proxy=1", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (cached.status_code, cached.data) == (304, b"")


def test_the_manifest_is_json(api: FlaskClient, paint: Paint) -> None:
    job = submit(api)
    paint(job.id)
    answer = api.get(job.urls.manifest)
    assert answer.content_type == "application/json"
    assert answer.get_json() == {"weights": "oxford-q8"}


@pytest.mark.parametrize("route", ["result", "manifest"])
def test_there_is_no_result_before_the_end(
    api: FlaskClient, records: JobRecords, route: str
) -> None:
    job = submit(api)
    for _ in range(2):
        answer = api.get(f"/v1/jobs/{job.id}/{route}")
        assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")
        records.claim(job.id, "w1")


@pytest.mark.parametrize("route", ["result?proxy=1", "manifest"])
def test_a_result_that_somebody_removed_from_s3_is_not_found(
    api: FlaskClient, paint: Paint, storage: Storage, route: str
) -> None:
    job = submit(api)
    output = paint(job.id)
    for key in (output.result_key, output.manifest_key):
        storage._s3.delete_object(Bucket=storage._bucket, Key=key)
    answer = api.get(f"/v1/jobs/{job.id}/{route}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
