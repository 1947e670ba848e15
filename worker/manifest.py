"""The manifest: what reproduces a picture, as JSON beside it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from pydantic import BaseModel

from shared.jobs import Inputs, Output, Timestamp
from shared.jobs import Losses as JobLosses
from shared.parameters import Parameters
from worker.engine import Losses, Provenance


class Manifest(BaseModel):
    """Parameters, inputs and everything else that decided the picture, and what came of it."""

    impasto_version: str
    created_at: Timestamp
    parameters: Parameters
    inputs: Inputs
    weights: str
    weights_sha256: str
    torch_version: str
    device: str
    device_name: str
    precision: str
    losses: JobLosses | None  # of the delivered picture; null where memory was short
    seconds: float
    output: Output


def job_losses(losses: Losses) -> JobLosses:
    """The engine's losses as the service shows them."""
    return JobLosses(content=losses.content, style=losses.style, tv=losses.tv, total=losses.total)


def build_manifest(
    *,
    parameters: Parameters,
    content_sha256: str,
    style_sha256s: Sequence[str],
    provenance: Provenance,
    losses: Losses | None,
    seconds: float,
    output: Output,
) -> bytes:
    """The manifest of a finished run as JSON. `seconds` is how long the optimisation took."""
    manifest = Manifest(
        impasto_version=version("impasto"),
        created_at=datetime.now(UTC),
        parameters=parameters,
        inputs=Inputs(content=content_sha256, styles=list(style_sha256s)),
        **vars(provenance),
        losses=job_losses(losses) if losses else None,
        seconds=seconds,
        output=Output(**output.model_dump(include=set(Output.model_fields))),
    )
    return manifest.model_dump_json(indent=2).encode() + b"\n"
