import pytest
import torch
from torch import Tensor

from worker.engine.total_variation import TOTAL_VARIATIONS, with_gradient

SHAPES = [(7, 9), (2, 5), (32, 33)]


def neighbours(picture: Tensor) -> Tensor:
    """The eight around each pixel, (3, 3, 3, H, W): by row and column of the neighbourhood."""
    _, height, width = picture.shape
    rows = torch.arange(-1, 2).view(3, 1) + torch.arange(height)
    columns = torch.arange(-1, 2).view(3, 1) + torch.arange(width)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    return torch.stack(
        [torch.stack([picture[:, row][:, :, column] for column in columns], 1) for row in rows], 1
    )


def literal(name: str, picture: Tensor) -> Tensor:
    across, down = picture.diff(dim=2), picture.diff(dim=1)
    if name == "l1":
        return across.abs().sum() + down.abs().sum()
    if name == "l1-mean":
        return 0.5 * (across.abs().mean() + down.abs().mean())
    squares = (neighbours(picture) - picture[:, None, None]).square().mean((0, 3, 4))
    straight = (squares[0, 1] + squares[1, 0] + squares[1, 2] + squares[2, 1]) / 3
    diagonal = (squares[0, 0] + squares[0, 2] + squares[2, 0] + squares[2, 2]) / 12
    return straight + diagonal


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["l1", "l1-mean"])
def test_value_and_gradient_are_those_of_the_formula(name: str, shape: tuple[int, int]) -> None:
    picture = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    variable = picture.clone().requires_grad_()
    expected = literal(name, variable)
    expected.backward()
    value, gradient = with_gradient(TOTAL_VARIATIONS[name], picture)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, variable.grad)


@pytest.mark.parametrize("shape", SHAPES)
def test_nine_points_are_those_of_crowsonkb(shape: tuple[int, int]) -> None:
    """`TVLoss` of crowsonkb/style-transfer-pytorch as it stands there."""

    def tv_loss(picture: Tensor) -> Tensor:
        input = torch.nn.functional.pad(picture[None], (1, 1, 1, 1), "replicate")
        s1, s2 = slice(1, -1), slice(2, None)
        s3, s4 = slice(None, -1), slice(1, None)
        d1 = (input[..., s1, s2] - input[..., s1, s1]).pow(2).mean() / 3
        d2 = (input[..., s2, s1] - input[..., s1, s1]).pow(2).mean() / 3
        d3 = (input[..., s4, s4] - input[..., s3, s3]).pow(2).mean() / 12
        d4 = (input[..., s4, s3] - input[..., s3, s4]).pow(2).mean() / 12
        return 2 * (d1 + d2 + d3 + d4)

    picture = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    variable = picture.clone().requires_grad_()
    expected = tv_loss(variable)
    expected.backward()
    value, gradient = with_gradient(TOTAL_VARIATIONS["l2"], picture)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, variable.grad)


def test_nine_points_are_the_mean_squares_of_eight_neighbours() -> None:
    """Inside a large picture; at its border crowsonkb counts the diagonals over one more row."""
    picture = torch.rand(3, 400, 400, generator=torch.Generator().manual_seed(0))
    value, _ = with_gradient(TOTAL_VARIATIONS["l2"], picture)
    assert value.item() == pytest.approx(literal("l2", picture).item(), rel=5e-3)


@pytest.mark.parametrize("name", TOTAL_VARIATIONS)
def test_a_picture_of_one_colour_has_none(name: str) -> None:
    value, gradient = with_gradient(TOTAL_VARIATIONS[name], torch.full((3, 8, 6), 0.3))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", TOTAL_VARIATIONS)
def test_noise_has_more_than_a_ramp(name: str) -> None:
    ramp = torch.linspace(0, 1, 16).expand(3, 16, 16)
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    variation = TOTAL_VARIATIONS[name]
    assert variation(noise) > 3 * variation(ramp)
