"""Colours that must survive: those of a colourful photograph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.worker.engine.conftest import paint_style, pixels, psnr, small
from worker.engine import VGG19, Stylization
from worker.engine.color import (
    color_statistics,
    gray,
    luma,
    match_colors,
    match_luma,
    with_luma,
)

SAMPLES = Path(__file__).resolve().parents[3] / "samples"

# NTSC, as Gatys et al. (2016) use it.
YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def chroma(picture: Tensor) -> Tensor:
    """I and Q of (3, H, W), (2, H, W)."""
    return torch.einsum("ij,jhw->ihw", YIQ[1:], picture)


def mean_color(picture: Tensor) -> Tensor:
    return picture.mean((1, 2))


@pytest.fixture(scope="module")
def harbor() -> Tensor:
    """The sample photograph of a harbour in the evening, (3, 48, 64)."""
    with Image.open(SAMPLES / "harbor.jpg") as file:
        values = np.asarray(file.convert("RGB").resize((64, 48), Image.Resampling.LANCZOS))
    return torch.from_numpy(values.copy()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def red() -> Tensor:
    """A painting in one strong colour that the photograph does not have, (3, 48, 64)."""
    tint = torch.tensor([1.0, 0.3, 0.35]).view(3, 1, 1)
    return paint_style(48, 64).mean(0, keepdim=True) * tint


def paint(vgg: VGG19, content: Tensor, style: Tensor, color: str) -> Tensor:
    """A short run with a strong style, (3, H, W) in [0, 1]."""
    parameters = small(color=color, steps=16, style_weight=20.0)
    run = Stylization(vgg, content, [style], parameters)
    for _ in run:
        pass
    return pixels(run.picture())


@pytest.fixture(scope="module")
def painted(vgg: VGG19, harbor: Tensor, red: Tensor) -> dict[str, Tensor]:
    return {color: paint(vgg, harbor, red, color) for color in ("style", "luminance", "match")}


def test_luminance_keeps_the_chroma_of_the_photograph_and_paints_its_lightness(
    painted: dict[str, Tensor], harbor: Tensor
) -> None:
    picture = painted["luminance"]
    clipped = ((picture < 0.002) | (picture > 0.998)).any(0)
    assert clipped.float().mean() < 0.3
    # Rounding to bytes moves a colour by half of one, and its chroma by as much
    difference = (chroma(picture) - chroma(harbor)).abs()[:, ~clipped]
    assert difference.max() < 1.2 / 255
    assert (luma(picture) - luma(harbor)).abs().mean() > 0.02


def test_luminance_keeps_the_chroma_that_the_style_would_have_changed(
    painted: dict[str, Tensor], harbor: Tensor
) -> None:
    changed = (chroma(painted["style"]) - chroma(harbor)).abs().mean()
    kept = (chroma(painted["luminance"]) - chroma(harbor)).abs().mean()
    assert changed > 0.03
    assert kept < changed / 5


def test_luminance_does_not_see_the_colours_of_the_style(vgg: VGG19, harbor: Tensor) -> None:
    """The same painting in other colours of the same lightness gives the same picture."""
    style = 0.3 + 0.4 * paint_style(48, 64)
    tinted = gray(style) + 0.1 * torch.tensor([1.0, -0.509, 0.0]).view(3, 1, 1)
    torch.testing.assert_close(luma(tinted), luma(style), atol=1e-4, rtol=0)
    one, other = (paint(vgg, harbor, image, "luminance") for image in (style, tinted))
    assert psnr(one, other) > 40


def test_match_keeps_the_mean_colour_of_the_photograph(
    painted: dict[str, Tensor], harbor: Tensor, red: Tensor
) -> None:
    picture = painted["match"]
    ours = (mean_color(picture) - mean_color(harbor)).norm()
    theirs = (mean_color(picture) - mean_color(red)).norm()
    assert ours < 0.06
    assert theirs > 4 * ours
    # without it, the colours are those of the style
    drifted = (mean_color(painted["style"]) - mean_color(harbor)).norm()
    assert drifted > 2 * ours


def test_a_matched_style_has_the_mean_and_the_covariance_of_the_photograph(
    harbor: Tensor,
) -> None:
    content = 0.3 + 0.4 * harbor  # so that nothing has to be clipped
    matched = match_colors(paint_style(56, 50), content)
    assert matched.shape == (3, 56, 50)
    mean, covariance = color_statistics(matched)
    wanted_mean, wanted = color_statistics(content)
    torch.testing.assert_close(mean, wanted_mean, atol=2e-3, rtol=0)
    assert (covariance - wanted).norm() < 0.05 * wanted.norm()


def test_the_network_is_given_the_matched_style(vgg: VGG19, harbor: Tensor, red: Tensor) -> None:
    run = Stylization(vgg, harbor, [red], small(color="match"))
    (style,) = run._inputs.targets(run.levels[-1]).styles
    mean, covariance = color_statistics(style)
    wanted_mean, wanted = color_statistics(harbor)
    torch.testing.assert_close(mean, wanted_mean, atol=0.03, rtol=0)
    assert (covariance - wanted).norm() < 0.3 * wanted.norm()
    assert (mean - color_statistics(red)[0]).norm() > 0.2


def test_matching_a_picture_to_itself_changes_nothing(harbor: Tensor) -> None:
    torch.testing.assert_close(match_colors(harbor, harbor), harbor, atol=1e-4, rtol=0)


def test_matching_moves_colours_no_further_than_is_needed(harbor: Tensor) -> None:
    """A style that is only darker and paler comes back: no hues are exchanged on the way."""
    pale = 0.2 + 0.3 * harbor
    torch.testing.assert_close(match_colors(pale, harbor), harbor, atol=0.02, rtol=0)


@pytest.mark.parametrize("match", [match_colors, match_luma])
def test_pictures_of_one_colour_can_be_matched(match: object, harbor: Tensor) -> None:
    assert callable(match)
    plain = torch.tensor([0.9, 0.2, 0.1]).view(3, 1, 1).expand(3, 20, 30).contiguous()
    for style, content in ((plain, harbor), (harbor, plain), (plain, plain)):
        matched = match(style, content)
        assert matched.isfinite().all()
        assert luma(matched).mean().item() == pytest.approx(luma(content).mean().item(), abs=0.02)


def test_a_style_for_luminance_is_gray_with_the_lightness_of_the_photograph(
    harbor: Tensor,
) -> None:
    content = 0.3 + 0.4 * harbor
    matched = match_luma(paint_style(56, 50), content)
    assert (chroma(matched).abs() < 1e-3).all()
    assert luma(matched).mean().item() == pytest.approx(luma(content).mean().item(), abs=2e-3)
    assert luma(matched).std().item() == pytest.approx(luma(content).std().item(), rel=0.02)


def test_luma_is_that_of_yiq_and_with_luma_changes_nothing_else(harbor: Tensor) -> None:
    torch.testing.assert_close(luma(harbor)[0], torch.einsum("j,jhw->hw", YIQ[0], harbor))
    torch.testing.assert_close(luma(gray(harbor)), luma(harbor))
    mixed = with_luma(harbor, paint_style(48, 64))
    torch.testing.assert_close(luma(mixed), luma(paint_style(48, 64)), atol=1e-5, rtol=0)
    torch.testing.assert_close(chroma(mixed), chroma(harbor), atol=1e-5, rtol=0)
