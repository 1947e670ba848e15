"""The losses at one layer, each with its own way back.

A loss looks at the features of a layer as a matrix F of (positions, channels). It returns its value
and a function that adds its gradient to that layer's gradient, in place. Values are float32
whatever the type of the features.

Every style loss is a function of small statistics, sums over positions of f and f fᵀ. So the heavy
part, collecting them and going back from them, stands here once for all, and a distance of styles
is a few lines over C x C matrices that autograd differentiates.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from shared.parameters import Parameters
from worker.engine.hardware import products_of_bfloat16
from worker.engine.square_root import square_root, trace_of_square_root

# Adds dL/dF to a gradient, in place: (features, gradient), both (positions, channels). It is given
# the features again, so that nobody has to keep them.
Backward = Callable[[Tensor, Tensor], None]

# Keeps a covariance positive definite (crowsonkb/style-transfer-pytorch).
COVARIANCE_EPSILON = 1e-4
# Of 4 bytes: 2 MB, which a core's cache holds.
PART_VALUES = 2**19


@dataclass(frozen=True)
class Statistics:
    """Sums over the positions of one layer, each position with its weight w."""

    positions: int
    count: Tensor  # Σ w: the positions, or the area of a region among them
    origin: Tensor | None  # o, (C,): what f is measured from; None for zero
    first: Tensor  # Σ w (f - o), (C,)
    second: Tensor  # Σ w (f - o) (f - o)ᵀ, (C, C)

    @property
    def mean(self) -> Tensor:
        """μ, (C,)."""
        mean = self.first / self.count
        return mean if self.origin is None else mean + self.origin

    @property
    def covariance(self) -> Tensor:
        """Σ, (C, C)."""
        offset = self.first / self.count
        return self.second / self.count - torch.outer(offset, offset)


def collect(features: Tensor, mask: Tensor | None = None, *, centered: bool = False) -> Statistics:
    """Statistics of `features`, (positions, C), weighted by `mask`, (positions,), in float32.

    From zero: sums, so parts of a picture can be added up. Or, `centered`, from the features' own
    mean: a covariance is then no difference of two numbers that are much larger.
    """
    if mask is None:
        count = torch.full((), float(len(features)), device=features.device)
    else:
        count = mask.sum()
    channels = features.shape[1]
    zeros = torch.zeros(channels, device=features.device)
    origin = None
    if centered:
        sums = (weighted.sum(0) for _, weighted in _parts(features, mask))
        origin = sum(sums, start=zeros) / count
    first, second = zeros, torch.zeros(channels, channels, device=features.device)
    of_bfloat16 = features.dtype == torch.bfloat16 and mask is None and not centered
    with products_of_bfloat16() if of_bfloat16 else nullcontext():
        for part, weighted in _parts(features, mask, origin):
            first = first + weighted.sum(0)
            second.addmm_(weighted.T, part)
    return Statistics(len(features), count, origin, first, second)


def _parts(
    features: Tensor, mask: Tensor | None, origin: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The features from `origin` on, in float32, without and with their weights: as many positions
    at a time as stay in a processor's cache."""
    length = max(1, PART_VALUES // features.shape[1])
    for start in range(0, len(features), length):
        part = features[start : start + length].float()
        if origin is not None:
            part = part - origin
        if mask is None:
            yield part, part
        else:
            yield part, part * mask[start : start + length].unsqueeze(1)


# A mixture of styles: the statistics of each with its share of the whole.
Mixture = Sequence[tuple[float, Statistics]]


class Distance(Protocol):
    """How far the statistics of the picture are from those of a style."""

    centered: bool  # how it wants them

    def __call__(self, statistics: Statistics) -> Tensor:
        """A float32 scalar, differentiable by `first` and `second`."""


def gram_matrix(statistics: Statistics, divisor: str) -> Tensor:
    """G = Σ f fᵀ / divisor, (C, C). Gatys et al. 2016, equation 3, for `none`.

    A region counts as if it were the whole picture.
    """
    channels = len(statistics.second)
    mean = statistics.second / statistics.count
    return mean * {"none": float(statistics.positions), "hw": 1.0, "chw": 1 / channels}[divisor]


class GramDistance:
    """mean((G - A)²), with A the style's Gram matrix. Gatys et al. 2016, equation 4.

    The divisor of the matrices is made explicit. With `relative` divided by mean(A²). A mixture of
    styles is a mixture of their Gram matrices.
    """

    centered = False

    @classmethod
    def of(cls, styles: Mixture, parameters: Parameters) -> "GramDistance":
        """The distance from `styles` that `parameters` ask for."""
        return cls(styles, divisor=parameters.gram_divisor, relative=parameters.relative)

    def __init__(self, styles: Mixture, *, divisor: str, relative: bool) -> None:
        self.divisor = divisor
        self.target = torch.stack(
            [share * gram_matrix(style, divisor) for share, style in styles]
        ).sum(0)
        self.energy = _energy(self.target) if relative else 1.0

    def __call__(self, statistics: Statistics) -> Tensor:
        """The mean square, over (C, C)."""
        return (gram_matrix(statistics, self.divisor) - self.target).square().mean() / self.energy


class WassersteinDistance:
    """Wasserstein-2 between the Gaussians of the features, over the number of channels.

        W² = |μ - μ'|² + tr(Σ + Σ' - 2 (Σ'^½ Σ Σ'^½)^½)

    As in crowsonkb/style-transfer-pytorch. With `relative` divided by the mean of f² over the
    style. A mixture of styles is a mixture of raw moments, not of covariances.
    """

    centered = True

    @classmethod
    def of(cls, styles: Mixture, parameters: Parameters) -> "WassersteinDistance":
        """The distance from `styles` that `parameters` ask for."""
        return cls(styles, relative=parameters.relative)

    def __init__(self, styles: Mixture, *, relative: bool) -> None:
        self.mean = torch.stack([share * style.mean for share, style in styles]).sum(0)
        # Σ + μ μᵀ of the mixture is the mixture of those of the styles
        offsets = [style.mean - self.mean for _, style in styles]
        spread = [
            share * (style.covariance + torch.outer(offset, offset))
            for (share, style), offset in zip(styles, offsets, strict=True)
        ]
        covariance = torch.stack(spread).sum(0)
        energy = covariance.diagonal() + self.mean.square()
        self.covariance = _positive_definite(covariance)
        self.root = square_root(self.covariance)
        self.energy = energy.mean().clamp_min(1e-12) if relative else 1.0

    def __call__(self, statistics: Statistics) -> Tensor:
        """W² / C."""
        covariance = _positive_definite(statistics.covariance)
        between = trace_of_square_root(self.root @ covariance @ self.root)
        traces = covariance.trace() + self.covariance.trace() - 2 * between
        distance = (statistics.mean - self.mean).square().mean() + traces / len(self.mean)
        return distance / self.energy


# By their names among the parameters.
DISTANCES: dict[str, type[GramDistance] | type[WassersteinDistance]] = {
    "gram": GramDistance,
    "wasserstein": WassersteinDistance,
}


class ContentLoss:
    """mean((F - P)²), the squared distance to the content image's features P.

    Gatys et al. 2016, equation 1, as a mean. With `relative` divided by mean(P²).
    """

    def __init__(self, target: Tensor, weight: float, *, relative: bool) -> None:
        self.target = target
        self.weight = weight / _energy(target.float()) if relative else torch.tensor(weight)

    def __call__(self, features: Tensor) -> tuple[Tensor, Backward]:
        """Value, and dL/dF = 2 w (F - P) / count."""
        loss = self.weight * (features.float() - self.target).square_().mean()
        return loss, self._backward

    def _backward(self, features: Tensor, gradient: Tensor) -> None:
        difference = features.float() - self.target
        gradient.add_(difference.mul_(2 * self.weight / difference.numel()))


@dataclass(frozen=True)
class Region:
    """Where a style applies, and how its distance counts there."""

    distance: Distance
    weight: float
    mask: Tensor | None = None  # (positions,) in [0, 1]; None is everywhere


class StyleLoss:
    """Σ weight · distance, over the regions that have a style. Each has its guided statistics.

    Gatys et al., Controlling Perceptual Factors in Neural Style Transfer, CVPR 2017, section 4.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = regions

    def __call__(self, features: Tensor) -> tuple[Tensor, Backward]:
        """Value, and dL/dF = w ((F - o) (dM + dMᵀ) + dm), with dM and dm from autograd over the
        statistics alone."""
        total = torch.zeros((), device=features.device)
        slopes = []
        for region in self.regions:
            statistics = collect(features, region.mask, centered=region.distance.centered)
            first = statistics.first.requires_grad_()
            second = statistics.second.requires_grad_()
            with torch.enable_grad():
                loss = region.weight * region.distance(statistics)
            first_slope, second_slope = torch.autograd.grad(
                loss, (first, second), allow_unused=True
            )
            slope = second_slope + second_slope.T
            if statistics.origin is not None:  # (f - o) slope = f slope - o slope
                first_slope = first_slope - statistics.origin @ slope
            total += loss.detach()
            slopes.append((region.mask, first_slope, slope))

        def backward(features: Tensor, gradient: Tensor) -> None:
            for mask, first, second in slopes:
                if mask is None:
                    gradient.addmm_(features, second.to(features.dtype))
                    if first is not None:
                        gradient.add_(first)
                else:
                    slope = features.float() @ second
                    slope = slope if first is None else slope.add_(first)
                    gradient.add_(slope.mul_(mask.unsqueeze(1)))

        return total, backward


def _positive_definite(covariance: Tensor) -> Tensor:
    identity = torch.eye(len(covariance), device=covariance.device)
    return covariance + COVARIANCE_EPSILON * identity


def _energy(target: Tensor) -> Tensor:
    """mean(T²), bounded away from zero for a target that is zero, as that of a black picture may
    be."""
    return target.square().mean().clamp_min(1e-12)
