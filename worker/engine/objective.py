"""What is minimised: content, style and total variation losses of a picture, and their gradient."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from shared.network import shape_at
from shared.parameters import Parameters
from worker.engine.losses import (
    DISTANCES,
    Backward,
    ContentLoss,
    Region,
    Statistics,
    StyleLoss,
)
from worker.engine.regions import at_layer
from worker.engine.space import Space
from worker.engine.targets import Targets, content_features, style_statistics
from worker.engine.total_variation import TOTAL_VARIATIONS, with_gradient
from worker.engine.vgg import VGG19, Architecture, Network

Loss = Callable[[Tensor], tuple[Tensor, Backward]]


@dataclass(frozen=True)
class Losses:
    """Losses as they enter the total, with their weights.

    `layers` has one entry for each loss at a layer, such as `style/relu3_1`; together with `tv`
    they add up to `total`.
    """

    content: float
    style: float
    tv: float
    total: float
    layers: Mapping[str, float]

    @property
    def is_finite(self) -> bool:
        """Whether they are numbers: a run that has just diverged mends itself some steps later."""
        return isfinite(self.total)


@dataclass(frozen=True)
class Term:
    """One loss at one layer."""

    kind: str  # content or style
    layer: str
    loss: Loss


@dataclass(frozen=True)
class LossValues:
    """The losses at one picture, still on the device."""

    names: tuple[str, ...]
    values: Tensor  # one for each name

    @property
    def total(self) -> Tensor:
        """Their sum, still on the device."""
        return self.values.sum()

    def read(self) -> Losses:
        """Wait for the device, and add the values up."""
        values = dict(zip(self.names, self.values.tolist(), strict=True))
        tv = values.pop("tv")
        content = sum(value for name, value in values.items() if name.startswith("content/"))
        style = sum(value for name, value in values.items() if name.startswith("style/"))
        return Losses(content, style, tv, content + style + tv, values)


class Objective:
    """L(x) = Σ content losses + Σ style losses + tv_weight TV(x), for pictures of one size."""

    def __init__(
        self,
        network: Network,
        terms: Sequence[Term],
        space: Space,
        variation: Callable[[Tensor], Tensor],
        tv_weight: float,
    ) -> None:
        self._network = network
        self._terms: dict[str, list[Term]] = defaultdict(list)
        for term in terms:
            self._terms[term.layer].append(term)
        self._space = space
        self._variation = variation
        self._tv_weight = tv_weight

    @torch.no_grad()
    def __call__(self, variable: Tensor) -> tuple[LossValues, Tensor]:
        """Losses at `variable`, a picture of (3, H, W) in units of the space, and the gradient of
        their sum by it."""
        values: dict[str, Tensor] = {}
        ways_back: dict[str, list[Backward]] = {}

        def read(layer: str, features: Tensor) -> None:
            ways_back[layer] = []
            for term in self._terms[layer]:
                value, backward = term.loss(features)
                values[f"{term.kind}/{layer}"] = value
                ways_back[layer].append(backward)

        def inject(layer: str, features: Tensor, gradient: Tensor) -> None:
            for backward in ways_back.pop(layer):
                backward(features, gradient)

        blocks = self._network.forward(self._space.to_pixels(variable), read)
        gradient = self._space.gradient(self._network.backward(blocks, inject))
        values["tv"] = variable.new_zeros(())
        if self._tv_weight:
            variation, slope = with_gradient(self._variation, variable)
            values["tv"] = self._tv_weight * variation
            gradient.add_(slope, alpha=self._tv_weight)
        return _stacked(values), gradient

    @torch.no_grad()
    def losses(self, variable: Tensor) -> LossValues:
        """The losses alone, without the way back."""
        values: dict[str, Tensor] = {}

        def read(layer: str, features: Tensor) -> None:
            for term in self._terms[layer]:
                values[f"{term.kind}/{layer}"], _ = term.loss(features)

        self._network.forward(self._space.to_pixels(variable), read)
        values["tv"] = self._tv_weight * self._variation(variable)
        return _stacked(values)


def build_objective(
    vgg: VGG19,
    targets: Targets,
    parameters: Parameters,
    dtype: torch.dtype,
    *,
    recompute: bool = False,
) -> Objective:
    """The objective for `targets`, which the network is shown here, unless it knows them.

    `recompute` as in `VGG19.network`.
    """
    content_weights = parameters.content_layer_weights
    style_weights = parameters.style_layer_weights
    terms: list[Term] = []
    if content_weights and targets.content is not None:
        features = content_features(vgg, targets.content, parameters, dtype)
        for layer, weight in content_weights.items():
            content_loss = ContentLoss(features[layer], weight, relative=parameters.relative)
            terms.append(Term("content", layer, content_loss))
    if style_weights:
        found = [style_statistics(vgg, style, parameters, dtype) for style in targets.styles]
        for layer, weight in style_weights.items():
            styles = [statistics[layer] for statistics in found]
            style_loss = StyleLoss(_regions(styles, layer, weight, targets, parameters))
            terms.append(Term("style", layer, style_loss))
    layers = {**content_weights, **style_weights}
    return Objective(
        vgg.network(layers, dtype, Architecture.of(parameters), recompute=recompute),
        terms,
        Space.named(parameters.space, vgg.device),
        TOTAL_VARIATIONS[parameters.tv_loss],
        parameters.tv_weight,
    )


def style_shares(parameters: Parameters, styles: int) -> list[float]:
    """The share of each style; they add up to 1."""
    weights = parameters.style_weights or [1.0] * styles
    return [weight / sum(weights) for weight in weights]


def _regions(
    styles: Sequence[Statistics],
    layer: str,
    weight: float,
    targets: Targets,
    parameters: Parameters,
) -> list[Region]:
    """One region with all styles mixed, or one for each style that has a mask.

    A region counts by its area, so that each of its pixels is drawn as strongly as without masks.
    """
    distance = DISTANCES[parameters.style_loss].of
    shares = style_shares(parameters, len(styles))
    height, width = shape_at(layer, targets.height, targets.width)
    if parameters.style_divisor == "chw":
        weight /= len(styles[0].second) * height * width
    if not targets.masks:
        mixture = list(zip(shares, styles, strict=True))
        return [Region(distance(mixture, parameters), weight)]
    regions = []
    for style, share, mask in zip(styles, shares, targets.masks, strict=True):
        at_positions = at_layer(mask, height, width)
        area = at_positions.mean().item()
        at_positions = at_positions.to(style.second.device)
        if area > 0 and share > 0:
            importance = weight * area * share * len(styles)
            regions.append(Region(distance([(1.0, style)], parameters), importance, at_positions))
    return regions


def _stacked(values: Mapping[str, Tensor]) -> LossValues:
    return LossValues(tuple(values), torch.stack(list(values.values())))
