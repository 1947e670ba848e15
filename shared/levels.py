"""Coarse to fine: the sizes of the levels and their steps, planned before anything is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.errors import InvalidInput
from shared.network import smallest_side
from shared.parameters import MAX_STEPS_OF_ALL_LEVELS, Parameters

Shape = tuple[int, int]  # height and width, px


@dataclass(frozen=True)
class Level:
    """One size at which the picture is painted."""

    size: int  # long side, px
    width: int
    height: int
    steps: int  # at most

    def style_shape(self, style: Shape, parameters: Parameters) -> Shape:
        """Height and width in which a style image is looked at on this level."""
        if parameters.style_fit == "stretch":
            scale = parameters.style_scale
            return max(1, round(self.height * scale)), max(1, round(self.width * scale))
        return scaled_shape(style, round(self.size * parameters.style_scale))


def plan_levels(
    content: Shape | None, styles: Sequence[Shape], parameters: Parameters
) -> list[Level]:
    """The levels of a run, from coarse to fine; the last one has exactly `parameters.size`.

    `content` and `styles` are the shapes of the images, height first. Levels at which an image
    would be too small for the network are left out.

    Raises:
        InvalidInput: an image is too small, or too narrow, even at the full size; or there are
            more steps than anybody should wait for.
    """
    layers = {**parameters.content_layer_weights, **parameters.style_layer_weights}
    needed = smallest_side(layers)
    if not parameters.style_layer_weights:
        styles = []
    shape = content or _free_shape(styles, parameters)
    sizes = level_sizes(parameters)
    planned = [_level(shape, size) for size in sizes]
    for name, (height, width) in _images_at(planned[-1], content, styles, parameters).items():
        if min(height, width) < needed:
            raise InvalidInput(
                f"{name} would be {width} x {height} px at size {parameters.size}: the layers that"
                f" are asked for need {needed} px a side; take a larger size, a wider picture, a"
                " larger style_scale for a style, or layers that are less deep"
            )
    large_enough = [
        level
        for level in planned
        if min(map(min, _images_at(level, content, styles, parameters).values())) >= needed
    ]
    if parameters.pyramid is None or parameters.pyramid.steps is None:
        large_enough = large_enough[-parameters.steps :]
    steps = share_steps(parameters, len(large_enough))
    if sum(steps) > MAX_STEPS_OF_ALL_LEVELS:
        raise InvalidInput(
            f"pyramid.steps are {sum(steps)} in all, over {len(steps)} levels: at most"
            f" {MAX_STEPS_OF_ALL_LEVELS} are done"
        )
    return [replace(level, steps=share) for level, share in zip(large_enough, steps, strict=True)]


def level_sizes(parameters: Parameters) -> list[int]:
    """Long sides: `size` over powers of the factor, as long as `min_size` is reached."""
    sizes = [parameters.size]
    pyramid = parameters.pyramid
    while pyramid is not None:
        size = round(parameters.size / pyramid.factor ** len(sizes))
        if size < pyramid.min_size:
            break
        sizes.append(size)
    return sizes[::-1]


def share_steps(parameters: Parameters, levels: int) -> list[int]:
    """The steps of each level: as the pyramid says, or equal shares.

    What does not divide goes to the coarse levels, where steps are cheap.
    """
    if parameters.pyramid is not None and parameters.pyramid.steps is not None:
        given = parameters.pyramid.steps
        return [given[min(index, len(given) - 1)] for index in range(levels)]
    share, rest = divmod(parameters.steps, levels)
    return [share + (index < rest) for index in range(levels)]


def scaled_shape(shape: Shape, size: int) -> Shape:
    """`shape` when its long side is `size`."""
    height, width = shape
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _level(shape: Shape, size: int) -> Level:
    height, width = scaled_shape(shape, size)
    return Level(size, width, height, steps=1)


def _free_shape(styles: Sequence[Shape], parameters: Parameters) -> Shape:
    """The shape of a picture without content image."""
    if parameters.aspect_ratio is not None:
        return round(10_000 / parameters.aspect_ratio), 10_000
    return styles[0]


def _images_at(
    level: Level, content: Shape | None, styles: Sequence[Shape], parameters: Parameters
) -> Mapping[str, Shape]:
    """The shapes of all images at a level, by what a user calls them."""
    name = "the picture" if content is None else "the content image"
    shapes = {name: (level.height, level.width)}
    for number, style in enumerate(styles, start=1):
        shapes[f"style image {number}"] = level.style_shape(style, parameters)
    return shapes
