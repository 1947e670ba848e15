import pytest
import torch
from torch import Tensor

from worker.engine.space import Space

CPU = torch.device("cpu")
NAMES = ["pixels", "normalized", "bytes"]


@pytest.fixture
def picture() -> Tensor:
    return torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_comes_back_from_every_space(name: str, picture: Tensor) -> None:
    space = Space.named(name, CPU)
    torch.testing.assert_close(space.to_pixels(space.from_pixels(picture)), picture)


def test_pixels_are_the_picture_itself(picture: Tensor) -> None:
    assert torch.equal(Space.named("pixels", CPU).from_pixels(picture), picture)


def test_normalized_is_what_torchvision_feeds_the_network(picture: Tensor) -> None:
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    variable = Space.named("normalized", CPU).from_pixels(picture)
    torch.testing.assert_close(variable, (picture - mean) / std)


def test_bytes_are_what_neural_style_feeds_the_network(picture: Tensor) -> None:
    mean = torch.tensor((123.68, 116.779, 103.939)).view(3, 1, 1)
    variable = Space.named("bytes", CPU).from_pixels(picture)
    torch.testing.assert_close(variable, picture * 255 - mean, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_autograd(name: str, picture: Tensor) -> None:
    space = Space.named(name, CPU)
    variable = space.from_pixels(picture).requires_grad_()
    pixels = space.to_pixels(variable)
    pixels.retain_grad()
    pixels.sin().sum().backward()
    assert pixels.grad is not None
    torch.testing.assert_close(space.gradient(pixels.grad), variable.grad)


@pytest.mark.parametrize("name", NAMES)
def test_the_bounds_are_black_and_white(name: str) -> None:
    space = Space.named(name, CPU)
    for bound, color in zip(space.bounds, (0.0, 1.0), strict=True):
        expected = torch.full((3, 1, 1), color)
        torch.testing.assert_close(space.to_pixels(bound), expected, atol=1e-6, rtol=0)
