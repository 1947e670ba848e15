"""The real network, small pictures, and the same network as autograd sees it."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import vgg19

from shared.network import LINE
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, Weights, load_weights
from worker.engine.vgg import TRAINED, Architecture
from worker.engine.weights import MEAN, STD, TORCHVISION_INDEX

Literal = Callable[..., dict[str, Tensor]]


def paint_content(height: int, width: int) -> Tensor:
    """A scene of smooth shapes and edges, (3, height, width)."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    scene = np.stack([y, 0.5 + 0.4 * np.sin(9 * x), 1 - x])
    scene[:, (x - 0.4) ** 2 + (y - 0.3) ** 2 < 0.03] = [[0.9], [0.7], [0.1]]
    return torch.from_numpy(scene).float().clamp_(0, 1)


def paint_style(height: int, width: int, seed: int = 1) -> Tensor:
    """Diagonal strokes in a few colours, (3, height, width)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    strokes = np.sin((x + 2 * y) / 3 + 3 * np.sin(x / 9))
    colours = rng.random((3, 1, 1))
    texture = 0.5 + 0.4 * strokes * colours + rng.normal(0, 0.05, (3, height, width))
    return torch.from_numpy(texture).float().clamp_(0, 1)


@pytest.fixture(scope="session")
def weights() -> Weights:
    return load_weights("oxford-q8")


@pytest.fixture(scope="session")
def vgg(weights: Weights) -> VGG19:
    return VGG19(weights, "cpu")


@pytest.fixture(scope="session")
def content() -> Tensor:
    return paint_content(48, 64)


@pytest.fixture(scope="session")
def style() -> Tensor:
    return paint_style(56, 50)


@pytest.fixture(scope="session")
def literal(weights: Weights) -> Literal:
    """Features of a picture through torchvision's own VGG-19, (1, C, H, W) each, with autograd.

    The network may differ from the one that was trained as an `Architecture` says, in so far as
    crowsonkb/style-transfer-pytorch has it: other pools, and a border that is repeated.
    """
    model = vgg19(weights=None).features.eval().requires_grad_(False)
    for name, index in TORCHVISION_INDEX.items():
        kernel, bias = weights.convolutions[name]
        model[index].weight.copy_(kernel)
        model[index].bias.copy_(bias)

    def pool(x: Tensor, kind: str, rescale: bool) -> Tensor:
        if kind == "max":
            return F.max_pool2d(x, 2)
        if kind == "average":
            return F.avg_pool2d(x, 2) * (2 if rescale else 1)
        squares = F.avg_pool2d(x.square(), 2) * 4
        norm = squares.where(squares > 0, 1.0).sqrt().where(squares > 0, 0.0)
        return norm * (0.78 if rescale else 1)

    def features(
        picture: Tensor, layers: Iterable[str], architecture: Architecture = TRAINED
    ) -> dict[str, Tensor]:
        x = (picture[None] - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        wanted, found = set(layers), {}
        for name, module in zip(LINE, model, strict=False):
            if name.startswith("relu"):
                x = torch.relu(x)
            elif name.startswith("pool"):
                x = pool(x, architecture.pooling, architecture.pooling_rescale)
            elif name == "conv1_1" and architecture.padding == "replicate":
                padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
                x = F.conv2d(padded, module.weight, module.bias)
            else:
                x = module(x)
            if name in wanted:
                found[name] = x
            if found.keys() == wanted:
                break
        return found

    return features


# A recipe of our own, so that nothing here depends on how the default preset is tuned.
PLAIN: dict[str, Any] = {
    "content_weight": 1.0,
    "style_weight": 4.0,
    "content_layers": {"relu4_2": 1.0},
    "style_layers": {f"relu{block}_1": 1.0 for block in range(1, 6)},
    "style_loss": "gram",
    "gram_divisor": "chw",
    "relative": True,
    "pooling": "max",
    "padding": "zero",
    "optimizer": "lbfgs",
    "max_step": 0.01,
}
# Shallow layers are quick, and enough of a style and of a photograph.
SHALLOW: dict[str, float] = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}
# A run that takes a fraction of a second: two levels, 32 x 24 and 64 x 48 px.
SMALL: dict[str, Any] = {
    "size": 64,
    "steps": 7,
    "precision": "float32",
    "pyramid": {"min_size": 32, "factor": 2.0},
}


def plain(**values: Any) -> Parameters:
    """`PLAIN`, or the preset that `values` name, with `values`."""
    return Parameters.model_validate(values if "preset" in values else {**PLAIN, **values})


def small(**values: Any) -> Parameters:
    """Of a small run, over shallow layers unless `values` name others or a preset."""
    shallow = {"content_layers": {"relu3_1": 1.0}, "style_layers": SHALLOW}
    return plain(**{**SMALL, **({} if "preset" in values else shallow), **values})


def start(vgg: VGG19, content: Tensor, style: Tensor, **values: Any) -> Stylization:
    return Stylization(vgg, content, [style], small(**values))


def finish(run: Stylization) -> Tensor:
    """The picture of a run that is carried to its end, (H, W, 3) uint8."""
    for _ in run:
        pass
    return run.picture()


def pixels(picture: Tensor) -> Tensor:
    """A delivered picture, (H, W, 3) uint8, as (3, H, W) in [0, 1]."""
    return picture.permute(2, 0, 1) / 255


def psnr(a: Tensor, b: Tensor) -> float:
    """In dB, of pictures in [0, 1]."""
    return (-10 * (a - b).square().mean().log10()).item()


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def relative_error(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()
