"""Total variation: how rough a picture is. Three forms, each as its source has it."""

from collections.abc import Callable

import torch
from torch import Tensor


def sum_of_differences(picture: Tensor) -> Tensor:
    """Σ |dx| + Σ |dy| over neighbours, (3, H, W) -> scalar. neural-style."""
    return picture.diff(dim=2).abs().sum() + picture.diff(dim=1).abs().sum()


def mean_of_differences(picture: Tensor) -> Tensor:
    """(mean |dx| + mean |dy|) / 2, (3, H, W) -> scalar. Dive into Deep Learning."""
    return (picture.diff(dim=2).abs().mean() + picture.diff(dim=1).abs().mean()) / 2


def mean_of_squares(picture: Tensor) -> Tensor:
    """Mean square of the differences to the eight neighbours, (3, H, W) -> scalar.

    Beyond the border the picture goes on as it ends. The diagonal neighbours count a quarter.
    crowsonkb/style-transfer-pytorch.
    """
    # Not F.pad: its way back adds in any order on a GPU, and would not give the same bits twice.
    p = torch.cat((picture[:, :1], picture, picture[:, -1:]), dim=1)
    p = torch.cat((p[:, :, :1], p, p[:, :, -1:]), dim=2)
    inner = p[:, 1:-1, 1:-1]
    straight = (p[:, 1:-1, 2:] - inner).square().mean() + (p[:, 2:, 1:-1] - inner).square().mean()
    diagonal = (p[:, 1:, 1:] - p[:, :-1, :-1]).square().mean() + (
        p[:, 1:, :-1] - p[:, :-1, 1:]
    ).square().mean()
    return 2 * (straight / 3 + diagonal / 12)


# By their names among the parameters.
TOTAL_VARIATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": sum_of_differences,
    "l1-mean": mean_of_differences,
    "l2": mean_of_squares,
}


def with_gradient(function: Callable[[Tensor], Tensor], picture: Tensor) -> tuple[Tensor, Tensor]:
    """Value of `function` at `picture`, and its gradient, (3, H, W)."""
    variable = picture.detach().requires_grad_()
    with torch.enable_grad():
        value = function(variable)
    (gradient,) = torch.autograd.grad(value, variable)
    return value.detach(), gradient
