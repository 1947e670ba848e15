"""Colours: kept from the photograph, or taken from the painting.

Gatys, Bethge, Hertzmann, Shechtman: Preserving Color in Neural Artistic Style Transfer (2016).
"""

import torch
from torch import Tensor

# Weights of red, green and blue in the luma of YIQ, which the paper works in.
LUMA = (0.299, 0.587, 0.114)
# Added to the variance of each colour, so that a picture of one colour has a square root.
VARIANCE_EPSILON = 1e-5


def luma(picture: Tensor) -> Tensor:
    """Lightness of (3, H, W), as (1, H, W)."""
    weights = torch.tensor(LUMA, device=picture.device).view(3, 1, 1)
    return (picture * weights).sum(0, keepdim=True)


def gray(picture: Tensor) -> Tensor:
    """The same picture without colours, (3, H, W)."""
    return luma(picture).expand(3, -1, -1)


def match_luma(style: Tensor, content: Tensor) -> Tensor:
    """The style without colours, with the mean and the deviation of the content's lightness.

    Section 3.2 of the paper. (3, H, W) in [0, 1], as both pictures.
    """
    theirs, ours = luma(style), luma(content)
    scale = ours.std() / theirs.std().clamp_min(VARIANCE_EPSILON**0.5)
    return ((theirs - theirs.mean()) * scale + ours.mean()).clamp(0, 1).expand(3, -1, -1)


def with_luma(content: Tensor, painted: Tensor) -> Tensor:
    """The colours of `content` with the lightness of `painted`, (3, H, W) each.

    To add the same to red, green and blue changes the luma and nothing else of YIQ.
    """
    return content + (luma(painted) - luma(content))


def match_colors(style: Tensor, content: Tensor) -> Tensor:
    """`style` with the mean and the covariance of the colours of `content`, clamped to [0, 1].

    x ↦ A (x - μ) + μ' with A = Σ^-½ (Σ^½ Σ' Σ^½)^½ Σ^-½, the linear map that moves the colours
    least. Section 3.1 of the paper; there with other roots of the same condition.
    """
    mean, covariance = color_statistics(style)
    wanted_mean, wanted_covariance = color_statistics(content)
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    transform = inverse @ _power(root @ wanted_covariance @ root, 0.5) @ inverse
    colors = style.flatten(1).double() - mean.unsqueeze(1)
    matched = transform @ colors + wanted_mean.unsqueeze(1)
    return matched.clamp_(0, 1).to(style).view_as(style)


def color_statistics(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, (3,), and covariance, (3, 3), of the colours of (3, H, W), in float64."""
    colors = picture.flatten(1).double()
    covariance = torch.cov(colors, correction=0) + VARIANCE_EPSILON * torch.eye(3).to(colors)
    return colors.mean(1), covariance


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    powers: Tensor = vectors @ torch.diag(values.clamp_min(1e-12) ** exponent) @ vectors.T
    return powers
