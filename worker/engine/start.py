"""Where the iterate starts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from shared.parameters import Noise
from worker.engine.color import color_statistics
from worker.engine.weights import MEAN, STD

# Deviation of the noise on a gray start, as in crowsonkb/style-transfer-pytorch: with no noise at
# all, many ReLUs would be off everywhere and nothing could start.
GRAY_NOISE = 1 / 255


def noise(height: int, width: int, kind: Noise, generator: torch.Generator) -> Tensor:
    """Normal noise as pixels, (3, height, width), around black or around the mean colour."""
    values = kind.scale * torch.randn(3, height, width, generator=generator)
    if kind.space == "pixels":
        return values
    return values * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)


def gray(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Mid-gray with a trace of noise, (3, height, width)."""
    return 0.5 + GRAY_NOISE * torch.rand(3, height, width, generator=generator)


def style_noise(
    styles: Sequence[Tensor],
    shares: Sequence[float],
    height: int,
    width: int,
    generator: torch.Generator,
) -> Tensor:
    """Normal noise with the mean and covariance of the colours of `styles`, (3, height, width)."""
    statistics = [color_statistics(style.cpu()) for style in styles]
    mean = sum(share * mean for share, (mean, _) in zip(shares, statistics, strict=True))
    covariance = sum(share * cov for share, (_, cov) in zip(shares, statistics, strict=True))
    values = torch.randn(3, height * width, generator=generator, dtype=torch.float64)
    colored: Tensor = torch.linalg.cholesky(covariance) @ values + torch.as_tensor(mean).unsqueeze(
        1
    )
    return colored.float().view(3, height, width)
