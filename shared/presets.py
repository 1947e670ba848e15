"""Presets as data: the values in which each differs from the defaults of `Parameters`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PresetName = Literal["default", "neural-style", "content-clone"]


@dataclass(frozen=True)
class Preset:
    """A named set of parameter values, and where they come from."""

    summary: str
    source: str
    values: Mapping[str, Any]


PRESETS: dict[str, Preset] = {
    "default": Preset(
        summary="Coarse to fine with scale-free losses: bold strokes, the scene stays readable.",
        source="Impasto; chosen by looking and measuring.",
        values={},
    ),
    "neural-style": Preset(
        summary="The classical recipe: Gram losses, L-BFGS, one level.",
        source="jcjohnson/neural-style and neural-style-pt, defaults, started from the content.",
        # Their images are 0-255 and ours 0-1. The Oxford activations are theirs, so content and
        # style weights stay as they are; their sum of absolute differences is 255 times ours.
        values={
            "steps": 300,
            "content_weight": 5.0,
            "style_weight": 100.0,
            "tv_weight": 0.255,
            "relative": False,
            "history_size": 100,
            "pyramid": None,
        },
    ),
    "content-clone": Preset(
        summary="Gram losses from a clone of the content with Adam: gentle, keeps every contour.",
        source='"Learning Neural Style Transfer with PyTorch" (blog).',
        values={
            "steps": 300,
            "content_weight": 5.0,
            "style_weight": 100.0,
            "relative": False,
            "optimizer": "adam",
            "learning_rate": 0.02,
            "betas": (0.9, 0.999),
            "pyramid": None,
        },
    ),
}
