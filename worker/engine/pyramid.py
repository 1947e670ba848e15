"""Coarse to fine: the levels of a run, and the resampling between them."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from shared import levels
from shared.errors import InvalidInput as InvalidRequestedInput
from shared.levels import Level, Shape
from shared.parameters import Parameters
from worker.engine.errors import InvalidInput


def plan_levels(
    content: Shape | None, styles: Sequence[Shape], parameters: Parameters
) -> list[Level]:
    """As `shared.levels.plan_levels`, which the API uses too.

    Raises:
        InvalidInput: an image is too small, or too narrow, even at the full size.
    """
    try:
        return levels.plan_levels(content, styles, parameters)
    except InvalidRequestedInput as error:
        raise InvalidInput(str(error)) from None


def resize(image: Tensor, shape: Shape) -> Tensor:
    """Resample (C, H, W) in [0, 1] to (C, *shape): bicubic, with antialiasing where it shrinks.

    An image that has the shape already is returned as it is.
    """
    if image.shape[-2:] == shape:
        return image
    shrinks = shape[0] < image.shape[-2] or shape[1] < image.shape[-1]
    resized = F.interpolate(
        image.unsqueeze(0), shape, mode="bicubic", align_corners=False, antialias=shrinks
    )
    return resized.squeeze(0).clamp_(0, 1)
