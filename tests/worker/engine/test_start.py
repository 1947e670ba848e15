import pytest
import torch
from torch import Tensor

from shared.parameters import Noise
from tests.worker.engine.conftest import (
    finish,
    paint_content,
    paint_style,
    pixels,
    psnr,
    small,
)
from worker.engine import VGG19, Stylization
from worker.engine.color import color_statistics, luma
from worker.engine.start import GRAY_NOISE, gray, noise, style_noise
from worker.engine.weights import MEAN, STD

SHAPE = (48, 64)
RANDOM_STARTS = ["noise", "style", "gray"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begin(vgg: VGG19, content: Tensor, style: Tensor, init: str, **values: object) -> Tensor:
    """The picture before the first step, (3, H, W) in [0, 1]."""
    parameters = small(init=init, pyramid=None, **values)
    image = paint_content(64, 64) if init == "image" else None
    return pixels(Stylization(vgg, content, [style], parameters, init=image).picture())


def test_content_starts_at_the_photograph(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    assert psnr(begin(vgg, content, style, "content"), content) > 50


def test_image_starts_at_the_image_in_the_size_of_the_picture(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    picture = begin(vgg, content, style, "image")
    assert picture.shape == content.shape
    assert (
        psnr(
            picture,
            torch.nn.functional.interpolate(
                paint_content(64, 64)[None], SHAPE, mode="bilinear", antialias=True
            )[0],
        )
        > 25
    )
    assert psnr(picture, content) < 25


def test_gray_starts_at_mid_gray_with_a_trace_of_noise(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    picture = begin(vgg, content, style, "gray")
    assert ((picture - 0.5).abs() <= 1.6 / 255).all()
    exact = gray(*SHAPE, generator())
    assert exact.std() > 0.1 * GRAY_NOISE


def test_style_starts_as_noise_in_the_colours_of_the_styles(vgg: VGG19, content: Tensor) -> None:
    style = 0.4 + 0.2 * paint_style(56, 50)  # so that nothing is clipped
    picture = begin(vgg, content, style, "style")
    mean, covariance = color_statistics(picture)
    wanted_mean, wanted = color_statistics(style)
    torch.testing.assert_close(mean, wanted_mean, atol=0.01, rtol=0)
    assert (covariance - wanted).norm() < 0.1 * wanted.norm()


def test_colours_of_several_styles_are_mixed_by_their_shares() -> None:
    dark, light = torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.9)
    picture = style_noise([dark, light], [0.25, 0.75], 200, 200, generator())
    assert picture.mean().item() == pytest.approx(0.7, abs=0.01)


def test_noise_starts_around_the_mean_colour_of_photographs_or_around_black() -> None:
    normalized = noise(200, 300, Noise(space="normalized", scale=1.0), generator())
    assert normalized.mean((1, 2)).tolist() == pytest.approx(MEAN, abs=0.01)
    assert normalized.std((1, 2)).tolist() == pytest.approx(STD, rel=0.02)
    raw = noise(200, 300, Noise(space="pixels", scale=0.5), generator())
    assert raw.mean((1, 2)).tolist() == pytest.approx([0, 0, 0], abs=0.01)
    assert raw.std((1, 2)).tolist() == pytest.approx([0.5] * 3, rel=0.02)


def test_noise_is_as_strong_as_is_asked(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    mean = torch.tensor(MEAN).view(3, 1, 1)
    still = {"space": "normalized", "scale": 0.0}
    picture = begin(vgg, content, style, "noise", noise=still)
    assert ((picture - mean).abs() <= 0.51 / 255).all()
    strong = begin(vgg, content, style, "noise", noise={"space": "normalized", "scale": 1.0})
    assert strong.std() > 0.15


@pytest.mark.parametrize("init", RANDOM_STARTS)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_what_is_random_is_decided_by_the_seed_alone(
    optimizer: str, init: str, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    def paint(seed: int) -> Tensor:
        values = {"optimizer": optimizer, "init": init, "steps": 3, "seed": seed}
        return finish(Stylization(vgg, content, [style], small(**values)))

    torch.manual_seed(1)
    first = paint(5)
    torch.manual_seed(2)
    assert torch.equal(first, paint(5))
    assert not torch.equal(first, paint(6))


@pytest.mark.parametrize("init", ["content", "image"])
def test_what_is_not_random_does_not_know_the_seed(
    init: str, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    assert torch.equal(
        begin(vgg, content, style, init, seed=1), begin(vgg, content, style, init, seed=2)
    )


@pytest.mark.parametrize("init", ["content", "noise", "style", "gray", "image"])
def test_a_run_that_paints_only_lightness_starts_without_colours_of_its_own(
    init: str, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    """What is seen of it is the photograph in other light."""
    parameters = small(init=init, pyramid=None, color="luminance")
    image = paint_content(64, 64) if init == "image" else None
    run = Stylization(vgg, content, [style], parameters, init=image)
    variable = run.state_dict()["progress"]["variable"]
    torch.testing.assert_close(variable, luma(variable).expand(3, -1, -1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("init", ["content", "noise", "style", "gray", "image"])
def test_every_start_leads_to_a_lower_loss(
    init: str, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    image = paint_content(64, 64) if init == "image" else None
    parameters = small(init=init, pyramid=None, steps=12)
    run = Stylization(vgg, content, [style], parameters, init=image)
    totals = [progress.losses().total for progress in run]
    assert run.delivered_losses().total < 0.9 * totals[0]
