"""Paints what the parameters do, for docs/engine.md: `python docs/effects.py [NAME...]`.

Each effect is a row of pictures of the project's own samples, which differ in the values below
them. All rows together take some minutes.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from rich.progress import track
from torch import Tensor

from shared.parameters import Parameters
from shared.presets import PRESETS
from worker.engine import VGG19, Stylization, load_weights
from worker.pictures import read_picture, to_image

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "images" / "effects"
SIZE_PX = 224
CAPTION_PX = 18
MARGIN_PX = 6
COLUMNS = 4
# What all of them share, unless they say otherwise.
COMMON: dict[str, Any] = {"size": SIZE_PX, "steps": 90, "pyramid": {"min_size": 56, "factor": 2.0}}


@dataclass(frozen=True)
class Effect:
    """A row: what stands below each picture, and the parameters that differ there."""

    pictures: Mapping[str, Mapping[str, Any]]
    styles: Sequence[str] = ("swirl",)
    masked: bool = False  # the first style left, the second right
    common: Mapping[str, Any] = field(default_factory=lambda: COMMON)


def _values(name: str, *values: Any) -> dict[str, dict[str, Any]]:
    return {f"{name} {value}": {name: value} for value in values}


def _layers(*names: str) -> dict[str, float]:
    return dict.fromkeys(names, 1.0)


STYLE_LAYERS = tuple(f"relu{block}_1" for block in range(1, 6))
RECONSTRUCTION = {"style_weight": 0.0, "init": "noise", "steps": 150, "pyramid": None}
TEXTURE = {"preset": "texture", "steps": 120}

EFFECTS = {
    "style_weight": Effect(_values("style_weight", 0.5, 2.0, 4.0, 16.0)),
    "content_layers": Effect(
        {
            f"content at {layer}": {"content_layers": _layers(layer)}
            for layer in ("relu2_2", "relu3_2", "relu4_2", "relu5_2")
        }
    ),
    "style_layers": Effect(
        {
            f"style up to {STYLE_LAYERS[last]}": {
                "style_layers": _layers(*STYLE_LAYERS[: last + 1])
            }
            for last in (0, 1, 2, 4)
        }
    ),
    "style_scale": Effect(_values("style_scale", 0.5, 1.0, 2.0)),
    "style_weights": Effect(
        {
            f"shares {first:g} : {second:g}": {"style_weights": [first, second]}
            for first, second in ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
        },
        styles=("swirl", "mosaic"),
    ),
    "masks": Effect(
        {
            "swirl left, ink right": {"mask_feather": 0.0},
            "mask_feather 0.2": {"mask_feather": 0.2},
        },
        styles=("swirl", "ink"),
        masked=True,
    ),
    "style_loss": Effect(
        {
            "gram": {},
            "wasserstein": {"style_loss": "wasserstein"},
        },
        styles=("mosaic",),
    ),
    "init": Effect(_values("init", "content", "gray", "style", "noise")),
    "pooling": Effect(
        {
            "pooling max": {},
            "pooling average": {"pooling": "average", "pooling_rescale": True},
            "pooling l2": {"pooling": "l2", "pooling_rescale": True},
        }
    ),
    "optimizer": Effect(
        {
            "lbfgs": {},
            "adam": {"optimizer": "adam"},
            "adam, average 0.9": {"optimizer": "adam", "average": 0.9},
        }
    ),
    "pyramid": Effect(
        {
            "one level": {"pyramid": None},
            "from 112 px": {"pyramid": {"min_size": 112, "factor": 2.0}},
            "from 56 px": {"pyramid": {"min_size": 56, "factor": 2.0}},
            "from 32 px": {"pyramid": {"min_size": 32, "factor": 1.5}},
        }
    ),
    "steps": Effect(_values("steps", 15, 40, 90, 250)),
    "tv_weight": Effect(_values("tv_weight", 0.0, 1e-4, 1e-3), styles=("ink",)),
    "color": Effect(_values("color", "style", "luminance", "match"), styles=("mosaic",)),
    "texture": Effect(
        {
            "texture of swirl": TEXTURE,
            "aspect_ratio 2": {**TEXTURE, "aspect_ratio": 2.0},
            "style_scale 0.5": {**TEXTURE, "style_scale": 0.5},
        }
    ),
    "reconstruction": Effect(
        {
            f"from {layer}": {**RECONSTRUCTION, "content_layers": _layers(layer)}
            for layer in ("conv1_2", "conv3_1", "conv4_2", "conv5_1")
        }
    ),
    "presets": Effect(
        {name: {"preset": name, "steps": 300} for name in PRESETS}, common={"size": SIZE_PX}
    ),
}


def main() -> None:
    """Paint the effects that are named, or all."""
    names = sys.argv[1:] or list(EFFECTS)
    network = VGG19(load_weights())
    OUT.mkdir(exist_ok=True)
    for name in track(names, "painting"):
        effect = EFFECTS[name]
        row = [
            _captioned(_paint(network, effect, values), caption)
            for caption, values in effect.pictures.items()
        ]
        _sheet(row).save(OUT / f"{name}.jpg", quality=88)


def _paint(network: VGG19, effect: Effect, values: Mapping[str, Any]) -> Image.Image:
    parameters = Parameters.model_validate({**effect.common, **values})
    content = _sample("harbor") if parameters.uses_content else None
    styles = [_sample(style) for style in effect.styles]
    masks = []
    if effect.masked and content is not None:
        left = (torch.arange(content.shape[2]) < content.shape[2] / 2).float()
        masks = [side.expand(content.shape[1:]) for side in (left, 1 - left)]
    run = Stylization(network, content, styles, parameters, masks=masks)
    for _ in run:
        pass
    return to_image(run.picture())


def _sample(name: str) -> Tensor:
    return read_picture((ROOT / "samples" / f"{name}.jpg").read_bytes()).pixels


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    page = Image.new("RGB", (picture.width, picture.height + CAPTION_PX), "white")
    page.paste(picture)
    ImageDraw.Draw(page).text((2, picture.height + 3), text, fill="black")
    return page


def _sheet(row: Sequence[Image.Image]) -> Image.Image:
    """The pictures beside each other, with a gap, in as many lines as they need."""
    width = max(picture.width for picture in row) + MARGIN_PX
    height = max(picture.height for picture in row) + MARGIN_PX
    lines = -(-len(row) // COLUMNS)
    page = Image.new("RGB", (width * min(len(row), COLUMNS), height * lines), "white")
    for index, picture in enumerate(row):
        page.paste(picture, (index % COLUMNS * width, index // COLUMNS * height))
    return page


if __name__ == "__main__":
    main()
