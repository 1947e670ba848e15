"""Masks: which style applies where."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def feather(mask: Tensor, width_px: float) -> Tensor:
    """`mask`, (H, W) in [0, 1], with borders blurred over about `width_px` pixels."""
    sigma = width_px / 4  # a blurred step rises from 2 % to 98 % within four deviations
    if sigma < 0.25:
        return mask
    radius = math.ceil(3 * sigma)
    distance = torch.arange(-radius, radius + 1, device=mask.device, dtype=mask.dtype)
    kernel = torch.exp(-(distance**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    blurred = mask.view(1, 1, *mask.shape)
    for _ in range(2):  # along the rows, then, turned, along the columns
        padded = F.pad(blurred, (radius, radius, 0, 0), mode="replicate")
        blurred = F.conv2d(padded, kernel).transpose(2, 3)
    return blurred[0, 0]


def at_layer(mask: Tensor, height: int, width: int) -> Tensor:
    """`mask` as weights of the positions of a layer, (H, W) -> (height width,)."""
    return F.adaptive_avg_pool2d(mask.view(1, 1, *mask.shape), (height, width)).flatten()
