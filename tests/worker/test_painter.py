"""A job from its stored inputs to its stored picture and manifest, without queue or servers."""

import hashlib
import io
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from shared.jobs import Inputs, JobRecord, JobStatus, Priority, StoredOutput
from shared.jobs import Progress as JobProgress
from shared.parameters import Parameters
from shared.records import Lease, Wishes
from shared.settings import Settings
from shared.storage import input_key
from worker.engine import VGG19, load_weights
from worker.heartbeat import Hold
from worker.manifest import Manifest, Precedent
from worker.node import Node
from worker.painter import paint
from worker.stops import Stops

SMALL = {"size": 48, "steps": 3}
Paint = Callable[..., tuple[StoredOutput, JobProgress]]


class Shelf(dict[str, bytes]):
    """Object storage as far as a painter uses it."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        self[key] = data

    put_checked = put

    def add(self, pixels: "np.ndarray[Any, Any]") -> str:
        """Store a picture as an input, and return its hash."""
        buffer = io.BytesIO()
        Image.fromarray((pixels * 255).astype(np.uint8)).save(buffer, "PNG")
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        self[input_key(digest)] = buffer.getvalue()
        return digest

    def get(self, key: str) -> bytes:
        return self[key]


@pytest.fixture(scope="module")
def network() -> VGG19:
    return VGG19(load_weights("oxford-q8"), "cpu", target_cache_bytes=2**26)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def content(shelf: Shelf) -> str:
    y, x = np.mgrid[0:60, 0:80] / 80
    return shelf.add(np.stack([y, x, 0.5 + 0.4 * np.sin(9 * x)], axis=-1))


@pytest.fixture
def style(shelf: Shelf) -> str:
    return shelf.add(np.random.default_rng(0).random((40, 40, 3)))


@pytest.fixture
def paint_job(network: VGG19, shelf: Shelf) -> Paint:
    node = SimpleNamespace(network=network, storage=shelf, settings=Settings(), records=None)
    lease = Lease("job", fence=1, attempt=1, claim="c")
    hold = Hold(lease, node.settings, time.monotonic() + 3600)  # as if it was always renewed
    stops = Stops(hold, threading.Event(), lambda: Wishes(cancel=False, preview=False), 60)

    def call(inputs: Inputs, **params: Any) -> tuple[StoredOutput, JobProgress]:
        record = JobRecord(
            id="job",
            status=JobStatus.RUNNING,
            priority=Priority.NORMAL,
            params=Parameters(**{**SMALL, **params}),
            metadata={},
            inputs=inputs,
            created_at=datetime.now(UTC),
        )
        return paint(cast(Node, node), record, lease, stops, lambda progress: None)

    return call


def test_what_is_stored_is_what_the_record_says(
    paint_job: Paint, shelf: Shelf, content: str, style: str
) -> None:
    output, progress = paint_job(Inputs(content=content, styles=[style]))
    data = shelf[output.result_key]
    assert hashlib.sha256(data).hexdigest() == output.sha256
    assert (output.width_px, output.height_px, output.size_bytes) == (48, 36, len(data))
    assert (progress.step, progress.fraction) == (3, 1.0)
    manifest = Manifest.model_validate_json(shelf[output.manifest_key])
    assert manifest.output.sha256 == output.sha256
    assert manifest.losses is not None
    assert "style/relu5_1" in manifest.losses.layers


def test_a_job_with_the_parameters_of_a_manifest_gives_the_same_bytes(
    paint_job: Paint, shelf: Shelf, content: str, style: str
) -> None:
    inputs = Inputs(content=content, styles=[style])
    rule = {"plateau": {"window": 2, "change": 0.5}, "steps": 40, "init": "noise", "seed": 3}
    first, _ = paint_job(inputs, **rule)
    manifest = Manifest.model_validate_json(shelf[first.manifest_key])
    assert manifest.parameters.plateau is None
    again, _ = paint_job(manifest.inputs, **manifest.parameters.model_dump(mode="json"))
    assert again.sha256 == first.sha256


def test_the_picture_carries_its_manifest_unless_it_should_not(
    paint_job: Paint, shelf: Shelf, content: str, style: str
) -> None:
    inputs = Inputs(content=content, styles=[style])
    output, _ = paint_job(inputs)
    assert Precedent.read(shelf[output.result_key]).recipe.inputs == inputs
    bare, _ = paint_job(inputs, output={"metadata": False})
    assert bare.size_bytes < output.size_bytes
    assert b"oxford-q8" not in shelf[bare.result_key]


def test_a_texture_needs_no_content_and_ignores_one(
    paint_job: Paint, content: str, style: str
) -> None:
    without, _ = paint_job(Inputs(content=None, styles=[style]), preset="texture")
    assert (without.width_px, without.height_px) == (48, 48)
    ignored, _ = paint_job(Inputs(content=content, styles=[style]), preset="texture")
    assert ignored.sha256 == without.sha256


def test_a_reconstruction_needs_no_style(paint_job: Paint, content: str) -> None:
    output, _ = paint_job(Inputs(content=content, styles=[]), preset="reconstruction")
    assert (output.width_px, output.height_px) == (48, 36)


def test_a_job_like_the_one_before_computes_no_targets_and_paints_the_same_bytes(
    paint_job: Paint, network: VGG19, content: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.targets.clear()
    inputs = Inputs(content=content, styles=[style])
    first, _ = paint_job(inputs)
    assert 0 < network.targets.bytes <= network.targets.limit_bytes
    monkeypatch.setattr(network.targets, "add", None)  # would be called with what is new
    again, _ = paint_job(inputs)
    assert again.sha256 == first.sha256


def test_masks_and_an_image_to_start_from_are_used(
    paint_job: Paint, shelf: Shelf, content: str, style: str
) -> None:
    half = np.zeros((30, 40))
    half[:, :20] = 1
    other = shelf.add(np.random.default_rng(5).random((40, 40, 3)) ** 3)
    masks = [shelf.add(half), shelf.add(1 - half)]
    plain = Inputs(content=content, styles=[style, other])
    hashes = {
        paint_job(plain)[0].sha256,
        paint_job(plain.model_copy(update={"masks": masks}))[0].sha256,
        paint_job(plain.model_copy(update={"masks": masks[::-1]}))[0].sha256,
        paint_job(plain.model_copy(update={"init": other}), init="image")[0].sha256,
    }
    assert len(hashes) == 4


def test_transparency_of_the_content_is_kept(paint_job: Paint, shelf: Shelf, style: str) -> None:
    pixels = np.full((48, 48, 4), 0.5)
    pixels[:, :24, 3], pixels[:, 24:, 3] = 1, 0
    output, _ = paint_job(Inputs(content=shelf.add(pixels), styles=[style]))
    with Image.open(io.BytesIO(shelf[output.result_key])) as image:
        alpha = np.asarray(image.getchannel("A"))
    assert (alpha[:, :20] == 255).all()
    assert (alpha[:, 28:] == 0).all()


def test_pictures_of_16_bits_are_delivered(
    paint_job: Paint, shelf: Shelf, content: str, style: str
) -> None:
    output, _ = paint_job(
        Inputs(content=content, styles=[style]), output={"format": "tiff", "bit_depth": 16}
    )
    assert output.content_type == "image/tiff"
    with Image.open(io.BytesIO(shelf[output.result_key])) as image:
        assert image.tag_v2[258] == (16, 16, 16)
