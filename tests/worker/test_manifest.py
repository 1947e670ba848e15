"""The manifest says everything that decided the picture, and reads back."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
import torch

from shared.jobs import Inputs, Output, StoredOutput
from shared.parameters import Parameters
from worker.engine import Losses, Provenance
from worker.manifest import Manifest, ManifestError, Precedent, Recipe
from worker.pictures import encode_picture

PARAMETERS = Parameters.model_validate({"preset": "neural-style", "seed": 2**62, "size": 96})
INPUTS = Inputs(content="a" * 64, styles=["b" * 64, "e" * 64])
PROVENANCE = Provenance(
    weights="oxford-q8",
    weights_sha256="c" * 64,
    torch_version="2.9.0",
    device="cuda:1",
    device_name="a GPU",
    precision="float32",
)
OUTPUT = StoredOutput(
    content_type="image/png",
    width_px=96,
    height_px=72,
    size_bytes=1234,
    sha256="d" * 64,
    result_key="jobs/secret/1/result.png",
    manifest_key="jobs/secret/1/manifest.json",
)
LOSSES = Losses(
    content=1.0,
    style=2.0,
    tv=0.5,
    total=3.5,
    layers={"content/relu4_2": 1.0, "style/relu1_1": 2.0},
)


def build(parameters: Parameters = PARAMETERS, inputs: Inputs = INPUTS) -> Manifest:
    recipe = Recipe.of(parameters, inputs, PROVENANCE)
    return Manifest.of_run(
        recipe, device_name=PROVENANCE.device_name, losses=LOSSES, seconds=1.5, output=OUTPUT
    )


def picture_with(metadata: str | None) -> bytes:
    pixels = torch.zeros(24, 32, 3, dtype=torch.uint8)
    return encode_picture(pixels, PARAMETERS.output, metadata=metadata)


def test_a_manifest_reads_back_as_what_was_written() -> None:
    manifest = Manifest.model_validate_json(build().to_json())
    assert manifest.parameters == PARAMETERS
    assert manifest.inputs == INPUTS
    assert manifest.output == Output(**OUTPUT.model_dump(include=set(Output.model_fields)))
    assert manifest.weights_sha256 == "c" * 64
    assert (manifest.device, manifest.device_name) == ("cuda", "a GPU")
    assert manifest.losses is not None
    assert manifest.losses.model_dump() == vars(LOSSES)
    assert manifest.seconds == 1.5
    assert abs((datetime.now(UTC) - manifest.created_at).total_seconds()) < 60
    assert manifest.impasto_version


def test_it_does_not_say_where_our_files_lie() -> None:
    assert b"secret" not in build().to_json()


def test_its_parameters_can_be_posted_again() -> None:
    parameters = json.loads(build().to_json())["parameters"]
    assert Parameters.model_validate(parameters) == PARAMETERS


def test_it_is_text_that_people_can_read() -> None:
    text = build().to_json()
    assert text.endswith(b"}\n")
    assert len(text.splitlines()) > 20


def test_what_is_inside_the_picture_does_not_change_from_run_to_run() -> None:
    metadata = json.loads(build().metadata())
    assert metadata["parameters"]["seed"] == 2**62
    assert metadata["inputs"]["styles"] == INPUTS.styles
    assert not {"seconds", "created_at", "losses", "output"} & metadata.keys()
    assert not {"device_name", "result_key"} & metadata.keys()


def test_images_that_the_parameters_do_not_use_decide_nothing() -> None:
    texture = Parameters.model_validate({"preset": "texture"})
    assert build(texture).inputs == Inputs(content=None, styles=INPUTS.styles)
    reconstruction = Parameters.model_validate({"preset": "reconstruction"})
    all_inputs = Inputs(content="a", styles=["b"], masks=["c"], init="d")
    assert build(reconstruction, all_inputs).inputs == Inputs(content="a", styles=[])


def test_a_manifest_leads_to_its_picture() -> None:
    precedent = Precedent.read(build().to_json())
    assert precedent.recipe.parameters == PARAMETERS
    assert precedent.sha256 == "d" * 64


def test_a_picture_is_its_own_manifest() -> None:
    recipe = Recipe.of(PARAMETERS, INPUTS, PROVENANCE)
    data = picture_with(recipe.metadata())
    assert Precedent.read(data) == Precedent(recipe, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "neither a manifest nor a picture"),
        (b"preset = default", "neither a manifest nor a picture"),
        (picture_with(None), "neither a manifest nor a picture that carries its parameters"),
        (b'{"id": "some job"}', "impasto_version: Field required"),
        (b"{broken", "Invalid JSON"),
        (picture_with('{"weights": 3}'), "impasto_version: Field required"),
        (
            build().to_json().replace(b'"steps": 1000', b'"steps": -1'),
            "parameters: steps: Input should be greater",
        ),
    ],
)
def test_what_is_no_manifest_is_explained(data: bytes, sentence: str) -> None:
    with pytest.raises(ManifestError, match=sentence):
        Precedent.read(data)


def test_it_says_why_bytes_may_differ_elsewhere() -> None:
    here = Recipe.of(PARAMETERS, INPUTS, PROVENANCE)
    assert here.surroundings_unlike(here) == []
    there = here.model_copy(update={"device": "cpu", "threads": 8, "torch_version": "2.8.0"})
    assert here.surroundings_unlike(there) == [
        "PyTorch is 2.9.0 here and was 2.8.0",
        "the device is cuda here and was cpu",
    ]
    on_cpu = here.model_copy(update={"device": "cpu", "threads": 2})
    assert on_cpu.surroundings_unlike(there)[1:] == ["the number of threads is 2 here and was 8"]
    other_weights = here.model_copy(update={"weights": "my.pth", "weights_sha256": "f" * 64})
    (difference,) = here.surroundings_unlike(other_weights)
    assert "was my.pth (sha256 ffffffffffff)" in difference
