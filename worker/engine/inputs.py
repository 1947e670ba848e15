"""The images of a run: checked, brought to the colours that are asked for, and to each level."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shared.footprint import Images
from shared.inputs import faults
from shared.levels import Level, Shape
from shared.parameters import Parameters
from worker.engine import color, start
from worker.engine.errors import InvalidInput
from worker.engine.objective import style_shares
from worker.engine.pyramid import resize
from worker.engine.regions import feather
from worker.engine.targets import Targets


@dataclass(frozen=True)
class Inputs:
    """The images as they were given, on the CPU: only resampled forms take the device's memory.

    `content`, `styles` and `init` are (3, H, W) RGB in [0, 1], of any size; `masks` are (H, W) in
    [0, 1]. What the parameters do not use is left out.
    """

    parameters: Parameters
    content: Tensor | None
    styles: Sequence[Tensor]
    masks: Sequence[Tensor]
    init: Tensor | None

    @classmethod
    def prepare(
        cls,
        parameters: Parameters,
        content: Tensor | None,
        styles: Sequence[Tensor],
        masks: Sequence[Tensor],
        init: Tensor | None,
    ) -> "Inputs":
        """Check the images, and bring the styles to the colours that `parameters` ask for.

        Raises:
            InvalidInput: an image, or a combination of images and parameters, cannot be used.
        """
        found = faults(
            parameters,
            content=content is not None,
            styles=len(styles),
            masks=len(masks),
            init=init is not None,
        )
        if found:
            raise InvalidInput("; ".join(fault.detail for fault in found))
        if content is not None:
            _check("content image", content, channels=(3,))
            _check_range("content image", content)
        for number, style in enumerate(styles, start=1):
            _check(f"style {number} image", style, channels=(3,))
            _check_range(f"style {number} image", style)
        for number, mask in enumerate(masks, start=1):
            _check(f"mask {number}", mask, channels=())
        if init is not None:
            _check("init image", init, channels=(3,))
        if not parameters.uses_content:
            content = None
        if not parameters.uses_styles:
            styles, masks = [], []
        content = None if content is None else content.float()
        styles = [style.float() for style in styles]
        if content is not None and parameters.color == "luminance":
            styles = [color.match_luma(style, content) for style in styles]
        elif content is not None and parameters.color == "match":
            styles = [color.match_colors(style, content) for style in styles]
        masks = [mask.float() for mask in masks]
        return cls(parameters, content, styles, masks, None if init is None else init.float())

    @property
    def content_shape(self) -> Shape | None:
        """Height and width of the content image."""
        return None if self.content is None else _shape(self.content)

    @property
    def style_shapes(self) -> list[Shape]:
        """Heights and widths of the style images."""
        return [_shape(style) for style in self.styles]

    @property
    def shapes(self) -> Images:
        """The shapes of what is painted from."""
        return Images(self.content_shape, self.style_shapes, masked=bool(self.masks))

    def targets(self, level: Level) -> Targets:
        """What the picture is compared with at `level`."""
        content = self._content_at(level)
        if content is not None and self.parameters.color == "luminance":
            content = color.gray(content)
        styles = [
            resize(style, level.style_shape(_shape(style), self.parameters))
            for style in self.styles
        ]
        masks = [self._mask_at(mask, level) for mask in self.masks]
        return Targets(content, styles, masks, level.height, level.width)

    def start(self, level: Level, generator: torch.Generator, device: torch.device) -> Tensor:
        """Where the iterate starts, at the first level: pixels of (3, H, W)."""
        shape = (level.height, level.width)
        parameters = self.parameters
        if parameters.init == "noise":
            picture = start.noise(*shape, parameters.noise, generator)
        elif parameters.init == "gray":
            picture = start.gray(*shape, generator)
        elif parameters.init == "style":
            shares = style_shares(parameters, len(self.styles))
            picture = start.style_noise(self.styles, shares, *shape, generator)
        else:
            source = self.init if parameters.init == "image" else self.content
            if source is None:
                raise AssertionError("the images were checked")
            picture = resize(source, shape)
        if parameters.color == "luminance":
            picture = color.gray(picture)
        return picture.to(device)

    def finish(self, painted: Tensor, level: Level) -> Tensor:
        """The picture as it is delivered, from pixels of (3, H, W): with the colours of the content
        if they are to be kept."""
        content = self._content_at(level)
        if content is not None and self.parameters.color == "luminance":
            painted = color.with_luma(content.to(painted.device), painted)
        return painted

    def judged(self, painted: Tensor) -> Tensor:
        """What of `painted`, pixels of (3, H, W), is delivered: its lightness where the colours are
        those of the content."""
        return color.gray(painted) if self.parameters.color == "luminance" else painted

    def _content_at(self, level: Level) -> Tensor | None:
        if self.content is None:
            return None
        return resize(self.content, (level.height, level.width))

    def _mask_at(self, mask: Tensor, level: Level) -> Tensor:
        resized = resize(mask.unsqueeze(0), (level.height, level.width)).squeeze(0)
        return feather(resized, self.parameters.mask_feather * level.size)


def _shape(image: Tensor) -> Shape:
    height, width = image.shape[-2:]
    return height, width


def _check(name: str, image: Tensor, channels: tuple[int, ...]) -> None:
    """Raise InvalidInput unless `image` is (*channels, H, W) and made of numbers."""
    fits = image.ndim == len(channels) + 2 and image.shape[:-2] == channels and image.numel() > 0
    if not fits or not image.is_floating_point():
        expected = f"({', '.join([*map(str, channels), 'H', 'W'])})"
        raise InvalidInput(
            f"the {name} should be a {expected} tensor of floats in [0, 1],"
            f" is {tuple(image.shape)} of {image.dtype}"
        )
    if not image.isfinite().all():
        raise InvalidInput(f"the {name} has values that are not numbers")


def _check_range(name: str, image: Tensor) -> None:
    """Raise InvalidInput if `image` is one of 0 to 255; a little beyond 1 is nobody's mistake."""
    greatest = image.max().item()
    if greatest > 2:
        raise InvalidInput(
            f"the {name} has values up to {greatest:g}: expected [0, 1], divide 0 to 255 by 255"
        )
