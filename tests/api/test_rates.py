"""How often one may ask, and that nobody else pays for who asks too often."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from api.problems import Problem
from api.rates import PREFIX, Rates
from shared.keys import Allowance, ApiKeys
from shared.settings import Settings
from tests.api.conftest import CONTENT, STYLE, Change, form
from tests.api.servers import running_api
from tests.faults.proxy import Proxy

NO_JOB = "0190a000-0000-7000-8000-000000000000"
ESTIMATE = {"params": {}, "content": None, "styles": []}


@dataclass
class Clock:
    """The time by which a process counts requests. It stands still unless a test moves it."""

    now: float = 1000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: clock.now)
    return clock


@pytest.fixture
def keys(valkey: redis.Redis, settings: Settings) -> ApiKeys:
    return ApiKeys(valkey, settings)


@pytest.fixture
def serve(change: Change, valkey: redis.Redis) -> Callable[..., FlaskClient]:
    """A process of the API with these settings."""
    return lambda **values: create_app(change(**values)).test_client()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def ask(api: FlaskClient, secret: str | None = None, path: str = "/v1/jobs") -> TestResponse:
    return api.get(path, headers=bearer(secret) if secret else {})


def statuses(api: FlaskClient, times: int, secret: str | None = None) -> list[int]:
    return [ask(api, secret).status_code for _ in range(times)]


def assert_limited(answer: TestResponse, within_seconds: int) -> None:
    assert answer.status_code == 429, answer.text
    problem = Problem.model_validate_json(answer.data)
    assert problem.code == "rate_limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= within_seconds


# -- requests -----------------------------------------------------------------------------------


def test_who_asks_too_often_is_told_when_to_come_again_and_then_is_answered(
    serve: Callable[..., FlaskClient], keys: ApiKeys, clock: Clock
) -> None:
    api, secret = serve(requests_per_minute=30), keys.create("hasty")
    ask(api, secret)  # from now on the process knows the key
    assert statuses(api, 31, secret) == [200] * 30 + [429]
    answer = ask(api, secret)
    assert_limited(answer, within_seconds=2)
    clock.now += int(answer.headers["Retry-After"])
    assert statuses(api, 2, secret) == [200, 429]


def test_an_answer_says_what_is_left(serve: Callable[..., FlaskClient]) -> None:
    api = serve(requests_per_minute=120, jobs_per_minute=10)
    first, second = ask(api), ask(api)
    assert first.headers["RateLimit-Policy"] == '"requests";q=120;w=60'
    left = [int(re.search(r"r=(\d+)", a.headers["RateLimit"])[1]) for a in (first, second)]
    assert left == [119, 118]
    posted = api.post("/v1/jobs", **form())
    assert posted.headers["RateLimit-Policy"] == '"requests";q=120;w=60, "jobs";q=10;w=60'
    assert '"jobs";r=9;t=6' in posted.headers["RateLimit"]


def test_a_flood_by_one_key_costs_no_other_key_at_the_same_address(
    serve: Callable[..., FlaskClient], keys: ApiKeys
) -> None:
    api = serve(requests_per_minute=20)
    hasty, calm = keys.create("hasty"), keys.create("calm")
    assert statuses(api, 1, calm) == [200]
    assert statuses(api, 200, hasty).count(200) == 21  # the first, by its address, as well
    assert statuses(api, 10, calm) == [200] * 10


def test_guessing_keys_is_limited_by_address_and_does_not_reach_redis(
    serve: Callable[..., FlaskClient], keys: ApiKeys, valkey: redis.Redis
) -> None:
    api, known = serve(requests_per_minute=20, key_cache_seconds=0.0), keys.create("known")
    assert statuses(api, 1, known) == [200]
    guesses = [f"impasto_{n:016x}_{'A' * 43}" for n in range(100)]
    before = int(valkey.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"])
    answers = [ask(api, guess).status_code for guess in guesses]
    after = int(valkey.info("commandstats")["cmdstat_hget"]["calls"])
    assert set(answers) == {401, 429}
    assert answers.count(401) == 19  # and the key that was not known yet
    assert after - before == answers.count(401)
    # A key that the process has seen before goes on, even from that address.
    assert statuses(api, 5, known) == [200] * 5


def test_a_flood_without_keys_keeps_nobody_out_who_has_one(
    serve: Callable[..., FlaskClient], keys: ApiKeys
) -> None:
    api = serve(requests_per_minute=20)
    secrets = [keys.create(f"key {n}") for n in range(3)]
    assert 429 in statuses(api, 50)
    for secret in secrets:  # which the process has not seen before
        assert statuses(api, 2, secret) == [200] * 2


def test_what_cannot_be_a_key_keeps_no_key_out(
    serve: Callable[..., FlaskClient], keys: ApiKeys
) -> None:
    api, secret = serve(requests_per_minute=20), keys.create("new")
    answers = [
        ask(api, text).status_code
        for text in ("nonsense", "impasto_1", f"{secret}x", secret.upper())
        for _ in range(20)
    ]
    assert answers == [401] * 20 + [429] * 60
    assert statuses(api, 2, secret) == [200] * 2


def test_a_key_may_have_rates_of_its_own(serve: Callable[..., FlaskClient], keys: ApiKeys) -> None:
    api = serve(requests_per_minute=20, jobs_per_minute=1)
    slow = keys.create("slow", allowance=Allowance(requests_per_minute=5, jobs_per_minute=2))
    free = keys.create("free", allowance=Allowance(requests_per_minute=0, jobs_per_minute=0))
    for secret in (slow, free):
        assert statuses(api, 1, secret) == [200]
    assert statuses(api, 20, slow).count(200) == 5
    assert statuses(api, 100, free) == [200] * 100

    def post(secret: str) -> int:
        return api.post("/v1/jobs", headers=bearer(secret), **form()).status_code

    assert [post(free) for _ in range(4)] == [202] * 4


def test_without_a_limit_nobody_is_counted(
    serve: Callable[..., FlaskClient], valkey: redis.Redis
) -> None:
    api = serve(requests_per_minute=0, jobs_per_minute=0)
    assert statuses(api, 50) == [200] * 50
    answer = api.post("/v1/jobs", **form())
    assert answer.status_code == 202
    assert "RateLimit" not in answer.headers
    assert not valkey.keys(f"{PREFIX}*")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/v1/presets"])
def test_what_is_open_is_not_limited(serve: Callable[..., FlaskClient], path: str) -> None:
    api = serve(requests_per_minute=1)
    for _ in range(3):
        with api.get(path) as answer:
            assert answer.status_code == 200
    assert statuses(api, 1) == [200]


def test_without_keys_each_address_has_its_own_count(serve: Callable[..., FlaskClient]) -> None:
    api = serve(requests_per_minute=3)

    def at(address: str, **headers: str) -> int:
        return api.get(
            "/v1/jobs", environ_overrides={"REMOTE_ADDR": address}, headers=headers
        ).status_code

    assert [at("192.0.2.1") for _ in range(4)] == [200, 200, 200, 429]
    assert at("::ffff:192.0.2.1") == 429  # the same, written for IPv6
    assert at("192.0.2.2") == 200
    # Whoever has one address of IPv6 has 2 ** 64 of them.
    assert [at(f"2001:db8::{n}") for n in range(4)] == [200, 200, 200, 429]
    assert at("2001:db8:0:1::1") == 200
    # Nobody says by himself where he comes from.
    assert at("192.0.2.1", **{"X-Forwarded-For": "192.0.2.3"}) == 429


def test_behind_a_proxy_the_clients_are_told_apart(serve: Callable[..., FlaskClient]) -> None:
    api = serve(requests_per_minute=3, trusted_proxies=1)

    def by_way_of(*addresses: str) -> int:
        headers = {"X-Forwarded-For": ", ".join(addresses)}
        return api.get("/v1/jobs", headers=headers).status_code

    assert [by_way_of("192.0.2.1") for _ in range(4)] == [200, 200, 200, 429]
    assert by_way_of("192.0.2.2") == 200
    # Some proxies add the port, which is another one for each connection.
    assert by_way_of("192.0.2.1:50001") == by_way_of("192.0.2.1:50002") == 429
    assert [by_way_of(f"192.0.2.4:{n}") for n in range(4)] == [200, 200, 200, 429]
    assert [by_way_of(f"[2001:db8::{n}]:443") for n in range(4)] == [200, 200, 200, 429]
    assert by_way_of("2001:db8::9") == 429
    assert by_way_of("[2001:db8:0:1::1]") == 200
    # What stands before the address that the proxy has added is what the client says.
    assert by_way_of("192.0.2.3", "192.0.2.1") == 429


def test_callers_that_a_process_remembers_are_so_many(
    serve: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.rates.MAX_CALLERS", 50)
    seen: list[Rates] = []
    monkeypatch.setattr(
        "api.authentication.Rates", lambda settings: seen.append(Rates(settings)) or seen[-1]
    )
    api = serve(requests_per_minute=3)
    for n in range(500):
        api.get("/v1/jobs", environ_overrides={"REMOTE_ADDR": f"192.0.{n // 250}.{n % 250}"})
    (rates,) = seen
    assert len(rates.memory._backend._client) == 50


# -- jobs ---------------------------------------------------------------------------------------


def test_jobs_retries_and_estimates_are_counted_together(
    serve: Callable[..., FlaskClient], keys: ApiKeys
) -> None:
    api, secret = serve(jobs_per_minute=3), keys.create("studio")
    job_id = api.post("/v1/jobs", headers=bearer(secret), **form()).get_json()["id"]
    retry = f"/v1/jobs/{job_id}/retry"
    assert api.post(retry, headers=bearer(secret)).status_code == 409  # counted all the same
    estimate = api.post("/v1/estimate", json=ESTIMATE, headers=bearer(secret))
    assert estimate.status_code != 429
    for answer in (
        api.post("/v1/jobs", headers=bearer(secret), **form()),
        api.post(retry, headers=bearer(secret)),
        api.post("/v1/estimate", json=ESTIMATE, headers=bearer(secret)),
    ):
        assert_limited(answer, within_seconds=20)
    assert ask(api, secret).status_code == 200
    cancel = api.post(f"/v1/jobs/{job_id}/cancel", headers=bearer(secret))
    assert cancel.status_code == 200
    other = keys.create("other")
    assert api.post("/v1/jobs", headers=bearer(other), **form()).status_code == 202


def test_a_job_that_is_refused_is_not_read(serve: Callable[..., FlaskClient]) -> None:
    api = serve(jobs_per_minute=1)
    assert api.post("/v1/jobs", **form()).status_code == 202

    class Untouched:
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body of a refused request was read")

    environment = {"wsgi.input": Untouched(), "CONTENT_LENGTH": "1000000"}
    kind = "multipart/form-data; boundary=b"
    answer = api.post("/v1/jobs", content_type=kind, environ_overrides=environment)
    assert_limited(answer, within_seconds=60)


def test_jobs_are_counted_by_all_processes_together(
    settings: Settings, keys: ApiKeys, tmp_path: Path
) -> None:
    secret = keys.create("studio", allowance=Allowance(jobs_per_minute=5))
    files = [("content", ("a.png", CONTENT)), ("style", ("b.png", STYLE))]
    with running_api(settings, tmp_path / "log", IMPASTO_API_PROCESSES="2") as url:

        def post(_: int) -> int:
            return httpx.post(
                f"{url}/v1/jobs", headers=bearer(secret), files=files, timeout=30
            ).status_code

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(post, range(20)))
    assert set(answers) == {202, 429}
    assert 5 <= answers.count(202) <= 8  # one comes back every 12 s


@pytest.mark.parametrize("path", ["/v1/jobs", f"/v1/jobs/{NO_JOB}/retry"])
def test_a_redis_that_is_away_is_503_and_no_limit(
    through: Callable[..., Settings], redis_line: Proxy, path: str
) -> None:
    api = create_app(through(jobs_per_minute=1, key_cache_seconds=60)).test_client()
    assert ask(api).status_code == 200  # no keys here: it need not ask for them again
    redis_line.refuse()
    for _ in range(3):
        answer = api.post(path, **form())
        assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")


def test_a_redis_that_is_full_is_no_limit(change: Change, valkey: redis.Redis) -> None:
    api = create_app(change(jobs_per_minute=1)).test_client()
    valkey.config_set("maxmemory", 1)
    try:
        for _ in range(3):  # what only reads goes on
            assert api.post("/v1/estimate", json=ESTIMATE).status_code not in (429, 503)
        assert api.post("/v1/jobs", **form()).status_code == 503
    finally:
        valkey.config_set("maxmemory", 0)
