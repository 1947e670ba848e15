"""The units in which an optimiser sees the picture."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.weights import MEAN, OXFORD_MEAN_RGB, STD


@dataclass(frozen=True)
class Space:
    """An affine map for each colour: pixels in [0, 1] = scale · variable + shift."""

    scale: Tensor  # (3, 1, 1)
    shift: Tensor  # (3, 1, 1)

    @classmethod
    def named(cls, name: str, device: torch.device) -> "Space":
        """`pixels`: as they are. `normalized`: as the network gets them. `bytes`: 0 to 255, minus
        the mean colour of the original network (neural-style)."""
        scale, shift = {
            "pixels": ((1.0,) * 3, (0.0,) * 3),
            "normalized": (STD, MEAN),
            "bytes": ((1 / 255,) * 3, tuple(mean / 255 for mean in OXFORD_MEAN_RGB)),
        }[name]
        return cls(*(torch.tensor(row, device=device).view(3, 1, 1) for row in (scale, shift)))

    def to_pixels(self, variable: Tensor) -> Tensor:
        """The picture, (3, H, W); in [0, 1] where the variable is within `bounds`."""
        return variable * self.scale + self.shift

    def from_pixels(self, picture: Tensor) -> Tensor:
        """The variable that stands for `picture`, (3, H, W)."""
        return (picture - self.shift) / self.scale

    def gradient(self, by_pixels: Tensor) -> Tensor:
        """Turn a gradient by the pixels into one by the variable; both (3, H, W)."""
        return by_pixels * self.scale

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Black and white, (3, 1, 1) each."""
        return self.from_pixels(torch.zeros_like(self.shift)), self.from_pixels(
            torch.ones_like(self.shift)
        )
