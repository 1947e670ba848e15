"""What a job would take, before it is posted."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.uploads import MAX_TEXT_BYTES
from shared.estimates import Speed, estimate
from shared.jobs import Priority
from shared.parameters import Parameters
from shared.records import JobRecords
from shared.settings import Settings
from shared.workers import Worker, WorkerRegistry
from tests.api.conftest import post
from tests.shared.conftest import job_request
from tests.shared.test_workers import worker

CONTENT, STYLE = (768, 1024), (700, 500)
SIZES = {
    "content": {"width_px": 1024, "height_px": 768},
    "styles": [{"width_px": 500, "height_px": 700}],
}
Announce = Callable[..., Worker]


def ask(api: FlaskClient, body: Any) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return api.post("/v1/estimate", data=data, content_type="application/json")


def answer(api: FlaskClient, **params: Any) -> dict[str, Any]:
    found = ask(api, {"params": params, **SIZES})
    assert found.status_code == 200, found.text
    read: dict[str, Any] = found.get_json()
    return read


@pytest.fixture
def announce(valkey: redis.Redis, settings: Settings) -> Announce:
    """Announces a worker that takes `times` as long as the others."""
    registry = WorkerRegistry(valkey, settings)

    def announce(name: str, times: float = 1, **changes: Any) -> Worker:
        usual = worker(name)
        assert usual.speed is not None
        speeds = json.loads(
            usual.speed.model_dump_json(), parse_float=lambda text: float(text) * times
        )
        changed = usual.model_copy(update={"speed": Speed.model_validate(speeds), **changes})
        registry.announce(changed)
        return changed

    return announce


def test_steps_size_and_memory_are_known_without_any_worker(api: FlaskClient) -> None:
    found = answer(api, size=512, steps=100)
    assert (found["steps"], found["width_px"], found["height_px"]) == (100, 512, 384)
    assert 5e7 < found["memory_bytes"] < 5e9
    assert (found["workers"], found["able"], found["seconds"]) == (0, 0, None)


def test_time_is_from_the_fastest_to_the_slowest_of_the_workers(
    api: FlaskClient, announce: Announce
) -> None:
    fast, _, slow = announce("fast"), announce("middle", 2), announce("slow", 5)
    found = answer(api, size=512)
    for each, bound in ((fast, "low"), (slow, "high")):
        assert each.speed is not None
        expected = estimate(
            Parameters(size=512), CONTENT, [STYLE], speed=each.speed, precision=each.precision
        )
        assert found["seconds"][bound] == pytest.approx(expected.seconds)
        assert found["memory_bytes"] == expected.memory_bytes
    assert (found["workers"], found["able"]) == (3, 3)


def test_workers_without_the_memory_do_not_count(api: FlaskClient, announce: Announce) -> None:
    announce("small", available_bytes=50_000_000)
    announce("large", 3, available_bytes=50_000_000_000)
    announce("unknown", 2)
    found = answer(api, size=1024)
    assert (found["workers"], found["able"]) == (3, 2)
    assert found["seconds"]["high"] == pytest.approx(1.5 * found["seconds"]["low"])
    assert answer(api, size=64)["able"] == 3


def test_a_worker_that_has_not_measured_its_speed_yet_counts_without_a_time(
    api: FlaskClient, announce: Announce
) -> None:
    announce("new", speed=None)
    found = answer(api)
    assert (found["workers"], found["able"], found["seconds"]) == (1, 1, None)


def test_a_precision_that_is_asked_for_is_that_of_the_estimate(
    api: FlaskClient, announce: Announce
) -> None:
    announce("one")  # which takes float32 by itself, and is quicker with bfloat16
    usual, quick = answer(api), answer(api, precision="bfloat16")
    assert quick["seconds"]["low"] < usual["seconds"]["low"]
    assert quick["memory_bytes"] < usual["memory_bytes"]


def test_masks_take_memory(api: FlaskClient) -> None:
    without, masked = (
        ask(api, {"params": {}, "content": SIZES["content"], "styles": styles, "masks": masks})
        for styles, masks in ((SIZES["styles"] * 2, 0), (SIZES["styles"] * 2, 2))
    )
    assert masked.get_json()["memory_bytes"] > without.get_json()["memory_bytes"]


def test_jobs_that_would_be_before_are_counted_by_priority(
    api: FlaskClient, records: JobRecords
) -> None:
    assert answer(api)["waiting_jobs"] == 0
    for priority in (Priority.HIGH, Priority.NORMAL, Priority.NORMAL, Priority.LOW):
        assert records.create(job_request(priority=priority)) is None
    assert answer(api)["waiting_jobs"] == 3


def test_an_estimate_stores_nothing(api: FlaskClient, valkey: redis.Redis) -> None:
    before = set(valkey.keys("*"))
    answer(api)
    assert {key for key in set(valkey.keys("*")) - before if "rate" not in key} == set()


@pytest.mark.parametrize(
    ("params", "status", "pointer"),
    [
        ({"size": 8}, 422, "params/size"),
        ({"size": 4000}, 422, "params/size"),
        ({"nothing": 1}, 422, "params/nothing"),
        ({"preset": "none"}, 422, "params/preset"),
        ({"steps": "many"}, 422, "params/steps"),
        ({"style_weights": [1, 2]}, 422, "params/style_weights"),
        ({"content_weight": 0, "style_weight": 0}, 422, "params"),
        ({"output": {"format": "jpeg", "bit_depth": 16}}, 422, "params/output"),
    ],
)
def test_what_a_job_would_be_refused_for_is_refused_here_in_the_same_words(
    api: FlaskClient, params: dict[str, Any], status: int, pointer: str
) -> None:
    estimated, posted = ask(api, {"params": params, **SIZES}), post(api, params=json.dumps(params))
    problem = estimated.get_json()
    assert (estimated.status_code, problem["errors"][0]["pointer"]) == (status, pointer)
    for name in ("status", "code", "detail", "errors"):
        assert problem[name] == posted.get_json()[name]


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ({"params": {}, "styles": SIZES["styles"]}, 400, ["content"]),
        ({"content": SIZES["content"]}, 400, ["style"]),
        ({**SIZES, "styles": SIZES["styles"] * 9}, 400, []),
        ({**SIZES, "masks": 2}, 422, ["mask"]),
        ({**SIZES, "masks": -1}, 422, ["masks"]),
        ({**SIZES, "nothing": 1}, 422, ["nothing"]),
        ({**SIZES, "content": [1024, 768]}, 422, ["content"]),
        ({**SIZES, "content": {"width_px": 1024}}, 422, ["content/height_px"]),
        ({**SIZES, "content": {"width_px": "1024", "height_px": 768}}, 422, ["content/width_px"]),
        ({**SIZES, "content": {"width_px": True, "height_px": 768}}, 422, ["content/width_px"]),
        ({**SIZES, "content": {"width_px": 0, "height_px": 768}}, 422, ["content/width_px"]),
        ({**SIZES, "content": {"width_px": 10**9, "height_px": 10**9}}, 422, ["content"]),
        ({**SIZES, "content": {"width_px": 10**400, "height_px": 9}}, 422, ["content"]),
        ({**SIZES, "content": {"width_px": 8, "height_px": 8}}, 422, ["content"]),
        ({**SIZES, "styles": [{"width_px": 16, "height_px": 4000}]}, 422, ["styles/0"]),
        ([], 422, ["body"]),
        (b"null", 422, ["body"]),
        (b'{"content": NaN}', 422, ["body"]),
        (b'{"masks": 1e999}', 422, ["body"]),
        (b'{"params": {"preset": "\\ud800"}}', 422, ["body"]),
        (b"", 400, []),
        (b"{", 400, []),
        (b"\xff", 400, []),
        (b'{"masks": 0, "masks": 1}', 400, []),
        (b"[" * 20_000, 400, []),
        (b'{"a":' * 30 + b"1" + b"}" * 30, 400, []),
        (b'{"masks": ' + b"9" * 5000 + b"}", 400, []),
        (b" " * (MAX_TEXT_BYTES + 1), 413, []),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_bad_body_is_refused_where_it_is_bad(
    api: FlaskClient, body: Any, status: int, pointers: list[str]
) -> None:
    found = ask(api, body)
    assert found.status_code == status, found.text
    assert found.content_type == "application/problem+json"
    assert [error["pointer"] for error in found.get_json()["errors"]] == pointers


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", None])
def test_only_json_is_read(api: FlaskClient, kind: str | None) -> None:
    found = api.post("/v1/estimate", data=json.dumps(SIZES), content_type=kind)
    assert (found.status_code, found.get_json()["code"]) == (415, "unsupported_media")


def test_a_texture_needs_no_photograph(api: FlaskClient) -> None:
    params = {"preset": "texture", "aspect_ratio": 2.0, "size": 256}
    found = ask(api, {"params": params, "content": None, "styles": SIZES["styles"]}).get_json()
    assert (found["width_px"], found["height_px"]) == (256, 128)


def test_the_largest_job_is_estimated_without_much_work(api: FlaskClient) -> None:
    params = {
        "size": 2048,
        "steps": 10_000,
        "style_loss": "wasserstein",
        "history_size": 200,
        "style_scale": 8.0,
        "pyramid": {"min_size": 32, "factor": 1.1},
    }
    body = {"params": params, "content": SIZES["content"], "styles": SIZES["styles"] * 8}
    tracemalloc.start()
    try:
        found = ask(api, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.status_code, found.get_json()["steps"]) == (200, 10_000)
    assert peak < 50_000_000
