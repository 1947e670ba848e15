"""What can be painted: reconstructions, textures, styles by region and by scale."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from shared.parameters import LAYER_NAMES, Parameters
from tests.worker.engine.conftest import (
    SHALLOW,
    finish,
    paint_content,
    paint_style,
    pixels,
    psnr,
    small,
    start,
)
from worker.engine import VGG19, Stylization
from worker.engine.losses import collect, gram_matrix


def grams(vgg: VGG19, picture: Tensor) -> list[Tensor]:
    """The style of a picture."""
    found = []
    network = vgg.network(SHALLOW)
    network.forward(picture, lambda _, x: found.append(gram_matrix(collect(x), "hw")))
    return found


def style_distance(vgg: VGG19, picture: Tensor, style: Tensor) -> float:
    """Relative distance of Gram matrices, the mean over some layers."""
    pairs = zip(grams(vgg, picture), grams(vgg, style), strict=True)
    return sum(((a - b).norm() / b.norm()).item() for a, b in pairs) / len(SHALLOW)


def paint(
    vgg: VGG19,
    content: Tensor | None,
    styles: list[Tensor],
    masks: list[Tensor] | None = None,
    **values: object,
) -> Tensor:
    """A finished picture, (3, H, W) in [0, 1]."""
    return pixels(finish(Stylization(vgg, content, styles, small(**values), masks=masks or [])))


# Reconstruction


@pytest.mark.parametrize("layer", sorted(LAYER_NAMES))
def test_a_photograph_is_reconstructed_from_any_layer(layer: str, vgg: VGG19) -> None:
    parameters = Parameters(
        preset="reconstruction",
        size=32,
        steps=4,
        precision="float32",
        content_layers={layer: 1.0},
        learning_rate=0.5,
        max_step=0.05,
        clamp=True,
    )
    run = Stylization(vgg, paint_content(24, 32), [], parameters)
    losses = [progress.losses() for progress in run]
    assert set(losses[0].layers) == {f"content/{layer}"}
    assert run.delivered_losses().total < 0.9 * losses[0].total


def test_a_shallow_layer_gives_the_photograph_back(vgg: VGG19) -> None:
    """From noise, and without any style: nothing else than the photograph can come out."""
    photograph = paint_content(24, 32)
    # Within black and white, which the source's own loop leaves and needs thousands of steps for
    values = {
        "preset": "reconstruction",
        "size": 32,
        "precision": "float32",
        "max_step": 0.05,
        "clamp": True,
    }
    noise = pixels(Stylization(vgg, photograph, [], Parameters.model_validate(values)).picture())
    parameters = Parameters.model_validate({**values, "steps": 60})
    picture = pixels(finish(Stylization(vgg, photograph, [], parameters)))
    assert psnr(noise, photograph) < 12
    assert psnr(picture, photograph) > 18


def test_deep_layers_keep_less_of_the_photograph(vgg: VGG19) -> None:
    photograph = paint_content(48, 64)

    def quality(layer: str) -> float:
        parameters = Parameters(
            preset="reconstruction",
            size=64,
            steps=40,
            max_step=0.05,
            clamp=True,
            precision="float32",
            content_layers={layer: 1.0},
        )
        return psnr(pixels(finish(Stylization(vgg, photograph, [], parameters))), photograph)

    shallow, middle, deep = (quality(layer) for layer in ("relu1_1", "relu3_1", "relu5_1"))
    assert shallow > middle + 3
    assert middle > deep + 1


# Textures


@pytest.mark.parametrize(
    ("size", "ratio", "shape"),
    [
        (64, None, (64, 57)),
        (32, None, (32, 29)),
        (96, None, (96, 86)),
        (96, 3.0, (32, 96)),
        (80, 0.5, (80, 40)),
    ],
)
def test_textures_of_any_size_and_shape_come_out_of_a_style_alone(
    size: int, ratio: float | None, shape: tuple[int, int], vgg: VGG19, style: Tensor
) -> None:
    """Smaller than the style, as large, and larger."""
    parameters = Parameters(
        preset="texture",
        size=size,
        aspect_ratio=ratio,
        steps=2,
        precision="float32",
        pyramid=None,
    )
    picture = finish(Stylization(vgg, None, [style], parameters))
    assert picture.shape == (*shape, 3)


def test_a_texture_takes_on_the_style(vgg: VGG19, style: Tensor) -> None:
    values = {"preset": "texture", "style_layers": SHALLOW, "aspect_ratio": 2.0}
    begun = pixels(Stylization(vgg, None, [style], small(**values, pyramid=None)).picture())
    picture = paint(vgg, None, [style], **values, steps=30)
    assert picture.shape == (3, 32, 64)
    assert style_distance(vgg, picture, style) < 0.3 * style_distance(vgg, begun, style)


def test_a_texture_does_not_look_at_a_content_image_that_is_given(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    values = {"preset": "texture", "steps": 2, "pyramid": None}
    assert torch.equal(paint(vgg, content, [style], **values), paint(vgg, None, [style], **values))


# Scale and shape of the style


def test_the_scale_of_a_style_decides_the_size_at_which_it_is_seen(
    vgg: VGG19, content: Tensor
) -> None:
    style = paint_style(90, 120)
    for values, shape in (
        ({}, (48, 64)),
        ({"style_scale": 0.5}, (24, 32)),
        ({"style_scale": 1.5}, (72, 96)),
        ({"style_fit": "stretch"}, (48, 64)),
        ({"style_fit": "stretch", "style_scale": 0.5}, (24, 32)),
    ):
        run = Stylization(vgg, content, [style], small(**values, pyramid=None))
        (seen,) = run._inputs.targets(run.levels[-1]).styles
        assert seen.shape == (3, *shape)


def test_a_stretched_style_has_the_shape_of_the_picture_and_one_that_keeps_its_has_not(
    vgg: VGG19, content: Tensor
) -> None:
    square = paint_style(64, 64)
    shapes = []
    for fit in ("keep", "stretch"):
        run = start(vgg, content, square, style_fit=fit, pyramid=None)
        shapes.append(run._inputs.targets(run.levels[-1]).styles[0].shape)
    assert shapes == [(3, 64, 64), (3, 48, 64)]


def test_a_style_is_seen_smaller_or_larger_as_its_scale_says(vgg: VGG19) -> None:
    """The width of its stripes over that of the picture, and so that of the strokes."""
    stripes = ((torch.arange(128) % 32) < 16).float().expand(3, 128, 128).contiguous()
    widths = []
    for scale in (0.5, 1.0, 2.0):
        run = start(vgg, paint_content(64, 64), stripes, style_scale=scale, pyramid=None)
        (seen,) = run._inputs.targets(run.levels[-1]).styles
        edges = (seen[0, 0].round().diff() != 0).sum().item()
        widths.append(seen.shape[2] / (edges + 1))
    assert widths == [4, 8, 16]


def test_a_layer_counts_as_its_weight_says(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    def layers(weights: dict[str, float]) -> dict[str, float]:
        run = start(vgg, content, style, style_layers=weights, pyramid=None, steps=1)
        return dict(run.delivered_losses().layers)

    once, twice = layers({"relu1_1": 1.0, "relu3_1": 1.0}), layers({"relu1_1": 1.0, "relu3_1": 2.0})
    assert twice["style/relu3_1"] == pytest.approx(2 * once["style/relu3_1"])
    assert twice["style/relu1_1"] == pytest.approx(once["style/relu1_1"])


def test_more_style_weight_is_more_style_and_less_content(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    outcomes = [
        (style_distance(vgg, picture, style), psnr(picture, content))
        for picture in (
            paint(
                vgg,
                content,
                [style],
                style_weight=weight,
                steps=12,
                style_layers=SHALLOW,
                pyramid=None,
            )
            for weight in (0.05, 1.0, 20.0)
        )
    ]
    for (distance, likeness), (next_distance, next_likeness) in pairwise(outcomes):
        assert next_distance < distance
        assert next_likeness < likeness


# Masks: a style for each region


@pytest.fixture(scope="module")
def halves() -> list[Tensor]:
    """Left and right, (48, 64), with a sharp border."""
    left = (torch.arange(64) < 32).float().expand(48, 64).contiguous()
    return [left, 1 - left]


@pytest.fixture(scope="module")
def warm() -> Tensor:
    """Fine diagonal strokes in reds."""
    return paint_style(48, 64) * torch.tensor([1.0, 0.35, 0.2]).view(3, 1, 1)


@pytest.fixture(scope="module")
def cold() -> Tensor:
    """Broad waves in blues."""
    y, _ = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    waves = 0.5 + 0.4 * torch.sin(y / 3)
    return waves * torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1)


MASKED = {"style_layers": SHALLOW, "style_weight": 20.0, "steps": 30, "pyramid": None}


@pytest.mark.parametrize("style_loss", ["gram", "wasserstein"])
def test_each_half_takes_on_its_own_style(
    style_loss: str,
    vgg: VGG19,
    content: Tensor,
    warm: Tensor,
    cold: Tensor,
    halves: list[Tensor],
) -> None:
    picture = paint(vgg, content, [warm, cold], halves, **MASKED, style_loss=style_loss)
    left, right = picture[..., :28].contiguous(), picture[..., 36:].contiguous()
    assert style_distance(vgg, left, warm) < 0.75 * style_distance(vgg, left, cold)
    assert style_distance(vgg, right, cold) < 0.75 * style_distance(vgg, right, warm)


def test_the_masks_say_where_not_the_order_of_the_styles(
    vgg: VGG19, content: Tensor, warm: Tensor, cold: Tensor, halves: list[Tensor]
) -> None:
    values = {**MASKED, "steps": 6}
    one = paint(vgg, content, [warm, cold], halves, **values)
    other = paint(vgg, content, [cold, warm], halves[::-1], **values)
    assert psnr(one, other) > 40


@pytest.mark.parametrize("shape", [(24, 32), (100, 130), (17, 64)])
def test_masks_may_have_another_size_than_the_content(
    shape: tuple[int, int],
    vgg: VGG19,
    content: Tensor,
    warm: Tensor,
    cold: Tensor,
    halves: list[Tensor],
) -> None:
    left = (torch.arange(shape[1]) < shape[1] // 2).float().expand(shape).contiguous()
    values = {**MASKED, "steps": 6}
    expected = paint(vgg, content, [warm, cold], halves, **values)
    assert psnr(paint(vgg, content, [warm, cold], [left, 1 - left], **values), expected) > 25


def test_a_region_without_a_mask_keeps_the_photograph(
    vgg: VGG19, content: Tensor, warm: Tensor, halves: list[Tensor]
) -> None:
    picture = paint(vgg, content, [warm], halves[:1], **MASKED, mask_feather=0.0)
    # A position of relu3_1 sees 24 px: this far from the border there is nothing but content
    assert psnr(picture[..., 48:], content[..., 48:]) > 30
    assert psnr(picture[..., :28], content[..., :28]) < 18


def test_black_masks_keep_the_whole_photograph(vgg: VGG19, content: Tensor, warm: Tensor) -> None:
    picture = paint(vgg, content, [warm], [torch.zeros(48, 64)], **{**MASKED, "steps": 5})
    assert psnr(picture, content) > 40


def test_one_style_with_a_white_mask_is_painted_as_without(
    vgg: VGG19, content: Tensor, warm: Tensor
) -> None:
    values = {**MASKED, "steps": 5}
    masked = paint(vgg, content, [warm], [torch.ones(48, 64)], **values)
    assert psnr(masked, paint(vgg, content, [warm], **values)) > 45


def test_feathered_borders_blend(
    vgg: VGG19, content: Tensor, warm: Tensor, cold: Tensor, halves: list[Tensor]
) -> None:
    """At the border both styles have a say, as far as the feather reaches."""
    parameters = small(mask_feather=0.25, pyramid=None)
    run = Stylization(vgg, content, [warm, cold], parameters, masks=halves)
    left, right = run._inputs.targets(run.levels[-1]).masks
    torch.testing.assert_close(left + right, torch.ones(48, 64))
    assert (left.diff(dim=1) <= 1e-6).all()
    assert left[24, 24] > 0.95
    assert left[24, 40] < 0.05
    assert 0.2 < left[24, 29] < 0.9

    def step_at_the_border(feather: float) -> float:
        """How suddenly red turns to blue over the middle, in a picture of one gray."""
        gray = torch.full((3, 48, 64), 0.5)
        picture = paint(vgg, gray, [warm, cold], halves, **MASKED, mask_feather=feather)
        tint = (picture[0] - picture[2]).mean(0)
        return (tint[30] - tint[33]).item()

    assert step_at_the_border(0.0) > 1.2 * step_at_the_border(0.5)


def test_levels_of_a_pyramid_have_the_masks_in_their_size(
    vgg: VGG19, content: Tensor, warm: Tensor, cold: Tensor, halves: list[Tensor]
) -> None:
    run = Stylization(vgg, content, [warm, cold], small(), masks=halves)
    for level in run.levels:
        for mask in run._inputs.targets(level).masks:
            assert mask.shape == (level.height, level.width)
            assert mask.mean().item() == pytest.approx(0.5, abs=0.01)
    assert finish(run).shape == (48, 64, 3)


def test_two_styles_without_masks_are_mixed_everywhere(
    vgg: VGG19, content: Tensor, warm: Tensor, cold: Tensor
) -> None:
    def distances(weights: list[float]) -> tuple[float, float]:
        picture = paint(vgg, content, [warm, cold], **MASKED, style_weights=weights)
        return style_distance(vgg, picture, warm), style_distance(vgg, picture, cold)

    mostly_warm, mostly_cold = distances([9, 1]), distances([1, 9])
    assert mostly_warm[0] < mostly_cold[0]
    assert mostly_warm[1] > mostly_cold[1]
