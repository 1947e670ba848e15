"""Presets as data: the values in which each differs from the defaults of `Parameters`.

Each reproduces the loop of its source. Those whose source computes on torchvision's weights ask for
`activations=unit`, since the original weights, our default, have activations that are hundreds of
times larger. `content-clone` names no weights of its losses: those of neural-style are for the
original activations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PresetName = Literal[
    "default",
    "neural-style",
    "content-clone",
    "d2l",
    "multi-layer-content",
    "starry-noise",
    "wasserstein",
    "texture",
    "reconstruction",
]


@dataclass(frozen=True)
class Preset:
    """A named set of parameter values, and where they come from."""

    summary: str
    source: str
    values: Mapping[str, Any]


_STYLE_LAYERS = [f"relu{block}_1" for block in range(1, 6)]

# What all the sources share: the network as Gatys et al. use it, and losses as they come.
_CLASSICAL: dict[str, Any] = {
    "content_layers": {"relu4_2": 1.0},
    "style_layers": dict.fromkeys(_STYLE_LAYERS, 1.0),
    "padding": "zero",
    "relative": False,
}

PRESETS: dict[str, Preset] = {
    "default": Preset(
        summary="Coarse to fine with scale-free losses: bold strokes, the scene stays readable.",
        source="Impasto; chosen by looking and measuring.",
        values={},
    ),
    "neural-style": Preset(
        summary="The classical recipe: Gram losses, L-BFGS, one level.",
        source="jcjohnson/neural-style and neural-style-pt, defaults, started from the content.",
        # In their own space of 0 to 255, on the original weights. Their noise is 0.001 there.
        values={
            **_CLASSICAL,
            "steps": 1000,
            "noise": {"space": "normalized", "scale": 1.7e-5},
            "content_weight": 5.0,
            "style_weight": 100.0,
            "tv_weight": 1e-3,
            "history_size": 100,
            "max_step": None,
            "space": "bytes",
            "clamp": False,
            "pyramid": None,
        },
    ),
    "content-clone": Preset(
        summary="Gram losses from a clone of the content with Adam: gentle, keeps every contour.",
        source='"Learning Neural Style Transfer with PyTorch" (blog).',
        values={
            **_CLASSICAL,
            "steps": 300,
            "content_weight": 5.0,
            "style_weight": 100.0,
            "optimizer": "adam",
            "learning_rate": 0.02,
            "betas": (0.9, 0.999),
            "pyramid": None,
        },
    ),
    "d2l": Preset(
        summary="The textbook's recipe: strong total variation, large steps that shrink.",
        source="Dive into Deep Learning, section Neural Style Transfer.",
        values={
            **_CLASSICAL,
            "size": 450,
            "steps": 500,
            "content_weight": 1.0,
            "style_weight": 1e4,
            "tv_weight": 10.0,
            "tv_loss": "l1-mean",
            "style_fit": "stretch",
            "activations": "unit",
            "optimizer": "adam",
            "learning_rate": 0.3,
            "lr_decay": {"factor": 0.8, "every": 50},
            "betas": (0.9, 0.999),
            "space": "normalized",
            "clamp": False,
            "pyramid": None,
        },
    ),
    "multi-layer-content": Preset(
        summary="Content at five layers, from pixels to objects: close to the photograph.",
        source="Blog walk-through with content at conv1_1..conv5_1.",
        values={
            **_CLASSICAL,
            "steps": 2000,
            "content_weight": 1e-2,
            "style_weight": 1e4,
            "content_layers": dict.fromkeys(_STYLE_LAYERS, 1.0),
            "activations": "unit",
            "optimizer": "adam",
            "learning_rate": 0.02,
            "betas": (0.99, 0.999),
            "clamp": False,
            "pyramid": None,
        },
    ),
    "starry-noise": Preset(
        summary="From noise, with average pooling: soft forms, the scene only hinted at.",
        source='"Neural Style Transfer in Pytorch" (A Modern Starry Night).',
        values={
            **_CLASSICAL,
            "size": 600,
            "steps": 400,
            "init": "noise",
            "noise": {"space": "normalized", "scale": 1.0},
            "content_weight": 1e4,
            "style_weight": 1e2,
            "style_layers": dict(zip(_STYLE_LAYERS, (0.75, 0.5, 0.2, 0.2, 0.2), strict=True)),
            "style_fit": "stretch",
            "gram_divisor": "none",
            "style_divisor": "chw",
            "activations": "unit",
            "pooling": "average",
            "optimizer": "adam",
            "learning_rate": 0.01,
            "betas": (0.9, 0.999),
            "space": "normalized",
            "clamp": False,
            "pyramid": None,
        },
    ),
    "wasserstein": Preset(
        summary="Wasserstein-2 losses over many scales: clean, even strokes. Slow.",
        source="crowsonkb/style-transfer-pytorch, defaults.",
        values={
            **_CLASSICAL,
            "steps": 3000,  # those of the levels below, at the default size
            "content_weight": 0.015,
            "style_weight": 1.0,
            "tv_weight": 2.0,
            "tv_loss": "l2",
            "style_layers": {
                layer: weight / 341
                for layer, weight in zip(_STYLE_LAYERS, (256, 64, 16, 4, 1), strict=True)
            },
            "style_loss": "wasserstein",
            "activations": "unit",
            "padding": "replicate",
            "optimizer": "adam",
            "learning_rate": 0.02,
            "betas": (0.9, 0.99),
            "pyramid": {"min_size": 128, "factor": 2**0.5, "steps": [1000, 500]},
            "warm_start": True,
            "average": 0.99,
        },
    ),
    "texture": Preset(
        summary="No photograph: a texture of the style, of any size, grown from noise.",
        source="Gatys, Ecker, Bethge: Texture Synthesis Using Convolutional Neural Networks.",
        values={"init": "noise", "content_weight": 0.0},
    ),
    "reconstruction": Preset(
        summary="No painting: what a layer of the network keeps of the photograph, from noise.",
        source='"PyTorch Style Transfer Tutorial" (2018).',
        # Their conv2 is our conv1_2; conv3_1, a deeper layer of theirs, keeps less.
        values={
            **_CLASSICAL,
            "steps": 300,
            "init": "noise",
            "noise": {"space": "pixels", "scale": 1.0},
            "content_weight": 1.0,
            "style_weight": 0.0,
            "content_layers": {"conv1_2": 1.0},
            "activations": "unit",
            "history_size": 100,
            "max_step": None,
            "clamp": False,
            "pyramid": None,
        },
    ),
}
