"""Keys: who is let in, whose jobs they see, and how many they may have."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from api.app import create_app
from api.authentication import is_protected
from api.problems import Problem
from api.rates import PREFIX
from shared import names
from shared.jobs import Job, StoredOutput
from shared.keys import Allowance, ApiKeys
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, preview_key, request_key
from tests.api.conftest import CONTENT, STYLE, Change, form
from tests.api.servers import running_api
from tests.shared.strategies import patient

OPEN = {
    "/",
    "/docs",
    "/docs/scalar",
    "/docs/scalar/<path:filename>",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/readyz",
    "/v1/presets",
    "/web/<path:name>",
}
NO_JOB = "0190a000-0000-7000-8000-000000000000"
Paint = Callable[[str], StoredOutput]


class Visitor:
    """Somebody with a key, or without."""

    def __init__(self, api: FlaskClient, secret: str | None) -> None:
        self._api = api
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def ask(self, method: str, path: str, **headers: str) -> TestResponse:
        return self._api.open(path, method=method, headers={**self._headers, **headers})

    def post(self, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
        sent = {**self._headers, **(headers or {})}
        return self._api.post("/v1/jobs", headers=sent, **form(**fields))

    def submit(self, **fields: Any) -> Job:
        answer = self.post(**fields)
        assert answer.status_code == 202, answer.text
        return Job.model_validate_json(answer.data)

    def jobs(self, query: str = "") -> list[str]:
        answer = self.ask("GET", f"/v1/jobs{query}")
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.get_json()["jobs"]]


@pytest.fixture
def keys(valkey: redis.Redis, settings: Settings) -> ApiKeys:
    """What the operator has in hand."""
    return ApiKeys(valkey, settings)


@pytest.fixture
def service(change: Change, valkey: redis.Redis) -> Any:
    """A process of the API that looks up every key every time."""
    return create_app(change(key_cache_seconds=0.0))


@pytest.fixture
def visitor(service: Any, keys: ApiKeys) -> Callable[..., Visitor]:
    """Makes a key and somebody who has it."""

    def make(name: str, max_jobs: int | None = None) -> Visitor:
        return Visitor(
            service.test_client(),
            keys.create(name, allowance=Allowance(max_unfinished_jobs=max_jobs)),
        )

    return make


@pytest.fixture
def mine(visitor: Callable[..., Visitor]) -> Visitor:
    return visitor("mine")


@pytest.fixture
def stranger(visitor: Callable[..., Visitor]) -> Visitor:
    return visitor("stranger")


@pytest.fixture(scope="module")
def closed(settings: Settings) -> Any:
    """The API where keys are required, whatever is in Redis."""
    strict = {"require_keys": True, "key_cache_seconds": 0.0}
    return create_app(Settings(**{**dict(settings), **strict}, _env_file=None))


def assert_unauthorized(answer: TestResponse) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.content_type == "application/problem+json"
    problem = Problem.model_validate_json(answer.data)
    assert (problem.status, problem.code) == (401, "unauthorized")


def snapshot(valkey: redis.Redis) -> dict[str, str]:
    """Everything in Redis, but for how often somebody asked."""
    read: dict[str, Callable[[str], Any]] = {
        "string": valkey.get,
        "hash": valkey.hgetall,
        "set": lambda key: sorted(valkey.smembers(key)),
        "list": lambda key: valkey.lrange(key, 0, -1),
        "zset": lambda key: valkey.zrange(key, 0, -1, withscores=True),
    }
    return {key: repr(read[valkey.type(key)](key)) for key in valkey.keys("*") if PREFIX not in key}


# -- who is let in ------------------------------------------------------------------------------


def test_every_route_is_for_those_with_a_key_or_said_to_be_open(closed: Any) -> None:
    rules = {rule.rule for rule in closed.url_map.iter_rules()}
    assert {rule for rule in rules if not is_protected(rule)} == OPEN
    api = closed.test_client()
    for rule in closed.url_map.iter_rules():
        path = rule.rule.replace("<job_id>", NO_JOB).replace("<path:name>", "app.js")
        path = path.replace("<path:filename>", "scalar.js").replace("<sha256>", "0" * 64)
        for method in rule.methods:
            with api.open(path, method=method) as answer:
                is_refused = answer.status_code == 401
                assert is_refused == (rule.rule not in OPEN), (method, path)


def test_the_openapi_document_says_which_routes_need_a_key(closed: Any) -> None:
    document = closed.test_client().get("/openapi.json").get_json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert ("401" in operation["responses"]) == is_protected(path), (method, path)
            assert ({"key": []} in operation.get("security", [])) == is_protected(path)


@pytest.mark.parametrize("path", ["/v1/", "/v1/nothing", "/v1/jobs/", "/v1/%6aobs", "/%761/jobs"])
def test_what_is_not_there_is_not_told_without_a_key(closed: Any, path: str) -> None:
    assert_unauthorized(closed.test_client().get(path))


@pytest.mark.parametrize("path", ["//v1/jobs", "/v1//jobs", "/V1/jobs", "/./v1/jobs", "/v1"])
def test_other_spellings_of_a_path_are_no_way_in(closed: Any, path: str) -> None:
    answer = closed.test_client().get(path)
    assert answer.status_code in (308, 401, 404)
    assert b'jobs":' not in answer.data


HEADERS: dict[str, Callable[[str], str]] = {
    "none": lambda _: "",
    "the scheme alone": lambda _: "Bearer",
    "an empty key": lambda _: "Bearer ",
    "the key alone": lambda secret: secret,
    "another scheme": lambda secret: f"Token {secret}",
    "a password": lambda _: "Basic aW1wYXN0bzppbXBhc3Rv",
    "a key that is cut off": lambda secret: f"Bearer {secret[:-1]}",
    "a longer key": lambda secret: f"Bearer {secret}A",
    "another last character": lambda secret: f"Bearer {secret[:-2]}" + "~~",
    "another secret": lambda secret: f"Bearer {secret[:25]}{'A' * 43}",
    "another id": lambda secret: f"Bearer impasto_{'0' * 16}_{secret[25:]}",
    "the id alone": lambda secret: f"Bearer {secret[8:24]}",
    "two keys": lambda secret: f"Bearer {secret}, Bearer {secret}",
    "two keys in one": lambda secret: f"Bearer {secret} {secret}",
    "in quotes": lambda secret: f'Bearer "{secret}"',
    "in capitals": lambda secret: f"Bearer {secret.upper()}",
    "a parameter": lambda secret: f"Bearer token={secret}",
    "the scheme twice": lambda secret: f"Bearer Bearer {secret}",
    "without a space": lambda secret: f"Bearer{secret}",
    "a tab for the space": lambda secret: f"Bearer\t{secret}",
    "a NUL": lambda secret: f"Bearer {secret}\0",
    "not ASCII": lambda secret: f"Bearer {secret[:-1]}é",
    "a pattern of Redis": lambda _: "Bearer impasto_*_*",
    "10 kB": lambda _: f"Bearer {'x' * 10_000}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_without_a_valid_key_nothing_is_told_and_nothing_is_stored(
    service: Any, keys: ApiKeys, valkey: redis.Redis, header: Callable[[str], str]
) -> None:
    value = header(keys.create("mine"))
    before = snapshot(valkey)
    api = service.test_client()
    environment = {"HTTP_AUTHORIZATION": value}
    assert_unauthorized(api.get("/v1/jobs", environ_overrides=environment))
    assert_unauthorized(api.post("/v1/jobs", environ_overrides=environment, **form()))
    assert snapshot(valkey) == before


@pytest.mark.parametrize(
    "written", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", " Bearer {} "]
)
def test_a_valid_key_is_let_in_however_its_scheme_is_written(
    service: Any, keys: ApiKeys, written: str
) -> None:
    headers = {"HTTP_AUTHORIZATION": written.format(keys.create("mine"))}
    assert service.test_client().get("/v1/jobs", environ_overrides=headers).status_code == 200


def test_a_key_in_the_address_or_the_body_is_no_key(service: Any, keys: ApiKeys) -> None:
    secret = keys.create("mine")  # addresses end up in logs and histories
    api = service.test_client()
    assert_unauthorized(api.get(f"/v1/jobs?key={secret}&access_token={secret}"))
    assert_unauthorized(api.post("/v1/jobs", **form(access_token=secret)))


@patient
@given(st.text(st.characters(max_codepoint=255), max_size=120))
def test_whatever_is_sent_for_a_key_it_is_answered_with_401(closed: Any, value: str) -> None:
    api = closed.test_client()
    assert_unauthorized(api.get("/v1/jobs", environ_overrides={"HTTP_AUTHORIZATION": value}))


@patient
@given(st.data())
def test_a_key_that_was_changed_anywhere_is_not_let_in(
    closed: Any, keys: ApiKeys, data: st.DataObject
) -> None:
    header = f"Bearer {keys.create('mine')}"
    at = data.draw(st.integers(7, len(header) - 1))  # from the first character of the key on
    other = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != header[at]))
    changed = (
        header[:at] + data.draw(st.sampled_from([other, "", other + header[at]])) + header[at + 1 :]
    )
    api = closed.test_client()
    assert_unauthorized(api.get("/v1/jobs", environ_overrides={"HTTP_AUTHORIZATION": changed}))


def test_a_body_is_not_read_before_the_key_is_known(closed: Any) -> None:
    class Untouched(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: Any) -> int:
            raise AssertionError("somebody without a key had the body read")

    environment = {"wsgi.input": Untouched(), "CONTENT_LENGTH": "1000000"}
    answer = closed.test_client().post(
        "/v1/jobs", content_type="multipart/form-data; boundary=b", environ_overrides=environment
    )
    assert_unauthorized(answer)


# -- without keys -------------------------------------------------------------------------------


def test_before_the_first_key_everybody_shares_the_jobs(service: Any, valkey: redis.Redis) -> None:
    anybody = Visitor(service.test_client(), None)
    job = anybody.submit()
    assert anybody.jobs() == [job.id]


def test_a_password_that_a_proxy_passes_on_is_not_taken_for_a_key(
    service: Any, valkey: redis.Redis
) -> None:
    anybody = Visitor(service.test_client(), None)
    assert anybody.ask("GET", "/v1/jobs", Authorization="Basic YTpi").status_code == 200


def test_a_key_that_redis_has_lost_is_refused_rather_than_taken_for_nobody(
    service: Any, valkey: redis.Redis
) -> None:
    anybody = Visitor(service.test_client(), f"impasto_{'0' * 16}_{'A' * 43}")
    assert_unauthorized(anybody.ask("GET", "/v1/jobs"))
    assert_unauthorized(anybody.post())


def test_the_first_key_ends_it_and_does_not_show_what_was_before(
    service: Any, visitor: Callable[..., Visitor]
) -> None:
    anybody = Visitor(service.test_client(), None)
    job = anybody.submit()
    first = visitor("first")
    assert_unauthorized(anybody.ask("GET", "/v1/jobs"))
    assert_unauthorized(anybody.ask("GET", job.urls.self))
    assert first.jobs() == []
    assert first.ask("GET", job.urls.self).status_code == 404


def test_where_keys_are_required_nobody_is_let_in_before_the_first(
    closed: Any, keys: ApiKeys
) -> None:
    assert_unauthorized(Visitor(closed.test_client(), None).ask("GET", "/v1/jobs"))
    first = Visitor(closed.test_client(), keys.create("first"))
    assert first.jobs() == []


def test_a_redis_that_was_emptied_opens_nothing(
    closed: Any, service: Any, keys: ApiKeys, valkey: redis.Redis
) -> None:
    secret = keys.create("mine")
    for application in (closed, service):
        assert Visitor(application.test_client(), secret).jobs() == []
    valkey.flushall()
    for application in (closed, service):
        for visitor in (secret, None):
            somebody = Visitor(application.test_client(), visitor)
            assert_unauthorized(somebody.ask("GET", "/v1/jobs"))
            assert_unauthorized(somebody.post())
    assert valkey.keys("*") == []
    restarted = create_app(closed.extensions["impasto"].settings)
    assert_unauthorized(Visitor(restarted.test_client(), None).post())


def test_a_redis_that_is_away_is_told_apart_from_a_wrong_key(change: Change) -> None:
    away = change(redis_url="redis://127.0.0.1:9/0", require_keys=True)
    api = create_app(away).test_client()
    unknown = Visitor(api, f"impasto_{'0' * 16}_{'A' * 43}").ask("GET", "/v1/jobs")
    assert (unknown.status_code, unknown.headers["Retry-After"]) == (503, "2")
    assert_unauthorized(Visitor(api, None).ask("GET", "/v1/jobs"))
    assert_unauthorized(Visitor(api, "malformed").ask("GET", "/v1/jobs"))


# -- revoking -----------------------------------------------------------------------------------


def test_a_revoked_key_is_refused_and_its_job_goes_on(
    mine: Visitor, stranger: Visitor, keys: ApiKeys, records: JobRecords, paint: Paint
) -> None:
    job = mine.submit()
    (key,) = [key for key in keys.list() if key.name == "mine"]
    keys.revoke(key.id)
    assert_unauthorized(mine.ask("GET", job.urls.self))
    assert_unauthorized(mine.post())
    assert stranger.jobs() == []
    paint(job.id)
    found = records.get(job.id)
    assert found is not None
    assert (found[0].status, found[0].owner) == ("succeeded", key.id)


def test_the_next_key_with_the_same_id_sees_the_jobs(
    service: Any, mine: Visitor, keys: ApiKeys
) -> None:
    job = mine.submit()
    (key,) = keys.list()
    keys.revoke(key.id)
    renewed = Visitor(service.test_client(), keys.create("mine, renewed", key_id=key.id))
    assert renewed.jobs() == [job.id]
    assert_unauthorized(mine.ask("GET", "/v1/jobs"))


def test_a_renewed_key_is_let_in_though_the_old_one_is_remembered(
    change: Change, keys: ApiKeys
) -> None:
    api = create_app(change(key_cache_seconds=3600)).test_client()
    first = keys.create("studio")
    assert Visitor(api, first).ask("GET", "/v1/jobs").status_code == 200
    (key,) = keys.list()
    keys.revoke(key.id)
    renewed = keys.create("studio", key_id=key.id)
    assert Visitor(api, renewed).ask("GET", "/v1/jobs").status_code == 200
    assert_unauthorized(Visitor(api, first).ask("GET", "/v1/jobs"))


# -- whose jobs they see ------------------------------------------------------------------------

# What the owner of a finished job gets, in this order.
OF_A_FINISHED_JOB = {
    ("GET", "/v1/jobs/<job_id>"): 200,
    ("GET", "/v1/jobs/<job_id>/result"): 303,
    ("GET", "/v1/jobs/<job_id>/manifest"): 200,
    ("GET", "/v1/jobs/<job_id>/preview"): 404,  # it was never told of one
    ("GET", "/v1/jobs/<job_id>/preview?step=1"): 200,
    ("GET", "/v1/jobs/<job_id>/losses"): 404,  # none were stored
    ("GET", "/v1/jobs/<job_id>/inputs/<sha256>"): 200,
    ("GET", "/v1/jobs/<job_id>/events"): 200,
    ("POST", "/v1/jobs/<job_id>/cancel"): 409,
    ("POST", "/v1/jobs/<job_id>/retry"): 202,
    ("DELETE", "/v1/jobs/<job_id>"): 204,
}
OF_A_WAITING_JOB = {
    ("GET", "/v1/jobs/<job_id>"): 200,
    ("GET", "/v1/jobs/<job_id>/result"): 409,
    ("GET", "/v1/jobs/<job_id>/manifest"): 409,
    ("GET", "/v1/jobs/<job_id>/preview"): 404,
    ("GET", "/v1/jobs/<job_id>/preview?step=1"): 200,
    ("GET", "/v1/jobs/<job_id>/losses"): 404,  # none were stored
    ("GET", "/v1/jobs/<job_id>/inputs/<sha256>"): 200,
    ("GET", "/v1/jobs/<job_id>/events"): 200,
    ("POST", "/v1/jobs/<job_id>/retry"): 409,
    ("DELETE", "/v1/jobs/<job_id>"): 409,
    ("POST", "/v1/jobs/<job_id>/cancel"): 200,
}


@pytest.mark.parametrize("state", ["waiting", "running", "finished"])
def test_somebody_elses_job_is_not_there_and_stays_as_it_is(
    service: Any,
    mine: Visitor,
    stranger: Visitor,
    records: JobRecords,
    storage: Storage,
    valkey: redis.Redis,
    paint: Paint,
    state: str,
) -> None:
    job = mine.submit()
    storage.put(preview_key(job.id, 1), b"\xff\xd8preview", "image/jpeg")
    if state == "finished":
        paint(job.id)
    if state == "running":
        records.claim(job.id, "painter")
    expected = OF_A_FINISHED_JOB if state == "finished" else OF_A_WAITING_JOB
    routes = {
        (method, rule.rule)
        for rule in service.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if "<job_id>" in rule.rule
    }
    # A new route needs a line in both tables.
    assert routes == {(method, rule.partition("?")[0]) for method, rule in expected}
    digest = hashlib.sha256(CONTENT).hexdigest()

    before = snapshot(valkey)
    for method, rule in expected:
        path = rule.replace("<sha256>", digest)
        theirs = stranger.ask(method, path.replace("<job_id>", job.id))
        nobodys = stranger.ask(method, path.replace("<job_id>", NO_JOB))
        assert theirs.status_code == nobodys.status_code == 404, (method, rule)
        assert theirs.text == nobodys.text.replace(NO_JOB, job.id), (method, rule)
        assert dict(theirs.headers).keys() == dict(nobodys.headers).keys()
    assert stranger.jobs() == []
    assert stranger.jobs(f"?cursor={'f' * 36}") == []
    assert snapshot(valkey) == before

    for (method, rule), status in expected.items():
        path = rule.replace("<job_id>", job.id).replace("<sha256>", digest)
        with mine.ask(method, path) as answer:
            assert answer.status_code == status, (method, rule)


def test_what_is_left_of_somebody_elses_job_is_not_told_either(
    mine: Visitor, stranger: Visitor, paint: Paint
) -> None:
    job = mine.submit()
    paint(job.id)
    assert mine.ask("DELETE", job.urls.self).status_code == 204
    assert mine.ask("GET", job.urls.self).status_code == 410
    assert stranger.ask("GET", job.urls.self).status_code == 404
    assert stranger.ask("POST", f"{job.urls.self}/retry").status_code == 404


def test_a_retry_belongs_to_who_asked_for_it(
    mine: Visitor, stranger: Visitor, paint: Paint
) -> None:
    job = mine.submit()
    paint(job.id)
    again = Job.model_validate_json(mine.ask("POST", f"{job.urls.self}/retry").data)
    assert mine.jobs() == [again.id, job.id]
    assert stranger.ask("GET", again.urls.self).status_code == 404


def test_lists_and_their_pages_hold_own_jobs_only(mine: Visitor, stranger: Visitor) -> None:
    owned: dict[Visitor, list[str]] = {mine: [], stranger: []}
    for who in (mine, stranger, mine, stranger, mine):
        owned[who].insert(0, who.submit().id)
    for who, jobs in owned.items():
        assert who.jobs() == jobs
        assert who.jobs("?status=queued&limit=1") == jobs[:1]
    assert mine.jobs(f"?cursor={owned[stranger][0]}") == owned[mine][1:]


def test_the_same_idempotency_key_of_two_keys_makes_two_jobs(
    mine: Visitor, stranger: Visitor
) -> None:
    header = {"Idempotency-Key": "order-1"}
    first, second = mine.post(header), stranger.post(header)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.get_json()["id"] != second.get_json()["id"]
    for who, answer in ((mine, first), (stranger, second)):
        assert who.post(header).get_json()["id"] == answer.get_json()["id"]
        assert who.jobs() == [answer.get_json()["id"]]
    # Nor does one learn from a conflict what the other has sent.
    assert stranger.post({"Idempotency-Key": "order-2"}).status_code == 202
    assert mine.post({"Idempotency-Key": "order-2"}, content=STYLE).status_code == 202


def test_a_retry_of_somebody_elses_job_does_not_use_up_an_idempotency_key(
    mine: Visitor, stranger: Visitor, paint: Paint
) -> None:
    job = mine.submit()
    paint(job.id)
    header = {"Idempotency-Key": "again"}
    path = f"{job.urls.self}/retry"
    assert stranger.ask("POST", path, **header).status_code == 404
    assert stranger.post(header).status_code == 202
    assert mine.ask("POST", path, **header).status_code == 202


# -- how many they may have ---------------------------------------------------------------------


def test_a_key_may_have_so_many_unfinished_jobs_and_one_more_when_one_ends(
    visitor: Callable[..., Visitor], records: JobRecords, paint: Paint
) -> None:
    limited, other = visitor("limited", 2), visitor("other")
    first, second = limited.submit(), limited.submit()

    def refused() -> None:
        answer = limited.post()
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        problem = Problem.model_validate_json(answer.data)
        assert problem.code == "too_many"
        assert "2 " in problem.detail

    refused()
    other.submit()
    records.claim(second.id, "painter")
    refused()  # a running job is not finished either
    assert limited.jobs() == [second.id, first.id]

    assert limited.ask("POST", first.urls.cancel).status_code == 200
    third = limited.submit()
    refused()
    paint(third.id)
    limited.submit()
    refused()
    answer = limited.ask("POST", f"{third.urls.self}/retry")
    assert (answer.status_code, answer.get_json()["code"]) == (429, "too_many")
    assert len(limited.jobs()) == 4


def test_a_key_without_a_limit_of_its_own_has_that_of_the_installation(
    change: Change, keys: ApiKeys
) -> None:
    service = create_app(change(max_unfinished_jobs=1, key_cache_seconds=0.0))
    plain = Visitor(service.test_client(), keys.create("plain"))
    generous = Visitor(
        service.test_client(), keys.create("generous", allowance=Allowance(max_unfinished_jobs=3))
    )
    plain.submit()
    assert plain.post().status_code == 429
    for _ in range(3):
        generous.submit()
    assert generous.post().status_code == 429


def test_a_refused_job_leaves_its_idempotency_key_free(visitor: Callable[..., Visitor]) -> None:
    limited = visitor("limited", 1)
    first = limited.submit()
    header = {"Idempotency-Key": "next"}
    assert limited.post(header).status_code == 429
    assert limited.ask("POST", first.urls.cancel).status_code == 200
    assert limited.post(header).status_code == 202


# -- over a real socket -------------------------------------------------------------------------


def test_secrets_are_neither_logged_nor_stored(
    settings: Settings, keys: ApiKeys, valkey: redis.Redis, storage: Storage, tmp_path: Path
) -> None:
    secret, revoked = keys.create("mine"), keys.create("revoked")
    keys.revoke(next(key.id for key in keys.list() if key.name == "revoked"))
    wrong = f"impasto_{'0' * 16}_{'Wrong' * 8}123"
    log = tmp_path / "log"
    with running_api(settings, log, IMPASTO_REQUIRE_KEYS="true") as url:

        def send(key: str, method: str, path: str, **options: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.request(method, url + path, headers=headers, **options)

        def ask(key: str, method: str = "GET", path: str = "/v1/jobs", **options: Any) -> int:
            return send(key, method, path, **options).status_code

        files = [("content", ("a.png", CONTENT)), ("style", ("b.png", STYLE))]
        job_id = send(secret, "POST", "/v1/jobs", files=files).raise_for_status().json()["id"]
        assert ask(secret, "POST", files=[]) in (400, 415)
        assert [ask(secret), ask(revoked), ask(wrong), ask("x" * 5000)] == [200, 401, 401, 401]
        assert ask(secret, path=f"/v1/jobs/{NO_JOB}") == 404
        # Somebody without a key does not have a large body read, and the next one is served.
        large = [("content", ("a.png", os.urandom(3_000_000)))]
        assert ask(wrong, "POST", files=large) == 401
        valkey.rename(names.KEYS, "aside")
        valkey.set(names.KEYS, "no keys")
        assert ask(f"impasto_{'1' * 16}_{'A' * 43}") == 503  # what goes wrong is logged
        valkey.rename("aside", names.KEYS)
    written = log.read_text()
    assert "job accepted" in written
    assert "unavailable" in written
    everything = repr(snapshot(valkey))
    request = storage.get(request_key(job_id)).decode()
    assert '"owner"' in request
    assert '"mine"' in everything
    for text in (secret, revoked, wrong):
        hidden = text.split("_", 2)[2]
        assert hidden not in written
        assert hidden not in everything
        assert hidden not in request
