"""The finished picture: encoded, with its recipe inside, and described."""

import hashlib
from dataclasses import dataclass

import structlog
from torch import Tensor

from shared.images import CONTENT_TYPES
from shared.jobs import Inputs, Output
from worker.engine import Losses, Stylization
from worker.engine.memory import is_out_of_memory
from worker.manifest import Manifest, Recipe
from worker.pictures import encode_picture

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Delivery:
    """A picture as a file's bytes, and what tells of it."""

    data: bytes
    output: Output
    recipe: Recipe
    device_name: str

    def manifest(self, losses: Losses | None, seconds: float) -> Manifest:
        """The manifest of the picture; `losses` and `seconds` are those of its run."""
        return Manifest.of_run(
            self.recipe,
            device_name=self.device_name,
            losses=losses,
            seconds=seconds,
            output=self.output,
        )


def deliver(run: Stylization, inputs: Inputs, alpha: Tensor | None) -> Delivery:
    """Encode the picture of a finished run.

    Args:
        run: it, at its end.
        inputs: hashes of the files that it was made from.
        alpha: transparency of the content image, (H, W) in [0, 1], which the picture keeps.
    """
    recipe = Recipe.of(run.reproducing_parameters, inputs, run.provenance)
    encoding = recipe.parameters.output
    picture = run.picture(encoding.bit_depth)
    height, width = picture.shape[:2]
    data = encode_picture(
        picture, encoding, alpha=alpha, metadata=recipe.metadata() if encoding.metadata else None
    )
    output = Output(
        content_type=CONTENT_TYPES[encoding.format],
        width_px=width,
        height_px=height,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Delivery(data, output, recipe, run.provenance.device_name)


def losses_of(run: Stylization, precision: str) -> Losses | None:
    """Losses of the delivered picture. Not worth a finished picture where memory is short."""
    try:
        return run.delivered_losses(precision)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        log.warning("too little memory to evaluate the delivered picture")
        return None
