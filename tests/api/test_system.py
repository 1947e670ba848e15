"""The routes about the service itself."""

import pytest
import redis
from flask.testing import FlaskClient

from api.app import create_app
from shared.parameters import Parameters
from shared.presets import PRESETS
from shared.records import JobRecords
from shared.settings import Settings
from shared.workers import WorkerRegistry
from tests.api.conftest import Change, post
from tests.shared.conftest import job_request
from tests.shared.test_workers import worker


def test_presets_are_listed_with_every_parameter_and_their_schema(api: FlaskClient) -> None:
    answer = api.get("/v1/presets").get_json()
    assert [preset["name"] for preset in answer["presets"]] == list(PRESETS)
    for preset in answer["presets"]:
        assert preset["summary"]
        assert preset["source"]
        assert Parameters.model_validate(preset["parameters"]) == Parameters.model_validate(
            {"preset": preset["name"]}
        )
        assert set(preset["parameters"]) == set(answer["parameters_schema"]["properties"])


def test_presets_come_with_what_is_taken_here(api: FlaskClient, settings: Settings) -> None:
    limits = api.get("/v1/presets").get_json()["limits"]
    for name in ("max_request_bytes", "max_image_bytes", "max_styles", "max_size_px"):
        assert limits[name] == getattr(settings, name)
    image = settings.image_limits
    assert limits["max_image_pixels"] == image.max_pixels
    for name in ("min_side_px", "max_side_px", "max_aspect_ratio"):
        assert limits[name] == getattr(image, name)


def test_presets_that_somebody_has_are_not_sent_again(api: FlaskClient) -> None:
    listed = api.get("/v1/presets")
    again = api.get("/v1/presets", headers={"If-None-Match": listed.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    for answer in (listed, again):
        assert answer.headers["Cache-Control"] == "no-cache"  # a new version is seen at once
        assert answer.headers["ETag"] == listed.headers["ETag"]


def test_presets_are_made_once_for_each_installation(
    api: FlaskClient, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = api.get("/v1/presets")
    monkeypatch.delattr("api.system.catalog")  # of which they would be made
    assert api.get("/v1/presets").data == listed.data
    monkeypatch.undo()
    smaller = create_app(change(max_size_px=512)).test_client().get("/v1/presets")
    assert smaller.get_json()["limits"]["max_size_px"] == 512


def test_presets_say_which_images_they_need(api: FlaskClient) -> None:
    presets = api.get("/v1/presets").get_json()["presets"]
    without_content = [preset["name"] for preset in presets if not preset["uses_content"]]
    without_styles = [preset["name"] for preset in presets if not preset["uses_styles"]]
    assert (without_content, without_styles) == (["texture"], ["reconstruction"])


def test_workers_that_are_up_are_listed(
    api: FlaskClient, valkey: redis.Redis, settings: Settings
) -> None:
    assert api.get("/v1/workers").get_json() == {"workers": []}
    job_id = post(api).get_json()["id"]
    registry = WorkerRegistry(valkey, settings)
    registry.announce(worker("w1", job_id=job_id))
    assert api.get("/v1/workers").get_json()["workers"] == [worker("w1", job_id).model_dump()]


def test_which_job_of_somebody_else_a_worker_paints_is_not_told(
    api: FlaskClient, valkey: redis.Redis, settings: Settings, records: JobRecords
) -> None:
    job = job_request(owner="somebody")
    assert records.create(job) is None
    busy = worker("w1", job_id=job.id).model_copy(update={"busy": True})
    WorkerRegistry(valkey, settings).announce(busy)
    (shown,) = api.get("/v1/workers").get_json()["workers"]
    assert (shown["busy"], shown["job_id"]) == (True, None)


def test_health_says_that_the_process_lives(api: FlaskClient) -> None:
    answer = api.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_readiness_says_that_jobs_can_be_accepted(
    api: FlaskClient, valkey: redis.Redis, settings: Settings
) -> None:
    ready = {"status": "ready", "redis": True, "storage": True, "workers": 0}
    answer = api.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (200, ready)
    WorkerRegistry(valkey, settings).announce(worker("w1"))
    assert api.get("/readyz").get_json()["workers"] == 1


def test_readiness_says_which_server_is_away(change: Change) -> None:
    closed = "127.0.0.1:9"
    for changed, redis_up, storage_up in (
        (change(redis_url=f"redis://{closed}/0"), False, True),
        (change(s3_endpoint_url=f"http://{closed}"), True, False),
        (change(s3_bucket="no-such-bucket"), True, False),
        (change(s3_secret_access_key="wrong"), True, False),
    ):
        answer = create_app(changed).test_client().get("/readyz")
        assert answer.status_code == 503
        assert answer.get_json()["status"] == "unavailable"
        assert (answer.get_json()["redis"], answer.get_json()["storage"]) == (redis_up, storage_up)
        assert int(answer.headers["Retry-After"]) > 0
