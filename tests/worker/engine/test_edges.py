"""Images at the edges of what is allowed: each gives a picture, or a clear error before any work."""

from math import isfinite
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import finish, paint_content, paint_style, pixels, psnr
from worker.engine import VGG19, InvalidInput, Stylization

RECIPES: dict[str, dict[str, Any]] = {
    "default": {"steps": 4, "pyramid": {"min_size": 32, "factor": 2.0}},
    # Covariances of 512 channels, of which 32 px have four samples
    "wasserstein": {"preset": "wasserstein", "steps": 2, "pyramid": None},
    "neural-style": {"preset": "neural-style", "steps": 4},
}
PRECISIONS = ["float32", "bfloat16"]

PAIRS = {
    "both of 32 px": (paint_content(32, 32), paint_style(32, 32)),
    "content of 32 px": (paint_content(32, 32), paint_style(64, 48)),
    "style of 32 px": (paint_content(48, 64), paint_style(32, 32)),
    "a wide content": (paint_content(16, 256), paint_style(64, 64)),
    "a tall style": (paint_content(64, 64), paint_style(256, 16)),
    "sizes that are no multiples of anything": (paint_content(37, 53), paint_style(61, 43)),
    "a style that is much larger": (paint_content(40, 40), paint_style(150, 200)),
    "a style that is much smaller": (paint_content(150, 200), paint_style(17, 19)),
}


def flat(*colour: float) -> Tensor:
    """A picture of one colour, (3, 48, 64)."""
    return torch.tensor(colour).view(3, 1, 1).expand(3, 48, 64).contiguous()


FLAT_PAIRS = {
    "black content": (flat(0, 0, 0), paint_style(48, 64)),
    "white content": (flat(1, 1, 1), paint_style(48, 64)),
    "black style": (paint_content(48, 64), flat(0, 0, 0)),
    "red style": (paint_content(48, 64), flat(1, 0, 0)),
    "black and white": (flat(0, 0, 0), flat(1, 1, 1)),
    "black and black": (flat(0, 0, 0), flat(0, 0, 0)),
}


def paint(
    vgg: VGG19, pair: tuple[Tensor, Tensor], recipe: str, precision: str, size: int = 64
) -> Tensor:
    """The finished picture, (3, H, W) in [0, 1]. Its losses are numbers at every step."""
    content, style = pair
    parameters = Parameters(**{"size": size, "precision": precision, **RECIPES[recipe]})
    run = Stylization(vgg, content, [style], parameters)
    assert all(isfinite(progress.losses().total) for progress in run)
    assert isfinite(run.delivered_losses().total)
    return pixels(finish(run))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("pair", PAIRS)
def test_images_of_any_size_and_shape_give_a_picture(
    pair: str, precision: str, recipe: str, vgg: VGG19
) -> None:
    """One that still shows the content, and not as it was."""
    content, _ = PAIRS[pair]
    size = max(content.shape) if max(content.shape) > 64 else 64
    size = min(size, 256)
    picture = paint(vgg, PAIRS[pair], recipe, precision, size)
    height, width = content.shape[1:]
    scale = size / max(height, width)
    assert picture.shape == (3, round(height * scale), round(width * scale))
    resized = torch.nn.functional.interpolate(
        content[None], picture.shape[1:], mode="bicubic", antialias=True
    )[0].clamp(0, 1)
    assert 8 < psnr(picture, resized) < 60
    assert picture.std() > 0.5 * resized.std()
