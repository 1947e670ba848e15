"""The manifest says everything that decided the picture."""

import json
from datetime import UTC, datetime

from shared.jobs import Inputs, Output, StoredOutput
from shared.jobs import Losses as JobLosses
from shared.parameters import Parameters
from worker.engine import Losses, Provenance
from worker.manifest import Manifest, build_manifest

PARAMETERS = Parameters.model_validate({"preset": "neural-style", "seed": 2**62, "size": 96})
PROVENANCE = Provenance(
    weights="oxford-q8",
    weights_sha256="c" * 64,
    torch_version="2.9.0",
    device="cpu",
    device_name="a CPU",
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


def build(seconds: float = 1.5) -> bytes:
    return build_manifest(
        parameters=PARAMETERS,
        content_sha256="a" * 64,
        style_sha256s=["b" * 64, "e" * 64],
        provenance=PROVENANCE,
        losses=Losses(content=1.0, style=2.0, tv=0.5, total=3.5, layers={}),
        seconds=seconds,
        output=OUTPUT,
    )


def test_a_manifest_reads_back_as_what_was_written() -> None:
    manifest = Manifest.model_validate_json(build())
    assert manifest.parameters == PARAMETERS
    assert manifest.inputs == Inputs(content="a" * 64, styles=["b" * 64, "e" * 64])
    assert manifest.output == Output(**OUTPUT.model_dump(include=set(Output.model_fields)))
    assert {name: getattr(manifest, name) for name in vars(PROVENANCE)} == vars(PROVENANCE)
    assert manifest.losses == JobLosses(content=1.0, style=2.0, tv=0.5, total=3.5)
    assert manifest.seconds == 1.5
    assert abs((datetime.now(UTC) - manifest.created_at).total_seconds()) < 60
    assert manifest.impasto_version


def test_it_does_not_say_where_our_files_lie() -> None:
    assert b"secret" not in build()


def test_its_parameters_can_be_posted_again() -> None:
    parameters = json.loads(build())["parameters"]
    assert Parameters.model_validate(parameters) == PARAMETERS


def test_it_is_text_that_people_can_read() -> None:
    assert build().endswith(b"}\n")
    assert len(build().splitlines()) > 20
