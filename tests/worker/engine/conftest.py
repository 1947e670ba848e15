"""The real network, small pictures, and the same network as autograd sees it."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models import vgg19

from worker.engine import VGG19, Weights, load_weights
from worker.engine.vgg import LINE
from worker.engine.weights import MEAN, STD, TORCHVISION_INDEX

Literal = Callable[[Tensor, Iterable[str]], dict[str, Tensor]]


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
    """Features of a picture through torchvision's own VGG-19, (1, C, H, W) each, with autograd."""
    model = vgg19(weights=None).features.eval().requires_grad_(False)
    for name, index in TORCHVISION_INDEX.items():
        kernel, bias = weights.convolutions[name]
        model[index].weight.copy_(kernel)
        model[index].bias.copy_(bias)

    def features(picture: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        x = (picture[None] - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        wanted, found = set(layers), {}
        for name, module in zip(LINE, model, strict=False):
            x = torch.relu(x) if name.startswith("relu") else module(x)
            if name in wanted:
                found[name] = x
            if found.keys() == wanted:
                break
        return found

    return features


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def relative_error(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()
