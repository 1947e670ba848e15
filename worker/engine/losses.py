"""The losses, each with its own way back.

A loss looks at the features of one layer as a matrix (positions, channels). It returns its value
and a function that adds its gradient to that layer's gradient, in place. Values are float32
whatever the type of the features.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# Adds a gradient to the gradient of a layer, (positions, channels), in place.
Backward = Callable[[Tensor], None]


def second_moment(features: Tensor) -> Tensor:
    """M = Fᵀ F, the sum over positions of f fᵀ: (positions, C) -> (C, C) in float32.

    A sum over positions, so parts of a picture can be summed up.
    """
    features = features.float()
    return features.T @ features


def gram_matrix(features: Tensor, divisor: str) -> Tensor:
    """G = M / divisor: (positions, C) -> (C, C). Gatys et al. 2016, equation 3, for `none`."""
    return second_moment(features) / gram_divisor(features, divisor)


def gram_divisor(features: Tensor, divisor: str) -> float:
    """What `gram_divisor` of the parameters means for these features: 1, H W, or C H W."""
    positions, channels = features.shape
    return {"none": 1.0, "hw": float(positions), "chw": float(positions * channels)}[divisor]


class ContentLoss:
    """mean((F - P)²), the squared distance to the content image's features P.

    Gatys et al. 2016, equation 1, as a mean. With `relative` divided by mean(P²).
    """

    def __init__(self, target: Tensor, weight: float, *, relative: bool) -> None:
        self.target = target.float()
        self.weight = weight / _energy(self.target) if relative else torch.tensor(weight)

    def __call__(self, features: Tensor) -> tuple[Tensor, Backward]:
        """Value, and dL/dF = 2 w (F - P) / count."""
        difference = features.float() - self.target
        loss = self.weight * difference.square().mean()

        def backward(gradient: Tensor) -> None:
            gradient.add_(difference.mul_(2 * self.weight / difference.numel()))

        return loss, backward


class StyleLoss:
    """mean((G - A)²), the squared distance to the style's Gram matrix A.

    Gatys et al. 2016, equation 4, with the divisor made explicit. With `relative` divided by
    mean(A²). A blend of styles is a blend of their Gram matrices.
    """

    def __init__(self, target: Tensor, weight: float, *, divisor: str, relative: bool) -> None:
        self.target = target
        self.weight = weight / _energy(target) if relative else torch.tensor(weight)
        self.divisor = divisor

    def __call__(self, features: Tensor) -> tuple[Tensor, Backward]:
        """Value, and dL/dF = F (dM + dMᵀ), with dM from autograd over the C x C matrices alone."""
        moment = second_moment(features).requires_grad_()
        with torch.enable_grad():
            gram = moment / gram_divisor(features, self.divisor)
            loss = self.weight * (gram - self.target).square().mean()
        (slope,) = torch.autograd.grad(loss, moment)

        def backward(gradient: Tensor) -> None:
            gradient.addmm_(features, (slope + slope.T).to(features.dtype))

        return loss.detach(), backward


def total_variation(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of absolute differences of neighbours, and its gradient; both for (3, H, W).

    As in neural-style. The gradient of |d| is sign(d).
    """
    across = picture[:, :, 1:] - picture[:, :, :-1]
    down = picture[:, 1:, :] - picture[:, :-1, :]
    loss = across.abs().sum() + down.abs().sum()
    gradient = torch.zeros_like(picture)
    gradient[:, :, 1:] += across.sign_()
    gradient[:, :, :-1] -= across
    gradient[:, 1:, :] += down.sign_()
    gradient[:, :-1, :] -= down
    return loss, gradient


def _energy(target: Tensor) -> Tensor:
    """mean(T²), bounded away from zero for a target that is zero, as that of a black picture may
    be."""
    return target.square().mean().clamp_min(1e-12)
