"""Bad inputs over a real socket: each gets its answer as problem details, and leaves nothing."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from PIL import Image
from werkzeug.test import TestResponse

from api.problems import Problem
from shared.keys import Allowance, ApiKeys
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage, input_key, request_key
from tests.api.conftest import CONTENT, STYLE, Traces
from tests.api.forms import BOUNDARY, MULTIPART, form, joined, part
from tests.api.servers import running_api
from tests.api.test_sockets import Address, ask
from tests.faults.proxy import Proxy
from tests.shared.pictures import NOT_IMAGES, UNUSABLE, encoded, picture, png
from worker.pictures import read_picture

MAX_REQUEST_BYTES = 2_000_000
MAX_IMAGE_BYTES = 500_000
WEBHOOK_SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def url(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API without keys."""
    log = tmp_path_factory.mktemp("api") / "log"
    environment = {
        "IMPASTO_MAX_REQUEST_BYTES": str(MAX_REQUEST_BYTES),
        "IMPASTO_MAX_IMAGE_BYTES": str(MAX_IMAGE_BYTES),
        "IMPASTO_WEBHOOK_SECRETS": WEBHOOK_SECRET,
    }
    with running_api(settings, log, **environment) as url:
        yield url
    assert "Traceback" not in log.read_text()


@pytest.fixture
def api(connections: httpx.Client, valkey: redis.Redis) -> httpx.Client:
    """A client of the API, whose Redis is empty."""
    return connections


@pytest.fixture
def address(url: str, valkey: redis.Redis) -> Address:
    """Where it listens, for what httpx would not send."""
    return "127.0.0.1", int(urlsplit(url).port or 0)


def post(api: httpx.Client, *parts: tuple[str, Any], **fields: Any) -> httpx.Response:
    return api.post("/v1/jobs", **form(*parts, **fields))


def assert_refused(answer: httpx.Response | TestResponse, status: int, code: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.text)
    assert (problem.status, problem.code) == (status, code)
    assert problem.type == f"urn:impasto:problem:{code}"
    assert problem.title
    assert problem.detail
    assert problem.instance.startswith("/")
    assert "Traceback" not in answer.text
    if status in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0
    return problem


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


# -- the body -----------------------------------------------------------------------------------

FIRST_PART = b'--b\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\n'
BODIES: dict[str, tuple[bytes, str | bytes, int]] = {
    "no body": (b"", "", 415),
    "JSON": (b'{"size": 64}', "application/json", 415),
    "a picture alone": (CONTENT, "image/png", 415),
    "a form without files": (b"content=1", "application/x-www-form-urlencoded", 415),
    "no boundary": (b"x", "multipart/form-data", 400),
    "an empty boundary": (b"x", "multipart/form-data; boundary=", 400),
    "a boundary that is not ASCII": (b"x", "multipart/form-data; boundary=é".encode(), 400),
    "another boundary than it has": (
        b"--a\r\n\r\nx\r\n--a--",
        "multipart/form-data; boundary=b",
        400,
    ),
    "garbage": (b"\0\xff" * 999, "multipart/form-data; boundary=b", 400),
    "an end in the middle of a part": (FIRST_PART + b"x", "multipart/form-data; boundary=b", 400),
    "a part that says nothing of itself": (
        b"--b\r\nX: y\r\n\r\nx\r\n--b--",
        "multipart/form-data; boundary=b",
        400,
    ),
    "a part whose header is not UTF-8": (
        b"--b\r\n" + FIRST_PART[5:].replace(b'"a"', b'"\xff"') + b"x\r\n--b--",
        "multipart/form-data; boundary=b",
        400,
    ),
}
CODES = {400: "invalid_request", 415: "unsupported_media"}


@pytest.mark.parametrize(("body", "kind", "status"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_not_a_form_with_files(
    api: httpx.Client, traces: Traces, body: bytes, kind: str | bytes, status: int
) -> None:
    before = traces.all()
    answer = api.post("/v1/jobs", content=body, headers={"Content-Type": kind})
    assert_refused(answer, status, CODES[status])
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
    "a field whose name is no name": ([("\\", "x")], {}, 400, "invalid_request"),
    "a file whose name is no name": ([("\\", CONTENT)], {}, 400, "invalid_request"),
    "params as a file": ([("params", b"{}")], {}, 400, "invalid_request"),
    "too many styles": ([("style", STYLE)] * 8, {}, 400, "invalid_request"),
    "too many parts": ([("style", STYLE)] * 40, {}, 413, "too_large"),
    "a long field": ([], {"params": '{"a":"%s"}' % ("x" * 70_000)}, 413, "too_large"),
    "a very long field": ([], {"metadata": '{"a":"%s"}' % ("x" * 600_000)}, 413, "too_large"),
    "an unknown priority": ([], {"priority": "urgent"}, 422, "invalid_input"),
    "no priority": ([], {"priority": ""}, 422, "invalid_input"),
}


@pytest.mark.parametrize(("parts", "fields", "status", "code"), FIELDS.values(), ids=FIELDS)
def test_fields_that_do_not_belong(
    api: httpx.Client,
    traces: Traces,
    parts: list[tuple[str, Any]],
    fields: dict[str, Any],
    status: int,
    code: str,
) -> None:
    before = traces.all()
    assert_refused(post(api, *parts, **fields), status, code)
    assert traces.all() == before


@pytest.mark.parametrize("chunked", [False, True], ids=["by its length", "in chunks"])
def test_a_body_over_the_limit(api: httpx.Client, traces: Traces, chunked: bool) -> None:
    before = traces.all()
    arguments = form(("style", bytes(MAX_REQUEST_BYTES)))
    if chunked:
        arguments["content"] = iter([arguments["content"]])
    assert_refused(api.post("/v1/jobs", **arguments), 413, "too_large")
    assert traces.all() == before


def test_a_file_over_its_limit_is_named(api: httpx.Client, traces: Traces) -> None:
    before = traces.all()
    problem = assert_refused(post(api, ("style", bytes(MAX_IMAGE_BYTES + 1))), 413, "too_large")
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
    api: httpx.Client, traces: Traces, params: dict[str, Any], fields: dict[str, Any], pointer: str
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
    api: httpx.Client,
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
    api: httpx.Client, traces: Traces, field: str, data: bytes
) -> None:
    before = traces.all()
    params = '{"init": "image"}' if field == "init" else "{}"
    problem = assert_refused(post(api, params=params, **{field: data}), 422, "invalid_image")
    expected = {"style": "style/0", "mask": "mask/0"}.get(field, field)
    assert problem.errors[0].pointer == expected
    assert traces.all() == before


def test_images_too_narrow_for_the_network_are_refused_before_a_worker_sees_them(
    api: httpx.Client, traces: Traces
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


def test_steps_beyond_all_patience_are_refused(api: httpx.Client, traces: Traces) -> None:
    before = traces.all()
    params = {"size": 2048, "pyramid": {"factor": 1.1, "steps": [10_000]}}
    assert_refused(post(api, params=json.dumps(params)), 422, "invalid_input")
    assert traces.all() == before


def test_an_image_that_is_not_used_is_checked_all_the_same(
    api: httpx.Client, traces: Traces
) -> None:
    before = traces.all()
    answer = post(api, params='{"preset": "reconstruction"}', style=b"")
    assert_refused(answer, 422, "invalid_image")
    assert traces.all() == before


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_a_file_that_is_no_image_whatever_its_name_says(
    api: httpx.Client, traces: Traces, data: bytes
) -> None:
    before = traces.all()
    assert_refused(post(api, content=data), 415, "unsupported_media")  # sent as content.png
    assert traces.all() == before


def test_a_bad_image_among_good_ones_is_named(api: httpx.Client, traces: Traces) -> None:
    before = traces.all()
    answer = post(api, ("style", STYLE), ("style", b""))
    problem = assert_refused(answer, 422, "invalid_image")
    assert problem.errors[0].pointer == "style/2"
    assert traces.all() == before


UPRIGHT, LYING = (3, 32, 48), (3, 48, 32)
RED = (1.0, 0.0, 0.0)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.new("RGB", (48, 32), "red"), "JPEG", exif=exif)


def half_transparent() -> bytes:
    """Red on the left, and on the right nothing, which is kept as black."""
    image = Image.new("RGBA", (48, 32))
    image.paste((255, 0, 0, 255), (0, 0, 24, 32))
    return encoded(image)


# The file, and what a worker paints from: shape, and colour in the upper left.
ACCEPTED: dict[str, tuple[bytes, tuple[int, ...], tuple[float, ...]]] = {
    "CMYK": (picture("JPEG", mode="CMYK"), UPRIGHT, RED),
    "CMYK as TIFF": (picture("TIFF", mode="CMYK"), UPRIGHT, RED),
    "a palette": (picture(mode="P"), UPRIGHT, RED),
    "gray": (encoded(Image.new("L", (48, 32), 51)), UPRIGHT, (0.2, 0.2, 0.2)),
    "gray with alpha": (encoded(Image.new("LA", (48, 32), (51, 255))), UPRIGHT, (0.2, 0.2, 0.2)),
    "one bit": (encoded(Image.new("1", (48, 32), 1)), UPRIGHT, (1, 1, 1)),
    "alpha": (half_transparent(), UPRIGHT, RED),
    "16 bits of gray": (
        encoded(Image.new("I;16", (48, 32), 13_107)),
        UPRIGHT,
        (0.2, 0.2, 0.2),
    ),
    "16 bits of colour": (
        png(48, 32, 16, 2, (b"\0" + b"\xff\xff\0\0\0\0" * 48) * 32),
        UPRIGHT,
        RED,
    ),
    "WebP": (picture("WEBP"), UPRIGHT, RED),
    "TIFF": (picture("TIFF"), UPRIGHT, RED),
    "a progressive JPEG": (
        encoded(Image.new("RGB", (48, 32), "red"), "JPEG", progressive=True),
        UPRIGHT,
        RED,
    ),
    "turned by its EXIF": (turned(6), LYING, RED),
    "upside down by its EXIF": (turned(3), UPRIGHT, RED),
    "turned in no known way": (turned(9), UPRIGHT, RED),
    "trailing bytes": (picture() + b"\0" * 999, UPRIGHT, RED),
    "a film behind the photograph": (picture("JPEG") + b"\xff\xda\0\2" * 9999, UPRIGHT, RED),
    "a corrupt EXIF": (
        encoded(Image.new("RGB", (48, 32), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        UPRIGHT,
        RED,
    ),
}


@pytest.mark.parametrize(("data", "shape", "color"), ACCEPTED.values(), ids=ACCEPTED)
def test_unusual_but_sound_images_are_accepted_and_handled_rightly(
    api: httpx.Client,
    storage: Storage,
    data: bytes,
    shape: tuple[int, ...],
    color: tuple[float, ...],
) -> None:
    answer = post(api, content=data)
    assert answer.status_code == 202, answer.text
    stored = storage.get(input_key(hashlib.sha256(data).hexdigest()))
    assert stored == data
    pixels = read_picture(stored).pixels
    assert tuple(pixels.shape) == shape
    assert pixels[:, 4, 4].tolist() == pytest.approx(color, abs=0.02)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        b"a\0b.png",
        "C:\\x.png",
        "é\U0001f3a8.png",
        "x" * 3000,
        "",
        '".png',
        "; a",
        "content.svg",
    ],
)
def test_the_name_of_a_file_means_nothing(
    api: httpx.Client, traces: Traces, name: str | bytes
) -> None:
    before = traces.all()
    parts = (part("content", CONTENT, name), part("style", STYLE, name))
    answer = api.post("/v1/jobs", **joined(parts))
    assert answer.status_code == 202, answer.text
    new = traces.all()[0] - before[0] - {request_key(answer.json()["id"])}
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
    "far too deep": (deep(1300), 400, "invalid_request"),
    "lists too deep": ('{"a":' + "[" * 4000 + "]" * 4000 + "}", 400, "invalid_request"),
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
    api: httpx.Client, traces: Traces, field: str, text: str | bytes, status: int, code: str
) -> None:
    pictures = [part("content", CONTENT), part("style", STYLE)]
    before = traces.all()
    plain = b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    raw = text if isinstance(text, bytes) else text.encode()
    answer = api.post("/v1/jobs", **joined([*pictures, plain % (BOUNDARY, field.encode(), raw)]))
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
    api: httpx.Client, traces: Traces, params: dict[str, Any], pointer: str
) -> None:
    before = traces.all()
    problem = assert_refused(post(api, params=json.dumps(params)), 422, "invalid_input")
    assert [fault.pointer for fault in problem.errors] == [pointer]
    assert problem.errors[0].detail in problem.detail
    assert traces.all() == before


def test_all_wrong_parameters_are_named_at_once(api: httpx.Client) -> None:
    answer = post(api, params='{"size": 1, "steps": 0, "x": 1}')
    problem = assert_refused(answer, 422, "invalid_input")
    assert {e.pointer for e in problem.errors} == {"params/size", "params/steps", "params/x"}


def test_nesting_up_to_the_limit_is_taken(api: httpx.Client) -> None:
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
    ("GET", "/preview?step=1"),
    ("GET", "/events"),
    ("GET", f"/inputs/{'0' * 64}"),
]


IDS = {
    "unknown": NO_JOB,
    "short": "1",
    "65 characters": "a" * 65,
    "3000 characters": "a" * 3000,
    "NUL": "%00",
    "NUL inside": "a%00b",
    "a line end": "%0d%0aX-Injected:1",
    "not ASCII": "%c3%a9",
    "not UTF-8": "%ff%fe",
    "the folder above": "..",
    "the folder above, encoded": "%2e%2e%2f%2e%2e",
    "a pattern": "*",
    "braces": "{}",
    "a quote": "'",
    "a key of ours": "impasto:queue",
}


@pytest.mark.parametrize("job_id", IDS.values(), ids=IDS)
def test_an_id_that_is_nobody_s(address: Address, traces: Traces, job_id: str) -> None:
    before = traces.all()
    for method, route in ROUTES_OF_A_JOB:
        path = f"/v1/jobs/{job_id}{route}"  # httpx would resolve the dots
        assert_refused_by_hand(address, method, path, 404, "not_found")
    assert traces.all() == before


def assert_refused_by_hand(
    address: Address, method: str, path: str, status: int, code: str
) -> dict[str, str]:
    """Send a request as it is. Returns the answer's headers."""
    head, _, body = ask(
        address, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    ).partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert int(first.split()[1]) == status, head
    assert headers["content-type"] == "application/problem+json"
    assert "x-injected" not in headers
    problem = Problem.model_validate_json(body)
    assert (problem.status, problem.code) == (status, code)
    return headers


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
    api: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = api.request(method, path)
    assert_refused(answer, 405, "method_not_allowed")
    assert allowed <= set(answer.headers["Allow"].split(", "))
    assert method not in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize("path", ["/v2", "/v1", "/v1/job", "/index.php", "/%00", "/" + "a" * 3000])
def test_a_path_that_is_not_there(api: httpx.Client, path: str) -> None:
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
def test_a_query_that_cannot_be_answered(api: httpx.Client, query: str) -> None:
    problem = assert_refused(api.get(f"/v1/jobs?{query}"), 422, "invalid_input")
    assert problem.errors[0].pointer.startswith(f"query/{query.split('=')[0]}")


@pytest.mark.parametrize("cursor", ["%00", "%ff", "(", "[a", "+", "x" * 4000, "é"])
def test_any_cursor_gives_a_page(api: httpx.Client, cursor: str) -> None:
    post(api)
    assert api.get(f"/v1/jobs?cursor={cursor}").status_code == 200


# -- what was asked before -------------------------------------------------------------------------

ONCE = {"Idempotency-Key": "order 7"}


def post_once(
    api: httpx.Client, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    arguments = form(**fields)
    arguments["headers"] |= ONCE if headers is None else headers
    return api.post("/v1/jobs", **arguments)


def test_the_same_request_again_gets_the_first_answer(api: httpx.Client, traces: Traces) -> None:
    first = post_once(api)
    before = traces.all()
    again = post_once(api)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert traces.all() == before


def test_another_request_with_the_same_key(api: httpx.Client, traces: Traces) -> None:
    post_once(api)
    before = traces.all()
    other = post_once(api, metadata='{"a": 1}')
    assert_refused(other, 422, "idempotency_key_reused")
    assert traces.all() == before


def test_the_same_request_while_the_first_is_worked_on(
    through: Callable[..., Settings], redis_line: Proxy, tmp_path: Path, traces: Traces
) -> None:
    with (
        running_api(through(), tmp_path / "log") as url,
        httpx.Client(base_url=url, timeout=60) as api,
        ThreadPoolExecutor(2) as both,
    ):
        before = traces.jobs()
        redis_line.slow(delay_seconds=0.05)  # each of the first one's ways there
        answers = list(both.map(lambda _: post_once(api), range(2)))
    accepted, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert accepted.status_code == 202
    assert_refused(refused, 409, "in_flight")
    assert float(refused.headers["Retry-After"]) > 0
    assert traces.jobs() - before == {accepted.json()["id"]}


@pytest.mark.parametrize("key", ["", "x" * 256, b"\xc3\xa9", b"a\tb"])
def test_a_key_that_is_none(api: httpx.Client, traces: Traces, key: str | bytes) -> None:
    before = traces.all()
    arguments = form()
    headers = [(b"Content-Type", MULTIPART), (b"Idempotency-Key", key)]
    answer = api.post("/v1/jobs", content=arguments["content"], headers=headers)  # type: ignore[arg-type]
    assert_refused(answer, 400, "invalid_request")
    assert traces.all() == before


# -- webhooks -----------------------------------------------------------------------------------


# One that redirects can only be known when it is sent: tests/shared/test_webhooks.py.
@pytest.mark.parametrize(
    "webhook",
    ["https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3/", "file:///etc/passwd", "ftp://a/"],
)
def test_a_webhook_to_where_none_is_sent(api: httpx.Client, traces: Traces, webhook: str) -> None:
    before = traces.all()
    problem = assert_refused(post(api, webhook=webhook), 422, "invalid_input")
    assert [fault.pointer for fault in problem.errors] == ["webhook"]
    assert traces.all() == before


# -- jobs that are not as they should be for it ---------------------------------------------------


@pytest.mark.parametrize("route", ["/result", "/result?proxy=1", "/manifest"])
def test_a_result_before_the_end(api: httpx.Client, route: str) -> None:
    job_id = post(api).json()["id"]
    assert_refused(api.get(f"/v1/jobs/{job_id}{route}"), 409, "conflict")


def test_a_cancel_of_a_job_that_has_succeeded(
    api: httpx.Client, records: JobRecords, paint: Any
) -> None:
    job_id = post(api).json()["id"]
    paint(job_id)
    assert_refused(api.post(f"/v1/jobs/{job_id}/cancel"), 409, "conflict")
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "succeeded"


def test_a_job_that_has_expired(
    api: httpx.Client, records: JobRecords, paint: Any, valkey: redis.Redis
) -> None:
    job_id = post(api).json()["id"]
    paint(job_id)
    records.delete(job_id)  # as the sweep does: tests/worker/test_sweeper.py
    for method, route in ROUTES_OF_A_JOB:
        assert_refused(api.request(method, f"/v1/jobs/{job_id}{route}"), 410, "gone")


# -- keys, and more than can be taken. Redis or S3 down: test_outages.py ---------------------------

MAX_QUEUED_JOBS = 2


@pytest.fixture(scope="module")
def guarded_url(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API that asks for keys, and has room for two jobs."""
    log = tmp_path_factory.mktemp("guarded") / "log"
    environment = {
        "IMPASTO_REQUIRE_KEYS": "true",
        "IMPASTO_KEY_CACHE_SECONDS": "0",
        "IMPASTO_MAX_QUEUED_JOBS": str(MAX_QUEUED_JOBS),
    }
    with running_api(settings, log, **environment) as url:
        yield url


@pytest.fixture
def guarded(guarded_url: str, valkey: redis.Redis, settings: Settings) -> Iterator[httpx.Client]:
    """A client whose key may ask for two jobs a minute."""
    allowance = Allowance(jobs_per_minute=MAX_QUEUED_JOBS + 2)
    secret = ApiKeys(valkey, settings).create("a customer", allowance=allowance)
    with httpx.Client(base_url=guarded_url, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        yield client


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic YTpi", "Bearer impasto_" + "0" * 16 + "_" + "x" * 43],
)
def test_no_key_or_a_wrong_one(
    guarded: httpx.Client, traces: Traces, authorization: str | None
) -> None:
    before = traces.all()
    del guarded.headers["Authorization"]
    if authorization is not None:
        guarded.headers["Authorization"] = authorization
    answers = [post(guarded), guarded.get("/v1/jobs"), guarded.get(f"/v1/jobs/{NO_JOB}")]
    for answer in answers:
        assert_refused(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert traces.all() == before


def test_somebody_else_s_job_is_as_unknown_as_any(
    guarded: httpx.Client, valkey: redis.Redis, settings: Settings
) -> None:
    job_id = post(guarded).json()["id"]
    stranger = ApiKeys(valkey, settings).create("a stranger")
    for method, route in ROUTES_OF_A_JOB:
        answer = guarded.request(
            method, f"/v1/jobs/{job_id}{route}", headers={"Authorization": f"Bearer {stranger}"}
        )
        assert_refused(answer, 404, "not_found")
    assert guarded.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"


def test_a_full_queue_asks_to_come_back(guarded: httpx.Client, traces: Traces) -> None:
    for _ in range(MAX_QUEUED_JOBS):
        assert post(guarded).status_code == 202
    before = traces.all()
    noise = encoded(Image.effect_noise((40, 40), 90))  # a picture that was not stored before
    assert_refused(post(guarded, content=noise), 503, "unavailable")
    assert traces.all() == before


def test_more_jobs_than_the_rate_asks_to_come_back(guarded: httpx.Client, traces: Traces) -> None:
    for _ in range(MAX_QUEUED_JOBS + 2):  # even those that find the queue full are counted
        post(guarded)
    before = traces.all()
    assert_refused(post(guarded), 429, "rate_limited")
    assert traces.all() == before
