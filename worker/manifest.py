"""What reproduces a picture: the recipe inside the picture's file, and the manifest beside it.

A `Recipe` is all that decides the bytes of a picture, and nothing that changes from run to run, so
that it can be a part of those bytes. A `Manifest` is the recipe, and what came of it.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Self

import PIL
import pyvips
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.jobs import Inputs, Output, Timestamp
from shared.jobs import Losses as JobLosses
from shared.parameters import Parameters
from worker.engine import Losses, Provenance
from worker.engine.weights import OXFORD, TORCHVISION
from worker.pictures import read_metadata


class ManifestError(Exception):
    """A file is no manifest, nor a picture that carries one. `str(error)` is a sentence."""


class Recipe(BaseModel):
    """Everything that decided the bytes of a picture."""

    model_config = ConfigDict(frozen=True)

    impasto_version: str
    torch_version: str
    pillow_version: str  # decodes the pictures
    libvips_version: str  # encodes the result
    device: str  # its kind: cpu or cuda
    threads: int | None = Field(ge=1, le=1024)  # of a CPU, where they decide the order of sums
    precision: str
    weights: str
    weights_sha256: str
    parameters: Parameters
    inputs: Inputs

    @classmethod
    def of(cls, parameters: Parameters, inputs: Inputs, provenance: Provenance) -> Self:
        """The recipe of a run on this machine; `parameters` are its reproducing ones.

        Images that the parameters do not use decide nothing, and are left out.
        """
        device = provenance.device.partition(":")[0]
        return cls(
            impasto_version=version("impasto"),
            torch_version=provenance.torch_version,
            pillow_version=PIL.__version__,
            libvips_version=".".join(str(pyvips.version(part)) for part in range(3)),
            device=device,
            threads=torch.get_num_threads() if device == "cpu" else None,
            precision=provenance.precision,
            weights=provenance.weights,
            weights_sha256=provenance.weights_sha256,
            parameters=parameters,
            inputs=_used(inputs, parameters),
        )

    def metadata(self) -> str:
        """What is stored inside the picture: JSON in ASCII, the same for the same recipe."""
        values = self.model_dump(mode="json", include=set(Recipe.model_fields))
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    def surroundings_unlike(self, other: "Recipe") -> list[str]:
        """What differs here from `other` apart from parameters and inputs: the picture then may."""
        return [
            f"{name} is {ours} here and was {theirs}"
            for name, ours, theirs in (
                ("Impasto", self.impasto_version, other.impasto_version),
                ("PyTorch", self.torch_version, other.torch_version),
                ("Pillow", self.pillow_version, other.pillow_version),
                ("libvips", self.libvips_version, other.libvips_version),
                ("the device", self.device, other.device),
                ("the number of threads", self.threads, other.threads),
                ("the precision", self.precision, other.precision),
                ("the file of the weights", self._weights_file, other._weights_file),
            )
            if ours != theirs and ours is not None and theirs is not None
        ]

    @property
    def _weights_file(self) -> str:
        return f"{self.weights} (sha256 {self.weights_sha256[:12]})"


class ManifestLosses(JobLosses):
    """Weighted losses of the delivered picture; the layers and tv add up to the total."""

    layers: dict[str, float]

    @classmethod
    def of(cls, losses: Losses) -> Self:
        """The engine's losses."""
        return cls(**dict(job_losses(losses)), layers=dict(losses.layers))


class Manifest(Recipe):
    """The recipe of a picture, and what came of it."""

    created_at: Timestamp
    device_name: str
    losses: ManifestLosses | None  # of the delivered picture; null where memory was short
    seconds: float  # how long the optimisation took
    output: Output

    @classmethod
    def of_run(
        cls,
        recipe: Recipe,
        *,
        device_name: str,
        losses: Losses | None,
        seconds: float,
        output: Output,
    ) -> Self:
        """The manifest of a run that has just ended."""
        return cls(
            **dict(recipe),
            created_at=datetime.now(UTC),
            device_name=device_name,
            losses=ManifestLosses.of(losses) if losses else None,
            seconds=seconds,
            output=Output(**output.model_dump(include=set(Output.model_fields))),
        )

    def to_json(self) -> bytes:
        """The manifest as a file's bytes."""
        return self.model_dump_json(indent=2).encode() + b"\n"


@dataclass(frozen=True)
class Precedent:
    """A picture that was painted before, to be painted again: its recipe, and its hash."""

    recipe: Recipe
    sha256: str

    @property
    def weights(self) -> str:
        """What to give to `load_weights`: weights from a file have to be named again."""
        return self.recipe.weights if self.recipe.weights in (OXFORD, TORCHVISION) else OXFORD

    @classmethod
    def read(cls, data: bytes) -> Self:
        """From the bytes of a manifest, or of a picture that carries its recipe.

        Raises:
            ManifestError: they are neither, or of another version of Impasto.
        """
        try:
            if data.lstrip().startswith(b"{"):
                manifest = Manifest.model_validate_json(data)
                return cls(manifest, manifest.output.sha256)
            metadata = read_metadata(data)
            if metadata is None:
                raise ManifestError(
                    "neither a manifest nor a picture that carries its parameters: those painted"
                    " with output.metadata=false, or saved again by other programs, have none"
                )
            return cls(Recipe.model_validate_json(metadata), hashlib.sha256(data).hexdigest())
        except ValidationError as error:
            fault = error.errors()[0]
            where = "".join(f"{part}: " for part in fault["loc"])
            raise ManifestError(
                f"not a manifest that this version of Impasto understands: {where}{fault['msg']}"
            ) from None


def _used(inputs: Inputs, parameters: Parameters) -> Inputs:
    return Inputs(
        content=inputs.content if parameters.uses_content else None,
        styles=inputs.styles if parameters.uses_styles else [],
        masks=inputs.masks if parameters.uses_styles else [],
        init=inputs.init if parameters.init == "image" else None,
    )


def job_losses(losses: Losses) -> JobLosses:
    """The engine's losses as the service shows them."""
    return JobLosses(content=losses.content, style=losses.style, tv=losses.tv, total=losses.total)
