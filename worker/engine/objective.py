"""What is minimised: content, style and total variation losses of a picture, and their gradient."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shared.parameters import Parameters
from worker.engine.losses import (
    Backward,
    ContentLoss,
    StyleLoss,
    gram_matrix,
    total_variation,
)
from worker.engine.vgg import VGG19, Features, Network

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

    def read(self) -> Losses:
        """Wait for the device, and add the values up."""
        values = dict(zip(self.names, self.values.tolist(), strict=True))
        tv = values.pop("tv")
        content = sum(value for name, value in values.items() if name.startswith("content/"))
        style = sum(value for name, value in values.items() if name.startswith("style/"))
        return Losses(content, style, tv, content + style + tv, values)


class Objective:
    """L(x) = Σ content losses + Σ style losses + tv_weight TV(x), for pictures of one size."""

    def __init__(self, network: Network, terms: Sequence[Term], tv_weight: float) -> None:
        self._network = network
        self._terms = terms
        self._tv_weight = tv_weight
        self._names = (*(f"{term.kind}/{term.layer}" for term in terms), "tv")

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> tuple[LossValues, Tensor]:
        """Losses at `picture`, (3, H, W) in [0, 1], and the gradient of their sum, (3, H, W)."""
        features = self._network.forward(picture)
        values, backwards = self._evaluate(features)

        def inject(layer: str, gradient: Tensor) -> None:
            for backward in backwards[layer]:
                backward(gradient)

        gradient = self._network.backward(features, inject)
        if self._tv_weight:
            value, tv_gradient = total_variation(picture)
            values.append(self._tv_weight * value)
            gradient.add_(tv_gradient, alpha=self._tv_weight)
        else:
            values.append(torch.zeros((), device=picture.device))
        return LossValues(self._names, torch.stack(values)), gradient

    @torch.no_grad()
    def losses(self, picture: Tensor) -> LossValues:
        """The losses alone, without the way back."""
        values, _ = self._evaluate(self._network.forward(picture))
        values.append(self._tv_weight * total_variation(picture)[0])
        return LossValues(self._names, torch.stack(values))

    def _evaluate(self, features: Features) -> tuple[list[Tensor], dict[str, list[Backward]]]:
        """Value of each term, and for each layer the ways back of its terms."""
        values = []
        backwards: dict[str, list[Backward]] = defaultdict(list)
        for term in self._terms:
            value, backward = term.loss(features.layers[term.layer])
            values.append(value)
            backwards[term.layer].append(backward)
        return values, backwards


def build_objective(
    vgg: VGG19,
    content: Tensor,
    styles: Sequence[Tensor],
    parameters: Parameters,
    dtype: torch.dtype,
) -> Objective:
    """The objective for `content` and `styles`, (3, H, W) in [0, 1] at the sizes to be compared at.

    The targets are computed here, once.
    """
    content_weights = _positive(parameters.content_layers, parameters.content_weight)
    style_weights = _positive(parameters.style_layers, parameters.style_weight)
    terms: list[Term] = []
    if content_weights:
        features = vgg.network(content_weights, dtype).forward(content).layers
        terms += (
            Term(
                "content", layer, ContentLoss(features[layer], weight, relative=parameters.relative)
            )
            for layer, weight in content_weights.items()
        )
    if style_weights:
        grams = blend_grams(
            vgg.network(style_weights, dtype),
            styles,
            parameters.style_weights,
            parameters.gram_divisor,
        )
        terms += (
            Term(
                "style",
                layer,
                StyleLoss(
                    grams[layer],
                    weight,
                    divisor=parameters.gram_divisor,
                    relative=parameters.relative,
                ),
            )
            for layer, weight in style_weights.items()
        )
    network = vgg.network((term.layer for term in terms), dtype)
    return Objective(network, terms, parameters.tv_weight)


def blend_grams(
    network: Network, styles: Sequence[Tensor], shares: Sequence[float] | None, divisor: str
) -> dict[str, Tensor]:
    """Σ share_i G(style_i) for each layer that `network` reads; the shares are brought to sum 1."""
    shares = shares or [1.0] * len(styles)
    blended: dict[str, Tensor] = {}
    for style, share in zip(styles, shares, strict=True):
        for layer, features in network.forward(style).layers.items():
            gram = gram_matrix(features, divisor) * (share / sum(shares))
            blended[layer] = blended[layer] + gram if layer in blended else gram
    return blended


def _positive(layers: Mapping[str, float], weight: float) -> dict[str, float]:
    """The layers that count, each with its weight in the total."""
    return {layer: weight * share for layer, share in layers.items() if weight * share > 0}
