"""Made-up requests over a real socket: never a 5xx, and never something stored that is no good.

The same ones each time. `FUZZ_EXAMPLES=20 pytest --hypothesis-seed=1 tests/api/test_fuzz.py` makes
up twenty times as many, and others with each seed.
"""

import hashlib
import json
import math
import os
import resource
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import hypothesis
import numpy as np
import pytest
import redis
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from api.problems import Problem
from bench.remote import Remote
from shared.images import ImageLimits, check_image
from shared.names import QUEUE
from shared.parameters import Parameters
from shared.settings import Settings
from shared.storage import Storage, input_key
from tests.api.conftest import STYLE
from tests.api.forms import BOUNDARY, MULTIPART, form, joined, part
from tests.api.servers import running_api
from tests.shared.pictures import encoded
from tests.shared.strategies import json_values, patient
from worker.pictures import read_picture

MAX_IMAGE_PIXELS = 1_000_000
LIMITS = ImageLimits(max_pixels=MAX_IMAGE_PIXELS)
TIMES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
READER_BYTES = 2**30


def examples(count: int) -> hypothesis.settings:
    return hypothesis.settings(
        patient, max_examples=count * (TIMES or 1), derandomize=not TIMES, print_blob=True
    )


@pytest.fixture(scope="module")
def url(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("api") / "log"
    environment = {
        "IMPASTO_MAX_IMAGE_PIXELS": str(MAX_IMAGE_PIXELS),
        "IMPASTO_REQUESTS_PER_MINUTE": "0",
        "IMPASTO_JOBS_PER_MINUTE": "0",
        "IMPASTO_MAX_QUEUED_JOBS": "1000000",
        "IMPASTO_MAX_UNFINISHED_JOBS": "1000000",
    }
    with running_api(settings, log, **environment) as url:
        yield url
    assert "Traceback" not in log.read_text()


@pytest.fixture
def api(connections: httpx.Client, valkey: redis.Redis) -> httpx.Client:
    return connections


class Reader:
    """What a worker does with a picture, in a process that gets no more than so much memory."""

    def __init__(self) -> None:
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + READER_BYTES,) * 2)

    def read(self, data: bytes) -> tuple[tuple[int, ...], bool]:
        """The shape, and whether all is finite and as light as a picture."""
        pixels = read_picture(data, LIMITS).pixels
        sound = bool(pixels.isfinite().all() and pixels.min() >= 0 and pixels.max() <= 1)
        return tuple(pixels.shape), sound


@pytest.fixture(scope="module")
def reader() -> Iterator[Remote]:
    with Remote(Reader) as reader:
        yield reader


def assert_answered(answer: httpx.Response, *expected: int) -> bool:
    """Whether the job was accepted; if it was not, the answer says why."""
    assert answer.status_code in (202, *expected), answer.text
    if answer.status_code == 202:
        return True
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert Problem.model_validate_json(answer.text).status == answer.status_code
    return False


# -- images -------------------------------------------------------------------------------------


def seeds() -> list[bytes]:
    """Small pictures of every kind, with all that can be in them."""
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    rgb = Image.fromarray(noise).resize((48, 36), Image.Resampling.BICUBIC)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a harbor", 0x011A: 72.0})
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "painted" * 20, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>" * 20, zip=True)
    rich = {"icc_profile": profile, "exif": exif}
    palette = rgb.quantize(16)
    transparent = rgb.copy()
    transparent.putalpha(rgb.getchannel("R"))
    deep = Image.fromarray(np.asarray(rgb.convert("L"), dtype=np.uint16) * 257)
    found = [
        encoded(rgb, "JPEG", **rich),
        encoded(rgb, "JPEG", progressive=True, optimize=True),
        encoded(rgb.convert("CMYK"), "JPEG", restart_marker_rows=1),
        encoded(rgb, "MPO", save_all=True, append_images=[rgb]),
        encoded(rgb, "PNG", pnginfo=text, **rich),
        encoded(palette, "PNG", transparency=3),
        encoded(transparent, "PNG"),
        encoded(deep, "PNG"),
        interlaced(),
        encoded(rgb, "WEBP", **rich),
        encoded(transparent, "WEBP", lossless=True),
        encoded(rgb, "TIFF", **rich),
        encoded(rgb, "TIFF", compression="tiff_lzw", strip_size=500),
        encoded(rgb, "TIFF", compression="tiff_adobe_deflate", big_tiff=True),
        encoded(rgb, "TIFF", compression="jpeg"),
        encoded(rgb.convert("CMYK"), "TIFF", compression="packbits"),
        encoded(rgb.convert("1"), "TIFF", compression="group4"),
        encoded(palette, "TIFF"),
        encoded(deep, "TIFF"),
    ]
    for data in found:
        check_image(data, LIMITS)
    return found


def interlaced() -> bytes:
    """A PNG of 32 x 32 px in seven passes."""
    steps = [(4, 4), (4, 4), (8, 4), (8, 8), (16, 8), (16, 16), (32, 16)]
    rows = b"".join((b"\1" + bytes(range(width))) * height for width, height in steps)
    header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def mended(data: bytes) -> bytes:
    """A PNG whose checksums are right, so that what is in it is looked at."""
    whole = bytearray(data)
    position = 8
    while position + 12 <= len(whole):
        (length,) = struct.unpack_from(">I", whole, position)
        end = position + 8 + length
        if end + 4 > len(whole):
            break
        struct.pack_into(">I", whole, end, zlib.crc32(whole[position + 4 : end]))
        position = end + 4
    return bytes(whole)


SEEDS = seeds()
places = st.integers(0, 2**16)
lengths = st.integers(1, 64)
seed_numbers = st.integers(0, len(SEEDS) - 1)
telling_bytes = st.sampled_from([b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff\xff\xff"])
changes = st.one_of(
    st.tuples(st.just("set"), places, telling_bytes | st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("flip"), places, st.integers(0, 7)),
    st.tuples(st.just("insert"), places, telling_bytes | st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("remove"), places, lengths),
    st.tuples(st.just("cut"), places, st.none()),
    st.tuples(st.just("repeat"), places, st.tuples(lengths, st.integers(2, 200))),
    st.tuples(
        st.just("splice"), places, st.tuples(st.integers(0, len(SEEDS) - 1), places, lengths)
    ),
)


def changed(data: bytearray, how: str, place: int, value: Any) -> bytearray:
    """The file after one change."""
    at = place % max(1, len(data))
    if how == "set":
        return data[:at] + value + data[at + len(value) :]
    if how == "flip":
        return data[:at] + bytes([data[at] ^ 1 << value] if data else []) + data[at + 1 :]
    if how == "insert":
        return data[:at] + value + data[at:]
    if how == "remove":
        return data[:at] + data[at + value :]
    if how == "cut":
        return data[:at]
    if how == "repeat":
        length, times = value
        return data[:at] + data[at : at + length] * times + data[at + length :]
    other, start, length = value
    start %= len(SEEDS[other])
    return data[:at] + SEEDS[other][start : start + length] + data[at + length :]


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    # Where the parts are is said at the beginning, or, of a TIFF, at the end.
    data = bytearray(SEEDS[draw(seed_numbers)])
    for how, place, value in draw(st.lists(changes, min_size=1, max_size=6)):
        near = draw(st.sampled_from([None, 64, -300]))
        at = place if near is None else place % 64 if near > 0 else len(data) + near + place % 300
        data = changed(data, how, max(0, at), value)
    is_png = data.startswith(b"\x89PNG")
    return mended(bytes(data)) if is_png and draw(st.booleans()) else bytes(data)


@examples(350)
@hypothesis.given(damaged_images())
def test_a_damaged_image_is_refused_or_can_be_painted(
    api: httpx.Client, valkey: redis.Redis, storage: Storage, reader: Remote, data: bytes
) -> None:
    key = input_key(hashlib.sha256(data).hexdigest())
    was_there, before = storage.exists(key), valkey.dbsize()
    if assert_answered(api.post("/v1/jobs", **form(content=data)), 415, 422):
        stored = storage.get(key)
        assert stored == data
        shape, sound = reader.call("read", stored)
        assert shape == (3, *check_image(data, LIMITS))
        assert sound
    else:
        assert storage.exists(key) == was_there
        assert valkey.dbsize() == before


# -- everything else ----------------------------------------------------------------------------

numbers = st.integers() | st.floats() | st.sampled_from([0, -0.0, 1, 1e-300, 1e300, 2**63, 512])
words = st.sampled_from(
    ["content", "style", "image", "noise", "adam", "lbfgs", "png", "max", "relu1_1", "texture"]
)
leaves = numbers | words | json_values
parameters = st.dictionaries(
    st.sampled_from(sorted(Parameters.model_fields)) | st.text(max_size=9),
    leaves | st.lists(leaves, max_size=3) | st.dictionaries(words, leaves, max_size=3),
    max_size=5,
)


def told(value: object) -> object:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


def has_only_numbers(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(has_only_numbers, value.values()))
    return not isinstance(value, list) or all(map(has_only_numbers, value))


@examples(150)
@hypothesis.given(parameters)
def test_parameters_are_refused_or_are_those_of_the_job(
    api: httpx.Client, valkey: redis.Redis, values: dict[str, Any]
) -> None:
    before = valkey.zcard(QUEUE)
    answer = api.post("/v1/jobs", **form(params=json.dumps(values)))
    accepted = assert_answered(answer, 400, 413, 422)
    assert valkey.zcard(QUEUE) == before + accepted
    if accepted:
        params = Parameters.model_validate(answer.json()["params"])
        assert params == Parameters.model_validate(values)


@examples(60)
@hypothesis.given(st.dictionaries(st.text(max_size=9), json_values, max_size=5))
def test_metadata_is_refused_or_given_back(api: httpx.Client, value: dict[str, Any]) -> None:
    answer = api.post("/v1/jobs", **form(metadata=json.dumps(value)))
    assert assert_answered(answer, 400, 413, 422) == has_only_numbers(value)
    if answer.status_code == 202:
        assert answer.json()["metadata"] == told(value)
        assert api.get(answer.headers["Location"]).json()["metadata"] == told(value)


names = st.sampled_from(
    ["content", "style", "mask", "init", "params", "metadata", "priority", "webhook"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
field_values = st.sampled_from([STYLE, SEEDS[0], b"", "{}", "high", ""]) | st.text(max_size=9)


@examples(200)
@hypothesis.given(
    st.lists(st.tuples(names, field_values, st.none() | st.binary(max_size=9)), max_size=6)
)
def test_fields_are_refused_or_make_a_job(
    api: httpx.Client, valkey: redis.Redis, fields: list[tuple[str, Any, bytes | None]]
) -> None:
    before = valkey.zcard(QUEUE)
    answer = api.post("/v1/jobs", **joined(part(*field) for field in fields))
    accepted = assert_answered(answer, 400, 413, 415, 422)
    assert valkey.zcard(QUEUE) == before + accepted


@examples(150)
@hypothesis.given(st.binary(max_size=400), st.booleans())
def test_no_bytes_of_a_body_break_the_service(api: httpx.Client, body: bytes, begun: bool) -> None:
    start = b'--%s\r\nContent-Disposition: form-data; name="content"' % BOUNDARY
    answer = api.post("/v1/jobs", content=start * begun + body, headers={"Content-Type": MULTIPART})
    assert not assert_answered(answer, 400, 413, 415, 422)


header_names = st.sampled_from(
    [
        "Accept",
        "Authorization",
        "Content-Type",
        "Expect",
        "Forwarded",
        "Idempotency-Key",
        "If-None-Match",
        "Last-Event-ID",
        "Origin",
        "Prefer",
        "Range",
        "X-Forwarded-For",
        "X-Request-ID",
    ]
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40).map(
    lambda text: text.strip().encode("latin-1").replace(b"\x7f", b"")
) | st.sampled_from([b"wait=0", b"wait=x", b"wait=1e9", b"bytes=0-", b"*", b'W/"x"', b'"'])


@examples(120)
@hypothesis.given(
    st.sampled_from(["POST", "GET", "OPTIONS", "HEAD"]),
    st.dictionaries(header_names, header_values, max_size=4),
)
def test_no_header_breaks_the_service(
    api: httpx.Client, method: str, headers: dict[str, bytes]
) -> None:
    arguments = form() if method == "POST" else {"headers": {}}
    kept = {**arguments.pop("headers"), **headers}
    raw = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in kept.items()
    ]
    answer = api.request(method, "/v1/jobs", headers=raw, **arguments)
    assert answer.status_code < 500, answer.text


@examples(100)
@hypothesis.given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_no_path_or_query_breaks_the_service(api: httpx.Client, text: str) -> None:
    assert api.get(f"/v1/jobs/{quote(text, safe='')}").status_code < 500
    assert api.get("/v1/jobs", params={"cursor": text}).status_code < 500
    assert api.get("/v1/jobs", params={text: text}).status_code < 500
