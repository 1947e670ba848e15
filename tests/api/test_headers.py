"""What browsers are told: what they may do with an answer, who may keep it, who may read it."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from api.headers import ANSWER_POLICY, DOCS_POLICY, PAGE_POLICY
from shared.jobs import StoredOutput
from shared.keys import ApiKeys
from shared.settings import Settings
from shared.storage import Storage, preview_key
from tests.api.conftest import Change, form

NO_JOB = "0190a000-0000-7000-8000-000000000000"
STUDIO = "https://studio.example"
IPV6 = "http://[::1]:3000"
KINDS = [
    "/",
    "/docs/scalar",
    "/web/icons/mark.svg",
    "/v1/jobs",
    "/v1/nothing",
    "/healthz",
    "/web/x",
]


def answered(api: FlaskClient, path: str, **options: Any) -> TestResponse:
    answer = api.get(path, **options)
    answer.get_data()
    answer.close()
    return answer


@pytest.fixture
def job_id(api: FlaskClient, paint: Callable[[str], StoredOutput], storage: Storage) -> str:
    """A job that has ended, of which there is a preview."""
    job_id: str = api.post("/v1/jobs", **form()).get_json()["id"]
    storage.put(preview_key(job_id, 1), b"\xff\xd8preview", "image/jpeg")
    paint(job_id)
    return job_id


# -- what a browser may do ----------------------------------------------------------------------


@pytest.mark.parametrize("path", KINDS)
def test_every_answer_is_taken_for_what_it_is_and_framed_by_nobody(
    api: FlaskClient, path: str
) -> None:
    answer = answered(api, path)
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.getlist("Referrer-Policy") == ["no-referrer"]
    assert answer.headers.getlist("Cross-Origin-Resource-Policy") == ["same-origin"]
    (policy,) = answer.headers.getlist("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "Strict-Transport-Security" not in answer.headers


def test_the_page_may_use_its_own_files_only(api: FlaskClient) -> None:
    assert answered(api, "/").headers["Content-Security-Policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert "http" not in PAGE_POLICY
    assert "data:" not in PAGE_POLICY
    assert "camera=()" in answered(api, "/").headers["Permissions-Policy"]


def test_no_script_stands_in_the_page_of_the_documentation(api: FlaskClient) -> None:
    answer = answered(api, "/docs/scalar")
    assert answer.headers["Content-Security-Policy"] == DOCS_POLICY
    assert "script-src 'self';" in DOCS_POLICY
    scripts = answer.text.split("<script")[1:]
    assert len(scripts) == 2
    for script in scripts:
        assert script.partition(">")[2].startswith("</script>")


@pytest.mark.parametrize("part", ["result?proxy=1", "preview?step=1", "manifest", ""])
def test_what_somebody_has_uploaded_or_got_back_can_do_nothing(
    api: FlaskClient, job_id: str, part: str
) -> None:
    answer = answered(api, f"/v1/jobs/{job_id}/{part}".rstrip("/"))
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == ANSWER_POLICY
    assert "sandbox" in ANSWER_POLICY


def test_over_https_browsers_are_told_to_stay_there(change: Change, api: FlaskClient) -> None:
    proxied = create_app(change(trusted_proxies=1)).test_client()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    answer = answered(proxied, "/healthz", headers=headers)
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    # Nobody is believed who is no proxy that is known.
    answer = answered(api, "/healthz", headers=headers)
    assert "Strict-Transport-Security" not in answer.headers


# -- who may keep an answer ---------------------------------------------------------------------


def test_nobody_else_keeps_what_is_somebodys_own(api: FlaskClient, job_id: str) -> None:
    stored = {
        path: answered(api, path).headers["Cache-Control"].split(", ")
        for path in (
            "/v1/jobs",
            "/v1/workers",
            f"/v1/jobs/{job_id}",
            f"/v1/jobs/{job_id}/result",
            f"/v1/jobs/{job_id}/result?proxy=1",
            f"/v1/jobs/{job_id}/manifest",
            f"/v1/jobs/{job_id}/preview?step=1",
            f"/v1/jobs/{NO_JOB}",
        )
    }
    assert {path for path, words in stored.items() if not {"private", "no-store"} & {*words}} == (
        set()
    )
    assert not any("public" in words for words in stored.values())
    assert "immutable" in stored[f"/v1/jobs/{job_id}/preview?step=1"]


def test_a_poll_is_still_answered_with_304(api: FlaskClient, job_id: str) -> None:
    first = answered(api, f"/v1/jobs/{job_id}")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in first.headers["Vary"]
    again = answered(api, f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == "private, no-cache"


# -- who may read an answer: CORS ---------------------------------------------------------------


@pytest.fixture
def shared(change: Change, valkey: redis.Redis) -> FlaskClient:
    """The API where pages of two other origins may use it."""
    values = {"cors_origins": f"{STUDIO}, {IPV6}", "require_keys": True, "key_cache_seconds": 0.0}
    return create_app(change(**values)).test_client()


def preflight(api: FlaskClient, origin: str, path: str, method: str = "POST") -> TestResponse:
    return api.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer",
        },
    )


@pytest.mark.parametrize("origin", [STUDIO, IPV6])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("GET", f"/v1/jobs/{NO_JOB}"),
        ("DELETE", f"/v1/jobs/{NO_JOB}"),
        ("GET", f"/v1/jobs/{NO_JOB}/events"),
        ("POST", "/v1/estimate"),
    ],
)
def test_a_page_of_an_allowed_origin_may_ask_before_it_has_shown_its_key(
    shared: FlaskClient, origin: str, method: str, path: str
) -> None:
    answer = preflight(shared, origin, path, method)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert method in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    for name in ("authorization", "content-type", "idempotency-key", "prefer"):
        assert name in allowed
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_its_scripts_may_read_answers_and_refusals(shared: FlaskClient, keys: ApiKeys) -> None:
    headers = {"Origin": STUDIO}
    refused = shared.get("/v1/jobs", headers=headers)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == STUDIO
    headers["Authorization"] = f"Bearer {keys.create('studio')}"
    answer = shared.get("/v1/jobs", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == STUDIO
    exposed = answer.headers["Access-Control-Expose-Headers"]
    for name in ("Location", "Retry-After", "ETag", "Idempotent-Replayed", "Preference-Applied"):
        assert name in exposed


@pytest.mark.parametrize(
    "origin",
    [
        "https://studio.example.evil.test",
        "https://evil-studio.example",
        "https://studioxexample",
        "http://studio.example",
        "https://studio.example:8443",
        "http://::1:3000",
        "http://:",
        "null",
        "*",
    ],
)
def test_other_origins_are_not_let_in(shared: FlaskClient, origin: str) -> None:
    for answer in (
        preflight(shared, origin, "/v1/jobs"),
        shared.get("/v1/jobs", headers={"Origin": origin}),
    ):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_only_the_api_is_shared(shared: FlaskClient) -> None:
    for path in ("/", "/metrics", "/openapi.json"):
        answer = answered(shared, path, headers={"Origin": STUDIO})
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_options_without_a_question_needs_a_key(shared: FlaskClient) -> None:
    assert shared.options("/v1/jobs").status_code == 401


def test_nothing_of_cors_where_no_origin_is_named(change: Change) -> None:
    closed = create_app(change(require_keys=True)).test_client()
    assert preflight(closed, STUDIO, "/v1/jobs").status_code == 401
    answer = closed.get("/healthz", headers={"Origin": STUDIO})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "https://*.example",
        "null",
        "studio.example",
        "https://studio.example/",
        "https://studio.example/app",
        "https://user@studio.example",
        "https://studio.example https://other.example",
        "ftp://studio.example",
        "https://studio.example, *",
    ],
)
def test_what_is_no_origin_is_refused_in_a_sentence(written: str) -> None:
    with pytest.raises(ValueError, match=r"is no origin: write them like https://studio.example"):
        Settings(cors_origins=written, _env_file=None)


@pytest.fixture
def keys(valkey: redis.Redis, settings: Settings) -> ApiKeys:
    return ApiKeys(valkey, settings)
