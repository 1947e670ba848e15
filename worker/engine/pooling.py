"""Pooling over 2 x 2 positions, and the way back: maximum, average, or L2 norm.

Gatys et al. 2016 found that the average gives slightly more appealing results than the maximum, on
which VGG-19 was trained.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# What keeps the mean activation about as large as after a maximum (crowsonkb).
KEEPING_SCALE = {"max": 1.0, "average": 2.0, "l2": 0.78}


@dataclass(frozen=True)
class Pooling:
    """One kind of pooling; (1, C, H, W) -> (1, C, H/2, W/2), an odd row or column is left out."""

    kind: str
    scale: float

    @classmethod
    def named(cls, kind: str, *, rescale: bool) -> "Pooling":
        """`max`, `average` or `l2`; with `rescale` the activations keep their scale."""
        return cls(kind, KEEPING_SCALE[kind] if rescale else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """The pooled features."""
        if self.kind == "max":
            return F.max_pool2d(x, 2)
        if self.kind == "average":
            return F.avg_pool2d(x, 2).mul_(self.scale)
        return _norms(x).mul_(self.scale).to(x.dtype)

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """From the gradient by the pooled features to that by `x`, what was pooled."""
        if self.kind == "max":
            _, indices = F.max_pool2d(x, 2, return_indices=True)
            unpooled: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
                gradient, x, [2, 2], [2, 2], [0, 0], [1, 1], False, indices
            )
            return unpooled
        if self.kind == "average":
            return _spread(gradient * self.scale, x)
        # d|x| / dx = x / |x|, and nothing where the norm is zero
        norms = _norms(x)
        slope = torch.where(norms > 0, 4 * self.scale * gradient.float() / norms, 0.0)
        return (_spread(slope, x.float()) * x).to(x.dtype)


def _norms(x: Tensor) -> Tensor:
    return F.avg_pool2d(x.float().square(), 2).mul_(4).sqrt_()


def _spread(gradient: Tensor, x: Tensor) -> Tensor:
    """The way back of an average: a quarter for each of the four."""
    spread: Tensor = torch.ops.aten.avg_pool2d_backward(
        gradient, x, [2, 2], [2, 2], [0, 0], False, True, None
    )
    return spread
