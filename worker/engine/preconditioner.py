"""How much further a step goes for coarse forms than for fine ones, before anything is known."""

import torch
from torch import Tensor


class Preconditioner:
    """P v = F⁻¹ f^-exponent F v: a symmetric, positive map of pictures, in Fourier space.

    f is the spatial frequency over half a cycle per pixel; below one cycle over the long side all
    are alike. The borders are joined, left to right and top to bottom: P only guides the steps.
    """

    def __init__(self, picture: Tensor, exponent: float) -> None:
        """For pictures of the size, type and device of `picture`, (3, H, W)."""
        self._shape = picture.shape[-2:]
        self._gains = _gains(picture, exponent)

    def __call__(self, pictures: Tensor) -> Tensor:
        """P of each of `pictures`, (..., 3 H W)."""
        waves = torch.fft.rfft2(pictures.reshape(*pictures.shape[:-1], 3, *self._shape))
        result: Tensor = torch.fft.irfft2(waves.mul_(self._gains), s=self._shape)
        return result.reshape(pictures.shape)


def _gains(picture: Tensor, exponent: float) -> Tensor:
    """f^-exponent for the real Fourier transform of `picture`, (H, W // 2 + 1)."""
    height, width = picture.shape[-2:]
    kind = {"device": picture.device, "dtype": picture.dtype}
    down = torch.fft.fftfreq(height, **kind)
    across = torch.fft.rfftfreq(width, **kind)
    frequency = torch.hypot(down.unsqueeze(1), across).clamp_min(1 / max(height, width))
    return (2 * frequency) ** -exponent
