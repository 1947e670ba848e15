from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from shared.parameters import CONV_NAMES
from worker.engine import VGG19, Weights
from worker.engine.activations import MEAN_ACTIVATIONS, unit_activations

HARBOR = Path(__file__).resolve().parents[3] / "samples" / "harbor.jpg"
RELUS = tuple(name.replace("conv", "relu") for name in CONV_NAMES)


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """The sample photograph at 192 px, (3, H, W)."""
    with Image.open(HARBOR) as image:
        image.thumbnail((192, 192))
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)


@pytest.fixture(scope="module")
def unit(weights: Weights) -> VGG19:
    return VGG19(unit_activations(weights), "cpu")


def features(vgg: VGG19, picture: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    vgg.network(RELUS).forward(picture, lambda name, read: found.update({name: read.clone()}))
    return found


def means(weights: Weights) -> dict[str, float]:
    return dict(zip(RELUS, MEAN_ACTIVATIONS[weights.sha256], strict=True))


def test_every_layer_has_a_mean_activation_of_about_1_on_a_photograph(
    unit: VGG19, photograph: Tensor
) -> None:
    for name, read in features(unit, photograph).items():
        assert 0.6 < read.mean() < 1.7, name


def test_nothing_but_the_scale_of_the_layers_changes(
    vgg: VGG19, unit: VGG19, weights: Weights, photograph: Tensor
) -> None:
    original, scaled = features(vgg, photograph), features(unit, photograph)
    for name, mean in means(weights).items():
        error = (scaled[name] * mean - original[name]).norm() / original[name].norm()
        assert error < 1e-4, name


@pytest.mark.parametrize("layer", ["relu1_1", "relu3_2", "relu5_1"])
def test_gradients_have_the_scale_of_the_layer_that_they_come_from(
    layer: str, vgg: VGG19, unit: VGG19, weights: Weights, photograph: Tensor
) -> None:
    gradients = []
    for network in (vgg.network([layer]), unit.network([layer])):
        blocks = network.forward(photograph, lambda *_: None)
        gradients.append(network.backward(blocks, lambda _, __, gradient: gradient.add_(1)))
    original, scaled = gradients
    error = (scaled * means(weights)[layer] - original).norm() / original.norm()
    assert error < 1e-2  # rounding puts some values on the other side of a ReLU or a maximum


def test_weights_that_nobody_has_measured_are_taken_as_they_are(weights: Weights) -> None:
    other = replace(weights, sha256="0" * 64)
    assert unit_activations(other) is other


def test_rescaled_weights_keep_their_name_and_leave_the_original_alone(weights: Weights) -> None:
    kernel, bias = (tensor.clone() for tensor in weights.convolutions["conv2_1"])
    rescaled = unit_activations(weights)
    assert (rescaled.name, rescaled.sha256) == (weights.name, weights.sha256)
    assert torch.equal(weights.convolutions["conv2_1"][0], kernel)
    assert torch.equal(weights.convolutions["conv2_1"][1], bias)
