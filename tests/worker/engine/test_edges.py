"""Images at the edges of what is allowed give a picture, or a clear error before any work."""

from math import isfinite
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import paint_content, paint_style, pixels, psnr
from worker.engine import VGG19, InvalidInput, Stylization

SIZE = 64
RECIPES: dict[str, dict[str, Any]] = {
    "default": {"steps": 4, "pyramid": {"min_size": 32, "factor": 2.0}},
    # Its covariances are of 512 channels: these pictures have 16 samples of them, and fewer
    "wasserstein": {"preset": "wasserstein", "steps": 2, "pyramid": None},
    "neural-style": {"preset": "neural-style", "steps": 4},
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES)
every_precision = pytest.mark.parametrize("precision", ["float32", "bfloat16"])

PAIRS = {
    "content of 32 px": (paint_content(32, 32), paint_style(64, 48)),
    "style of 32 px": (paint_content(48, 64), paint_style(32, 32)),
    "wide content": (paint_content(60, 240), paint_style(64, 64)),
    "tall style": (paint_content(64, 64), paint_style(240, 60)),
    "sizes that are no multiples of 32": (paint_content(37, 53), paint_style(61, 43)),
    "much larger style": (paint_content(40, 40), paint_style(300, 400)),
    "much smaller style": (paint_content(300, 400), paint_style(11, 13)),
    "a style of one pixel": (paint_content(48, 64), torch.full((3, 1, 1), 0.3)),
}


def flat(red: float, green: float, blue: float) -> Tensor:
    """A picture of one colour."""
    return (
        torch.tensor([red, green, blue], dtype=torch.float32)
        .view(3, 1, 1)
        .expand(3, 48, 64)
        .contiguous()
    )


FLAT_PAIRS = {
    "black content": (flat(0, 0, 0), paint_style(48, 64)),
    "white content": (flat(1, 1, 1), paint_style(48, 64)),
    "black style": (paint_content(48, 64), flat(0, 0, 0)),
    "red style": (paint_content(48, 64), flat(1, 0, 0)),
    "black content and white style": (flat(0, 0, 0), flat(1, 1, 1)),
    "nothing but gray": (flat(0.5, 0.5, 0.5), flat(0.5, 0.5, 0.5)),
}


def paint(
    vgg: VGG19, content: Tensor, style: Tensor, recipe: str, precision: str, **values: Any
) -> Tensor:
    """The finished picture, (3, H, W) in [0, 1]. Its losses are numbers at every step."""
    values = {"size": SIZE, "precision": precision, **RECIPES[recipe], **values}
    run = Stylization(vgg, content, [style], Parameters(**values))
    assert all(isfinite(progress.losses().total) for progress in run)
    assert isfinite(run.delivered_losses(precision).total)
    return pixels(run.picture())


def at(picture: Tensor, height: int, width: int) -> Tensor:
    resized = torch.nn.functional.interpolate(
        picture[None], (height, width), mode="bicubic", antialias=True
    )
    return resized[0].clamp(0, 1)


@every_recipe
@every_precision
@pytest.mark.parametrize("pair", PAIRS)
def test_images_of_any_size_and_shape_give_a_picture_that_shows_the_content(
    pair: str, precision: str, recipe: str, vgg: VGG19
) -> None:
    content, style = PAIRS[pair]
    picture = paint(vgg, content, style, recipe, precision)
    height, width = (round(side * SIZE / max(content.shape)) for side in content.shape[1:])
    assert picture.shape == (3, height, width)
    shown = at(content, height, width)
    assert 10 < psnr(picture, shown) < 60, "a picture of the content, but not the content itself"
    assert picture.std() > 0.5 * shown.std()


@every_recipe
@every_precision
@pytest.mark.parametrize("pair", FLAT_PAIRS)
def test_images_of_one_colour_give_a_picture(
    pair: str, precision: str, recipe: str, vgg: VGG19
) -> None:
    content, style = FLAT_PAIRS[pair]
    picture = paint(vgg, content, style, recipe, precision)
    assert picture.shape == content.shape
    assert psnr(picture, content) > 5


@every_recipe
@every_precision
def test_a_picture_in_its_own_style_stays_as_it_is(precision: str, recipe: str, vgg: VGG19) -> None:
    content = paint_content(48, 64)
    picture = paint(vgg, content, content, recipe, precision)
    assert psnr(picture, content) > 20


@every_recipe
@pytest.mark.parametrize(
    ("height", "width"), [(512, 32), (32, 512), (1, 4000), (SIZE, SIZE // 4 - 1)]
)
def test_content_that_is_too_narrow_is_refused_before_any_work(
    height: int, width: int, recipe: str, vgg: VGG19
) -> None:
    with pytest.raises(InvalidInput, match=r"content image would be \d+ x \d+ px .* need 16 px"):
        Stylization(
            vgg,
            torch.rand(3, height, width),
            [paint_style(48, 64)],
            Parameters(size=SIZE, **RECIPES[recipe]),
        )


@every_recipe
def test_a_style_that_is_too_narrow_is_refused_before_any_work(recipe: str, vgg: VGG19) -> None:
    styles = [paint_style(48, 64), paint_style(32, 512)]
    with pytest.raises(InvalidInput, match=r"style image 2 would be 64 x 4 px .* need 16 px"):
        Stylization(vgg, paint_content(48, 64), styles, Parameters(size=SIZE, **RECIPES[recipe]))


def test_a_narrow_picture_is_painted_where_it_is_large_enough(vgg: VGG19) -> None:
    """What is refused at 64 px is painted at 256 px, without the levels that are too small."""
    content, style = paint_content(32, 512), paint_style(64, 64)
    picture = paint(vgg, content, style, "default", "float32", size=256)
    assert picture.shape == (3, 16, 256)
