"""Pooling over 2 x 2 positions, and the way back: maximum, average, or L2 norm.

Gatys et al. 2016 found that the average gives slightly more appealing results than the maximum, on
which VGG-19 was trained.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# What keeps the mean activation about as large as after a maximum (crowsonkb).
KEEPING_SCALE = {"max": 1.0, "average": 2.0, "l2": 0.78}


class Pooled(NamedTuple):
    """What became of x, (1, C, H, W)."""

    features: Tensor  # (1, C, H/2, W/2)
    origin: Tensor  # x, or where each maximum was found in it
    shape: torch.Size  # (H, W)


@dataclass(frozen=True)
class Pooling:
    """One kind of pooling; (1, C, H, W) -> (1, C, H/2, W/2), an odd row or column is left out."""

    kind: str
    scale: float

    @classmethod
    def named(cls, kind: str, *, rescale: bool) -> "Pooling":
        """`max`, `average` or `l2`; with `rescale` the activations keep their scale."""
        return cls(kind, KEEPING_SCALE[kind] if rescale else 1.0)

    def forward(self, x: Tensor) -> Pooled:
        """Pool `x`."""
        shape = x.shape[-2:]
        if self.kind == "max" and x.dtype == torch.float32:
            return Pooled(*F.max_pool2d(x, 2, return_indices=True), shape)
        if self.kind == "max":
            return Pooled(F.max_pool2d(x, 2), x, shape)
        if self.kind == "average":
            return Pooled(F.avg_pool2d(x, 2).mul_(self.scale), x, shape)
        return Pooled(_norms(x).mul_(self.scale).to(x.dtype), x, shape)

    def backward(self, gradient: Tensor, pooled: Pooled) -> Tensor:
        """From the gradient by the features of `pooled` to that by what was pooled."""
        origin = pooled.origin
        if self.kind == "max" and origin.dtype == torch.int64:
            return F.max_unpool2d(gradient, origin, [2, 2], output_size=pooled.shape)
        if self.kind == "max":
            return _shared(gradient, pooled)
        if self.kind == "average":
            return _spread(gradient * self.scale, origin)
        # d|x| / dx = x / |x|, and nothing where the norm is zero
        norms = _norms(origin)
        slope = torch.where(norms > 0, 4 * self.scale * gradient.float() / norms, 0.0)
        return (_spread(slope, origin.float()) * origin).to(origin.dtype)


def _shared(gradient: Tensor, pooled: Pooled) -> Tensor:
    """The way back of a maximum, in equal shares to all that are as large.

    In bfloat16 these are often several: with so few digits it cannot be told which was the largest.
    """
    _, channels, height, width = pooled.features.shape

    def over_windows(x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).view(height, 1, width, 1, channels)

    x = pooled.origin[..., : 2 * height, : 2 * width].permute(0, 2, 3, 1)
    windows = torch.unflatten(torch.unflatten(x.squeeze(0), 1, (width, 2)), 0, (height, 2))
    found = (windows - over_windows(pooled.features)).eq_(0)  # 1 where a maximum is
    shares = found.view(1, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
    found *= over_windows(gradient / F.avg_pool2d(shares, 2).mul_(4))
    odd = (0, pooled.shape[1] - 2 * width, 0, pooled.shape[0] - 2 * height)
    return F.pad(shares, odd) if any(odd) else shares


def _norms(x: Tensor) -> Tensor:
    return F.avg_pool2d(x.float().square(), 2).mul_(4).sqrt_()


def _spread(gradient: Tensor, x: Tensor) -> Tensor:
    """The way back of an average: a quarter for each of the four."""
    spread: Tensor = torch.ops.aten.avg_pool2d_backward(
        gradient, x, [2, 2], [2, 2], [0, 0], False, True, None
    )
    return spread
