"""What the log tells of requests, and what it never tells."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient

from api.app import create_app
from shared.jobs import StoredOutput
from shared.keys import ApiKeys
from shared.settings import Settings
from tests.api.conftest import CONTENT, STYLE, Change, form
from tests.api.servers import running_api, serve

NO_JOB = "0190a000-0000-7000-8000-000000000000"
FILES = [("content", ("a.png", CONTENT)), ("style", ("b.png", STYLE))]
WEBHOOK_SECRET = "whsec_QmVoaW5kVGhlU3RhcnNBbmRUaGVNb29uQW5kVGhlU3Vu"
AS_JSON = {"IMPASTO_LOG_FORMAT": "json"}


def lines(log: Path) -> list[dict[str, Any]]:
    """Every line of a log, which all have to be JSON."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def requests(log: Path) -> list[dict[str, Any]]:
    return [line for line in lines(log) if line["event"] == "request"]


@pytest.mark.parametrize("sent", ["order-17", "00-4bf92f3577b34da6a3ce929d0e0e4736-01", "a" * 128])
def test_an_id_that_came_with_a_request_comes_back(api: FlaskClient, sent: str) -> None:
    assert api.get("/v1/jobs", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", [None, "", "a" * 129, "a b", "é", '"},{"', "a\x1b[31m", "<b>"])
def test_otherwise_every_request_has_an_id_of_its_own(api: FlaskClient, sent: str | None) -> None:
    environment = {} if sent is None else {"HTTP_X_REQUEST_ID": sent}
    ids = {
        api.get(path, environ_overrides=environment).headers["X-Request-ID"]
        for path in ("/v1/jobs", "/v1/jobs", "/v1/nothing", "/healthz")
    }
    assert len(ids) == 4
    assert sent not in ids


def test_each_request_that_changes_something_or_fails_is_one_line(
    settings: Settings, valkey: redis.Redis, tmp_path: Path
) -> None:
    keys = ApiKeys(valkey, settings)
    secret = keys.create("studio")
    (key,) = keys.list()
    log = tmp_path / "log"
    with (
        running_api(settings, log, **AS_JSON) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}) as client,
    ):
        posted = client.post("/v1/jobs", files=FILES)
        job = posted.json()
        for _ in range(5):
            assert client.get(job["urls"]["self"]).status_code == 200
        client.get(f"/v1/jobs/{NO_JOB}", headers={"X-Request-ID": "mine"})
        client.post(job["urls"]["cancel"])
        client.get("/v1/no-such-route?secret=1")
        client.request("BREW", "/v1/jobs")

    told = requests(log)
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", "/v1/jobs", 202),
        ("GET", "/v1/jobs/<job_id>", 404),
        ("POST", "/v1/jobs/<job_id>/cancel", 200),
        ("GET", "", 404),
        ("other", "", 405),
    ]
    assert [line.get("job_id") for line in told] == [job["id"], NO_JOB, job["id"], None, None]
    for line in told:
        assert line["key"] == key.id
        assert 0 <= line["seconds"] < 30
        assert line["request_id"]
        assert line["level"] == "info"
    assert told[1]["request_id"] == "mine"
    # What else is told during a request has its id as well.
    (accepted,) = [line for line in lines(log) if line["event"] == "job accepted"]
    assert accepted["request_id"] == told[0]["request_id"] == posted.headers["X-Request-ID"]
    assert accepted["job_id"] == job["id"]


@pytest.mark.parametrize(("level", "told"), [("debug", ["GET", "POST"]), ("warning", [])])
def test_the_level_is_that_of_the_settings(
    settings: Settings, valkey: redis.Redis, tmp_path: Path, level: str, told: list[str]
) -> None:
    log = tmp_path / "log"
    with running_api(settings, log, **AS_JSON, IMPASTO_LOG_LEVEL=level) as url:
        httpx.get(f"{url}/v1/jobs")
        httpx.post(f"{url}/v1/jobs", files=FILES)
    found = [line["method"] for line in requests(log) if line["route"] == "/v1/jobs"]
    assert found == told


def test_the_servers_own_lines_look_like_ours(
    settings: Settings, valkey: redis.Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serve(settings, log, **AS_JSON, IMPASTO_API_PROCESSES="2") as served:
        served.process.send_signal(signal.SIGTTOU)  # one process less
        time.sleep(1)
    own = [line for line in lines(log) if line.get("logger") == "gunicorn.error"]
    assert any("Listening at" in line["event"] for line in own)
    assert all(line["timestamp"] for line in own)


def test_a_traceback_shows_no_values(
    change: Change, valkey: redis.Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    for log_format in ("json", "console"):
        service = create_app(change(log_format=log_format))

        @service.get("/v1/broken")
        def broken() -> None:
            secret = "hidden" + "-in-a-variable"
            raise RuntimeError(len(secret))

        answer = service.test_client().get("/v1/broken", headers={"X-Request-ID": "broken-1"})
        assert answer.status_code == 500
        told = capfd.readouterr().err
        assert "RuntimeError" in told
        assert "broken-1" in told
        assert "hidden-in-a-variable" not in told


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_whole_run_tells_no_secret(
    settings: Settings,
    valkey: redis.Redis,
    tmp_path: Path,
    paint: Callable[[str], StoredOutput],
    level: str,
) -> None:
    keys = ApiKeys(valkey, settings)
    secret, wrong = keys.create("studio"), f"impasto_{'0' * 16}_{'Wrong' * 8}123"
    hook = "https://192.0.2.1/hooks/hidden-part-of-an-address?token=hidden-token"
    log = tmp_path / "log"
    environment = {"IMPASTO_LOG_LEVEL": level, "IMPASTO_WEBHOOK_SECRETS": WEBHOOK_SECRET}
    with (
        running_api(settings, log, **environment) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}) as client,
    ):
        data = {"webhook": json.dumps({"url": hook})}
        client.post("/v1/jobs", files=FILES, data=data)
        posted = client.post("/v1/jobs", files=FILES, headers={"Idempotency-Key": "hidden-order"})
        job_id = posted.json()["id"]
        paint(job_id)
        location = client.get(f"/v1/jobs/{job_id}/result").headers["Location"]
        assert httpx.get(location).status_code == 200
        client.get(f"/v1/jobs/{job_id}/result?proxy=1&signature=hidden-query")
        client.post(f"/v1/jobs/{job_id}/retry")
        client.get(f"/v1/jobs?cursor=hidden-cursor&key={secret}")
        client.get("/v1/jobs", headers={"Authorization": f"Bearer {wrong}"})
        client.get("/v1/jobs", headers={"Authorization": "Basic aGlkZGVuOmhpZGRlbg=="})
        valkey.config_set("maxmemory", 1)
        client.post("/v1/jobs", files=FILES)  # what goes wrong is logged
        valkey.config_set("maxmemory", 0)
    written = log.read_text()
    assert "job accepted" in written
    assert "unavailable" in written
    assert job_id in written
    s3 = settings.s3_secret_access_key
    assert s3 is not None
    for hidden in (
        secret.split("_", 2)[2],
        wrong.split("_", 2)[2],
        location.partition("?")[2],
        "Signature=",
        WEBHOOK_SECRET,
        WEBHOOK_SECRET.removeprefix("whsec_"),
        "hidden",
        "aGlkZGVuOmhpZGRlbg",
        s3.get_secret_value(),
        str(redis.connection.parse_url(settings.redis_url.get_secret_value()).get("password")),
    ):
        assert hidden not in written


def test_a_form_is_not_told(
    change: Change, valkey: redis.Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    api = create_app(change()).test_client()
    assert api.post("/v1/jobs", **form(metadata='{"a": "hidden-value"}')).status_code == 202
    told = capfd.readouterr().err
    assert "job accepted" in told
    assert "hidden-value" not in told
