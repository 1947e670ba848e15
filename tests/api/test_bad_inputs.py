"""Bad inputs: each gets its answer as problem details, and leaves nothing behind."""

import gc
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import redis
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse

from api.app import create_app
from api.problems import Problem
from shared.records import JobRecords
from shared.storage import request_key
from tests.api.conftest import CONTENT, STYLE, Change, Traces, form, post
from tests.shared.pictures import NOT_IMAGES, UNUSABLE, encoded, picture
from tests.shared.strategies import json_values, patient

# Werkzeug drops the files of a form that it cannot read to the end, and does not close them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module", autouse=True)
def _dropped_files_go_here() -> Iterator[None]:
    yield
    gc.collect()


def assert_refused(answer: TestResponse, status: int, code: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    problem = Problem.model_validate_json(answer.data)
    assert (problem.status, problem.code) == (status, code)
    assert problem.type == f"urn:impasto:problem:{code}"
    assert problem.title
    assert problem.detail
    assert problem.instance.startswith("/")
    assert "Traceback" not in answer.text
    return problem


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


# -- the body -----------------------------------------------------------------------------------

BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "no body": ({}, 415, "unsupported_media"),
    "JSON": ({"json": {"size": 64}}, 415, "unsupported_media"),
    "a picture alone": ({"data": CONTENT, "content_type": "image/png"}, 415, "unsupported_media"),
    "a form without files": (
        {"data": b"content=1", "content_type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media",
    ),
    "no boundary": ({"data": b"x", "content_type": "multipart/form-data"}, 400, "invalid_request"),
    "an empty boundary": (
        {"data": b"x", "content_type": "multipart/form-data; boundary="},
        400,
        "invalid_request",
    ),
    "a boundary that is not ASCII": (
        {"data": b"x", "content_type": "multipart/form-data; boundary=é"},
        400,
        "invalid_request",
    ),
    "another boundary than it has": (
        {"data": b"--a\r\n\r\nx\r\n--a--", "content_type": "multipart/form-data; boundary=b"},
        400,
        "invalid_request",
    ),
    "garbage": (
        {"data": b"\0\xff" * 999, "content_type": "multipart/form-data; boundary=b"},
        400,
        "invalid_request",
    ),
    "an end in the middle of a part": (
        {
            "data": b'--b\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\nx',
            "content_type": "multipart/form-data; boundary=b",
        },
        400,
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("request_", "status", "code"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_not_a_form_with_files(
    api: FlaskClient, traces: Traces, request_: dict[str, Any], status: int, code: str
) -> None:
    before = traces.all()
    assert_refused(api.post("/v1/jobs", **request_), status, code)
    assert traces.all() == before


FIELDS: dict[str, tuple[list[tuple[str, Any]], dict[str, Any], int, str]] = {
    "no content": ([], {"content": None}, 400, "invalid_request"),
    "no style": ([], {"style": None}, 400, "invalid_request"),
    "no fields at all": ([], {"content": None, "style": None}, 400, "invalid_request"),
    "content as text": ([], {"content": "a picture"}, 400, "invalid_request"),
    "style as text": ([("style", "a painting")], {}, 400, "invalid_request"),
    "two contents": ([("content", CONTENT)], {}, 400, "invalid_request"),
    "two params": ([("params", "{}")], {"params": "{}"}, 400, "invalid_request"),
    "two priorities": ([("priority", "low")], {"priority": "low"}, 400, "invalid_request"),
    "two inits": ([("init", CONTENT)] * 2, {}, 400, "invalid_request"),
    "a mask as text": ([("mask", "x")], {}, 400, "invalid_request"),
    "an unknown field": ([("picture", "x")], {}, 400, "invalid_request"),
    "an unknown file": ([("picture", CONTENT)], {}, 400, "invalid_request"),
    "a field without a name": ([("", "x")], {}, 400, "invalid_request"),
    "params as a file": ([("params", b"{}")], {}, 400, "invalid_request"),
    "too many styles": ([("style", STYLE)] * 8, {}, 400, "invalid_request"),
    "too many parts": ([("style", STYLE)] * 40, {}, 413, "too_large"),
    "a long field": ([], {"metadata": '{"a":"%s"}' % ("x" * 70_000)}, 413, "too_large"),
    "a very long field": ([], {"metadata": '{"a":"%s"}' % ("x" * 600_000)}, 413, "too_large"),
    "an unknown priority": ([], {"priority": "urgent"}, 422, "invalid_input"),
    "no priority": ([], {"priority": ""}, 422, "invalid_input"),
}


@pytest.mark.parametrize(("parts", "fields", "status", "code"), FIELDS.values(), ids=FIELDS)
def test_fields_that_do_not_belong(
    api: FlaskClient,
    traces: Traces,
    parts: list[tuple[str, Any]],
    fields: dict[str, Any],
    status: int,
    code: str,
) -> None:
    before = traces.all()
    assert_refused(post(api, *parts, **fields), status, code)
    assert traces.all() == before


def test_a_body_over_the_limit(change: Change, traces: Traces) -> None:
    api = create_app(change(max_request_bytes=10_000)).test_client()
    before = traces.all()
    noise = encoded(Image.effect_noise((200, 200), 80), "PNG")
    assert_refused(post(api, content=noise), 413, "too_large")
    assert traces.all() == before


def test_a_file_over_its_limit_is_named(change: Change, traces: Traces) -> None:
    api = create_app(change(max_image_bytes=5000)).test_client()
    before = traces.all()
    noise = encoded(Image.effect_noise((200, 200), 80), "PNG")
    problem = assert_refused(post(api, ("style", noise)), 413, "too_large")
    assert problem.detail.startswith("style/1: ")
    assert traces.all() == before


# -- images -------------------------------------------------------------------------------------

NOT_DECODED = b"nobody looks at it"
MISSING: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "content, by default": ({}, {"content": None}, "content"),
    "content, since the picture starts from it": (
        {"preset": "texture", "init": "content"},
        {"content": None},
        "content",
    ),
    "style, by default": ({}, {"style": None}, "style"),
    "style of a texture": ({"preset": "texture"}, {"content": None, "style": None}, "style"),
    "what to start from": ({"init": "image"}, {}, "init"),
}


@pytest.mark.parametrize(("params", "fields", "pointer"), MISSING.values(), ids=MISSING)
def test_an_image_that_the_parameters_need_is_missed(
    api: FlaskClient, traces: Traces, params: dict[str, Any], fields: dict[str, Any], pointer: str
) -> None:
    before = traces.all()
    images = {"content": NOT_DECODED, "style": NOT_DECODED} | fields
    answer = post(api, params=json.dumps(params), **images)
    problem = assert_refused(answer, 400, "invalid_request")
    assert [fault.pointer for fault in problem.errors] == [pointer]
    assert "is missing" in problem.detail
    assert traces.all() == before


MISFITS: dict[str, tuple[dict[str, Any], list[tuple[str, bytes]], str]] = {
    "more weights than styles": ({"style_weights": [1, 2]}, [], "params/style_weights"),
    "fewer weights": ({"style_weights": [1]}, [("style", NOT_DECODED)], "params/style_weights"),
    "two masks for one style": ({}, [("mask", NOT_DECODED)] * 2, "mask"),
    "one mask for two styles": ({}, [("style", NOT_DECODED), ("mask", NOT_DECODED)], "mask"),
    "an init that is not asked for": ({}, [("init", NOT_DECODED)], "init"),
    "two shapes": ({"aspect_ratio": 2}, [], "params/aspect_ratio"),
}


@pytest.mark.parametrize(("params", "parts", "pointer"), MISFITS.values(), ids=MISFITS)
def test_images_and_parameters_that_do_not_go_together_are_refused_undecoded(
    api: FlaskClient,
    traces: Traces,
    params: dict[str, Any],
    parts: list[tuple[str, bytes]],
    pointer: str,
) -> None:
    before = traces.all()
    images = {"content": NOT_DECODED, "style": NOT_DECODED}
    answer = post(api, *parts, params=json.dumps(params), **images)
    problem = assert_refused(answer, 422, "invalid_input")
    assert [fault.pointer for fault in problem.errors] == [pointer]
    assert traces.all() == before


@pytest.mark.parametrize("field", ["content", "style", "mask", "init"])
@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_an_image_that_cannot_be_used(
    api: FlaskClient, traces: Traces, field: str, data: bytes
) -> None:
    before = traces.all()
    params = '{"init": "image"}' if field == "init" else "{}"
    problem = assert_refused(post(api, params=params, **{field: data}), 422, "invalid_image")
    expected = {"style": "style/0", "mask": "mask/0"}.get(field, field)
    assert problem.errors[0].pointer == expected
    assert traces.all() == before


def test_images_too_narrow_for_the_network_are_refused_before_a_worker_sees_them(
    api: FlaskClient, traces: Traces
) -> None:
    before = traces.all()
    narrow = picture(size=(640, 24))
    for field, size in (("content", 64), ("style", 100)):
        answer = post(api, params=json.dumps({"size": size}), **{field: narrow})
        problem = assert_refused(answer, 422, "invalid_input")
        assert "larger size" in problem.detail
    assert traces.all() == before
    ignored = {"preset": "reconstruction", "size": 64}
    assert post(api, params=json.dumps(ignored), style=narrow).status_code == 202


def test_steps_beyond_all_patience_are_refused(api: FlaskClient, traces: Traces) -> None:
    before = traces.all()
    params = {"size": 2048, "pyramid": {"factor": 1.1, "steps": [10_000]}}
    assert_refused(post(api, params=json.dumps(params)), 422, "invalid_input")
    assert traces.all() == before


def test_an_image_that_is_not_used_is_checked_all_the_same(
    api: FlaskClient, traces: Traces
) -> None:
    before = traces.all()
    answer = post(api, params='{"preset": "reconstruction"}', style=b"")
    assert_refused(answer, 422, "invalid_image")
    assert traces.all() == before


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_a_file_that_is_no_image_whatever_its_name_says(
    api: FlaskClient, traces: Traces, data: bytes
) -> None:
    before = traces.all()
    assert_refused(post(api, content=data), 415, "unsupported_media")  # sent as content.png
    assert traces.all() == before


def test_a_bad_image_among_good_ones_is_named(api: FlaskClient, traces: Traces) -> None:
    before = traces.all()
    answer = post(api, ("style", STYLE), ("style", b""))
    problem = assert_refused(answer, 422, "invalid_image")
    assert problem.errors[0].pointer == "style/2"
    assert traces.all() == before


ACCEPTED = {
    "CMYK": picture("JPEG", mode="CMYK"),
    "a palette": picture(mode="P"),
    "gray": picture(mode="L"),
    "one bit": picture(mode="1"),
    "alpha": picture(mode="RGBA"),
    "16 bits": encoded(Image.new("I;16", (32, 32), 40_000)),
    "WebP": picture("WEBP"),
    "TIFF": picture("TIFF"),
    "trailing bytes": CONTENT + b"\0" * 999,
    "a corrupt EXIF": encoded(
        Image.new("RGB", (32, 32)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"
    ),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_unusual_but_sound_images_are_accepted(api: FlaskClient, data: bytes) -> None:
    assert post(api, content=data).status_code == 202


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a\0b.png",
        "C:\\x.png",
        "é\U0001f3a8.png",
        "x" * 3000,
        "",
        '".png',
        "; a",
    ],
)
def test_the_name_of_a_file_means_nothing(api: FlaskClient, traces: Traces, name: str) -> None:
    arguments = form()
    arguments["data"].setlist("content", [FileStorage(io.BytesIO(CONTENT), filename=name)])
    if not name:  # werkzeug's client leaves out empty names
        body = (
            b'--b\r\nContent-Disposition: form-data; name="content"; filename=""\r\n\r\n'
            + CONTENT
            + b'\r\n--b\r\nContent-Disposition: form-data; name="style"; filename="s"\r\n\r\n'
            + STYLE
            + b"\r\n--b--\r\n"
        )
        arguments = {"data": body, "content_type": "multipart/form-data; boundary=b"}
    before = traces.all()
    answer = api.post("/v1/jobs", **arguments)
    assert answer.status_code == 202
    new = traces.all()[0] - before[0] - {request_key(answer.get_json()["id"])}
    assert all(re.fullmatch("inputs/[0-9a-f]{64}", key) for key in new)


# -- params and metadata ------------------------------------------------------------------------

TEXTS: dict[str, tuple[str | bytes, int, str]] = {
    "nothing": ("", 400, "invalid_request"),
    "no JSON": ("size=64", 400, "invalid_request"),
    "half of an object": ('{"a": 1', 400, "invalid_request"),
    "two objects": ("{} {}", 400, "invalid_request"),
    "a key twice": ('{"a": 1, "a": 1}', 400, "invalid_request"),
    "a key twice, inside": ('{"a": [{"b": 1, "b": 2}]}', 400, "invalid_request"),
    "too deep": (deep(17), 400, "invalid_request"),
    "far too deep": (deep(9000), 400, "invalid_request"),
    "lists too deep": ('{"a":' + "[" * 9000 + "]" * 9000 + "}", 400, "invalid_request"),
    "bad UTF-8": (b'{"a": "\xff\xfe"}', 400, "invalid_request"),
    "UTF-8 of a surrogate": (b'{"a": "\xed\xa0\x80"}', 400, "invalid_request"),
    "an integer of 5000 digits": ('{"a": %s}' % ("9" * 5000), 400, "invalid_request"),
    "NaN": ('{"a": NaN}', 422, "invalid_input"),
    "Infinity": ('{"a": Infinity}', 422, "invalid_input"),
    "-Infinity": ('{"a": [-Infinity]}', 422, "invalid_input"),
    "a number beyond all floats": ('{"a": 1e999}', 422, "invalid_input"),
    "a lone surrogate": ('{"a": "\\ud800"}', 422, "invalid_input"),
    "a lone surrogate as a key": ('{"\\udfff": 1}', 422, "invalid_input"),
    "null": ("null", 422, "invalid_input"),
    "an array": ("[]", 422, "invalid_input"),
    "a string": ('"{}"', 422, "invalid_input"),
    "a number": ("64", 422, "invalid_input"),
}


@pytest.mark.parametrize("field", ["params", "metadata"])
@pytest.mark.parametrize(("text", "status", "code"), TEXTS.values(), ids=TEXTS)
def test_json_that_cannot_be_taken(
    api: FlaskClient, traces: Traces, field: str, text: str | bytes, status: int, code: str
) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    boundary = b"--b\r\nContent-Disposition: form-data; name="
    body = (
        (boundary + b'"content"; filename="c"\r\n\r\n' + CONTENT + b"\r\n")
        + (boundary + b'"style"; filename="s"\r\n\r\n' + STYLE + b"\r\n")
        + (boundary + f'"{field}"\r\n\r\n'.encode() + raw + b"\r\n--b--\r\n")
    )
    before = traces.all()
    answer = api.post("/v1/jobs", data=body, content_type="multipart/form-data; boundary=b")
    problem = assert_refused(answer, status, code)
    assert field in problem.detail
    assert traces.all() == before


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"size": 31}, "params/size"),
        ({"size": 2049}, "params/size"),  # the API's limit, below the model's
        ({"steps": True}, "params/steps"),
        ({"steps": "100"}, "params/steps"),
        ({"style_weight": "strong"}, "params/style_weight"),
        ({"preset": "unknown"}, "params/preset"),
        ({"preset": []}, "params/preset"),
        ({"init": "zeros"}, "params/init"),
        ({"pyramid": {"factor": 9}}, "params/pyramid/factor"),
        ({"style_layers": {"relu7_1": 1}}, "params/style_layers"),
        ({"content_weight": 0, "style_weight": 0}, "params"),
        ({"style_weights": [0]}, "params"),
        ({"stile": 1}, "params/stile"),
    ],
)
def test_parameters_out_of_bounds_are_named(
    api: FlaskClient, traces: Traces, params: dict[str, Any], pointer: str
) -> None:
    before = traces.all()
    problem = assert_refused(post(api, params=json.dumps(params)), 422, "invalid_input")
    assert [fault.pointer for fault in problem.errors] == [pointer]
    assert problem.errors[0].detail in problem.detail
    assert traces.all() == before


def test_all_wrong_parameters_are_named_at_once(api: FlaskClient) -> None:
    answer = post(api, params='{"size": 1, "steps": 0, "x": 1}')
    problem = assert_refused(answer, 422, "invalid_input")
    assert {e.pointer for e in problem.errors} == {"params/size", "params/steps", "params/x"}


def test_nesting_up_to_the_limit_is_taken(api: FlaskClient) -> None:
    assert post(api, metadata=deep(15)).status_code == 202


# -- paths, methods, queries --------------------------------------------------------------------

NO_JOB = "0190a000-0000-7000-8000-000000000000"
ROUTES_OF_A_JOB = [
    ("GET", ""),
    ("DELETE", ""),
    ("POST", "/cancel"),
    ("POST", "/retry"),
    ("GET", "/result"),
    ("GET", "/result?proxy=1"),
    ("GET", "/manifest"),
    ("GET", "/preview"),
]


@pytest.mark.parametrize(
    "job_id",
    [
        NO_JOB,
        "1",
        "a" * 65,
        "a" * 3000,
        "%00",
        "a%00b",
        "%0d%0aX-Injected:1",
        "é",
        "%ff%fe",
        "..",
        "%2e%2e%2f%2e%2e",
        "*",
        "{}",
        "'",
        "impasto:queue",
    ],
)
def test_an_id_that_is_nobody_s(api: FlaskClient, valkey: redis.Redis, job_id: str) -> None:
    for method, route in ROUTES_OF_A_JOB:
        assert_refused(api.open(f"/v1/jobs/{job_id}{route}", method=method), 404, "not_found")
    assert valkey.keys("*") == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", {"GET", "POST"}),
        ("DELETE", "/v1/jobs", {"GET", "POST"}),
        ("PATCH", f"/v1/jobs/{NO_JOB}", {"GET", "DELETE"}),
        ("GET", f"/v1/jobs/{NO_JOB}/retry", {"POST"}),
        ("GET", f"/v1/jobs/{NO_JOB}/cancel", {"POST"}),
        ("POST", f"/v1/jobs/{NO_JOB}/result", {"GET"}),
        ("POST", "/v1/presets", {"GET"}),
        ("POST", "/healthz", {"GET"}),
        ("POST", "/", {"GET"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    api: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = api.open(path, method=method)
    assert_refused(answer, 405, "method_not_allowed")
    assert allowed <= set(answer.headers["Allow"].split(", "))
    assert method not in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize("path", ["/v2", "/v1", "/v1/job", "/index.php", "/%00", "/" + "a" * 3000])
def test_a_path_that_is_not_there(api: FlaskClient, path: str) -> None:
    assert_refused(api.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=many",
        "limit=",
        "limit=1e2",
        "status=done",
        "status=",
        "status=queued,,running",
        "state=queued",
        "page=2",
    ],
)
def test_a_query_that_cannot_be_answered(api: FlaskClient, query: str) -> None:
    problem = assert_refused(api.get(f"/v1/jobs?{query}"), 422, "invalid_input")
    assert problem.errors[0].pointer.startswith(f"query/{query.split('=')[0]}")


@pytest.mark.parametrize("cursor", ["%00", "%ff", "(", "[a", "+", "x" * 4000, "é"])
def test_any_cursor_gives_a_page(api: FlaskClient, cursor: str) -> None:
    post(api)
    assert api.get(f"/v1/jobs?cursor={cursor}").status_code == 200


# -- more than can be taken ---------------------------------------------------------------------


def test_a_full_queue_asks_to_come_back(change: Change, traces: Traces) -> None:
    api = create_app(change(max_queued_jobs=1)).test_client()
    assert post(api).status_code == 202
    before = traces.all()
    noise = encoded(Image.effect_noise((40, 40), 90))  # a picture that was not stored before
    answer = post(api, content=noise)
    assert_refused(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert traces.all() == before


# -- anything at all ----------------------------------------------------------------------------


@hypothesis.settings(patient, max_examples=40)
@given(st.sampled_from(["params", "metadata"]), st.dictionaries(st.text(max_size=9), json_values))
def test_no_json_breaks_the_service(
    api: FlaskClient, records: JobRecords, field: str, value: dict[str, Any]
) -> None:
    answer = post(api, **{field: json.dumps(value)})
    assert answer.status_code in (202, 400, 413, 422), answer.text
    if answer.status_code == 202:
        assert api.get(answer.headers["Location"]).get_json() == answer.get_json()
        found = records.get(answer.get_json()["id"])
        assert found is not None
        if field == "metadata":
            assert answer.get_json()["metadata"] == value == found[0].metadata


@hypothesis.settings(patient, max_examples=40)
@given(
    st.sampled_from([CONTENT, picture("JPEG"), picture("WEBP"), picture("TIFF")]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=8),
)
def test_no_bytes_of_an_image_break_the_service(
    api: FlaskClient, data: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    assert post(api, content=bytes(damaged)).status_code in (202, 415, 422)


@hypothesis.settings(patient, max_examples=40)
@given(st.binary(max_size=400))
def test_no_bytes_of_a_body_break_the_service(api: FlaskClient, body: bytes) -> None:
    whole = b'--b\r\nContent-Disposition: form-data; name="content"' + body
    answer = api.post("/v1/jobs", data=whole, content_type="multipart/form-data; boundary=b")
    assert answer.status_code in (400, 413, 415, 422), answer.text


@hypothesis.settings(patient, max_examples=40)
@given(st.text(min_size=1, max_size=80))
def test_no_path_or_cursor_breaks_the_service(api: FlaskClient, text: str) -> None:
    assert api.get(f"/v1/jobs/{text}").status_code < 500
    assert api.get("/v1/jobs", query_string={"cursor": text}).status_code == 200
