"""What a picture is compared with: features of the content image, statistics of the styles.

They are functions of an image, as the network is given it, and of how the network looks at it; of
nothing else. So they are looked up first among those that the network still has from earlier runs:
a service paints in the same style again and again, and one photograph in many styles.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

import torch
from torch import Tensor

from shared.parameters import Parameters
from worker.engine.losses import DISTANCES, Statistics, collect
from worker.engine.vgg import VGG19, Architecture

T = TypeVar("T", Tensor, Statistics)


@dataclass(frozen=True)
class Targets:
    """The images that a picture is compared with, at the size at which it is: (3, H, W) on the
    CPU."""

    content: Tensor | None
    styles: Sequence[Tensor]
    masks: Sequence[Tensor]  # (H, W) in [0, 1], one for each style, or none at all
    height: int  # of the picture that is painted, px
    width: int


@dataclass(frozen=True)
class _Key:
    """All that a target is a function of, apart from the weights: a cache belongs to a network."""

    image: bytes  # of the very pixels, so that nothing done to them before can be forgotten
    layer: str
    architecture: Architecture
    dtype: torch.dtype
    kind: str


def content_features(
    vgg: VGG19, content: Tensor, parameters: Parameters, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The features P of `content`, (3, H, W) in [0, 1], at each content layer: (positions, C) of
    type `dtype`. They are shared: not to be changed."""
    layers = parameters.content_layer_weights
    # A copy, since the network goes on in the same memory
    return _measure(vgg, content, layers, parameters, dtype, "features", Tensor.clone)


def style_statistics(
    vgg: VGG19, style: Tensor, parameters: Parameters, dtype: torch.dtype
) -> dict[str, Statistics]:
    """Statistics of `style`, (3, H, W) in [0, 1], at each style layer, as the distance of styles
    wants them, from activations of type `dtype`. They are shared: not to be changed."""
    layers = parameters.style_layer_weights
    centered = DISTANCES[parameters.style_loss].centered

    def collected(features: Tensor) -> Statistics:
        return collect(features, centered=centered)

    kind = "centered statistics" if centered else "statistics"
    return _measure(vgg, style, layers, parameters, dtype, kind, collected)


def _measure(
    vgg: VGG19,
    image: Tensor,
    layers: Iterable[str],
    parameters: Parameters,
    dtype: torch.dtype,
    kind: str,
    measure: Callable[[Tensor], T],
) -> dict[str, T]:
    """What `measure` makes of the features of `image` at each of `layers`; `kind` names it.

    The network goes no deeper than to the last layer that is not known yet, or not at all.
    """
    digest = _digest(image)
    architecture = Architecture.of(parameters)
    keys = {layer: _Key(digest, layer, architecture, dtype, kind) for layer in layers}
    known = {layer: vgg.targets.get(key) for layer, key in keys.items()}
    found: dict[str, T] = {layer: target for layer, target in known.items() if target is not None}

    def note(layer: str, features: Tensor) -> None:
        found[layer] = measure(features)
        vgg.targets.add(keys[layer], found[layer])

    missing = keys.keys() - found.keys()
    if missing:
        # There is no way back from the targets: nothing is computed again, and no memory is taken
        network = vgg.network(missing, dtype, architecture, recompute=True)
        network.forward(image.to(vgg.device), note)
    return found


def _digest(image: Tensor) -> bytes:
    """A hash of the pixels of `image`, on the CPU, and of its shape."""
    digest = blake2b(repr(tuple(image.shape)).encode())
    digest.update(image.contiguous().numpy().data)
    return digest.digest()
