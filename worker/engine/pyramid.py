"""Coarse to fine: the sizes of the levels, their steps, and the resampling between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.parameters import Parameters
from worker.engine.errors import InvalidInput
from worker.engine.vgg import smallest_side


@dataclass(frozen=True)
class Level:
    """One size at which the picture is painted."""

    size: int  # long side of content and styles, px
    width: int
    height: int
    steps: int


def plan_levels(content: Tensor, styles: Sequence[Tensor], parameters: Parameters) -> list[Level]:
    """The levels of a run, from coarse to fine; the last one has exactly `parameters.size`.

    Levels at which an image would be too small for the network are left out.

    Raises:
        InvalidInput: an image is too small, or too narrow, even at the full size.
    """
    needed = smallest_side([*parameters.content_layers, *parameters.style_layers])
    images = [("the content image", content)]
    images += [(f"style image {number}", style) for number, style in enumerate(styles, start=1)]
    for name, image in images:
        height, width = scaled_shape(image, parameters.size)
        if min(height, width) < needed:
            raise InvalidInput(
                f"{name} would be {width} x {height} px at size {parameters.size}: the layers that"
                f" are asked for need {needed} px a side; take a larger size or a wider picture"
            )
    sizes = [
        size
        for size in level_sizes(parameters)
        if all(min(scaled_shape(image, size)) >= needed for _, image in images)
    ][-parameters.steps :]
    levels = []
    for size, steps in zip(sizes, share_steps(parameters.steps, len(sizes)), strict=True):
        height, width = scaled_shape(content, size)
        levels.append(Level(size, width, height, steps))
    return levels


def level_sizes(parameters: Parameters) -> list[int]:
    """Long sides: min_size factorᵏ as long as there is half a factor left to `size`, then
    `size`."""
    sizes = []
    if parameters.pyramid is not None:
        size = float(parameters.pyramid.min_size)
        while size * parameters.pyramid.factor**0.5 <= parameters.size:
            sizes.append(round(size))
            size *= parameters.pyramid.factor
    return [*sizes, parameters.size]


def share_steps(steps: int, levels: int) -> list[int]:
    """Equal shares; what does not divide goes to the coarse levels, where steps are cheap."""
    share, rest = divmod(steps, levels)
    return [share + (index < rest) for index in range(levels)]


def scaled_shape(image: Tensor, size: int) -> tuple[int, int]:
    """Height and width of `image`, (3, H, W), when its long side is `size`."""
    height, width = image.shape[-2:]
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resample(image: Tensor, size: int) -> Tensor:
    """`image` with a long side of `size`; the image itself where it has that size already."""
    return resize(image, *scaled_shape(image, size))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resample (C, H, W) in [0, 1]: bicubic, with antialiasing where it shrinks."""
    if image.shape[-2:] == (height, width):
        return image
    resized = F.interpolate(
        image.unsqueeze(0), (height, width), mode="bicubic", align_corners=False, antialias=True
    )
    return resized.squeeze(0).clamp_(0, 1)


def noise(height: int, width: int, generator: torch.Generator) -> Tensor:
    """A picture of uniform noise, (3, height, width) in [0, 1]."""
    return torch.rand(3, height, width, generator=generator)
