from typing import Any

import pytest
import torch

from shared.levels import Level, Shape, share_steps
from shared.parameters import Parameters, Pyramid
from worker.engine import InvalidInput
from worker.engine.pyramid import plan_levels, resize

LANDSCAPE = (300, 400)


def parameters(size: int, steps: int = 100, **pyramid: Any) -> Parameters:
    return Parameters.model_validate({"size": size, "steps": steps, "pyramid": pyramid or None})


def plan(size: int, content: Shape | None = LANDSCAPE, **pyramid: Any) -> list[Level]:
    return plan_levels(content, [LANDSCAPE], parameters(size, **pyramid))


def sizes(size: int, **pyramid: Any) -> list[int]:
    return [level.size for level in plan(size, **pyramid)]


def test_long_sides_fall_by_the_factor_from_the_size_as_long_as_the_least_is_reached() -> None:
    assert sizes(512, min_size=128, factor=2.0) == [128, 256, 512]
    assert sizes(400, min_size=100, factor=1.5) == [119, 178, 267, 400]
    assert sizes(384, min_size=128, factor=2.0) == [192, 384]
    assert sizes(520, min_size=128, factor=2.0) == [130, 260, 520]


def test_scales_by_the_root_of_two_are_those_of_crowsonkb() -> None:
    expected = [128, 181, 256, 362, 512]
    assert sizes(512, min_size=128, factor=2**0.5) == expected


def test_without_a_pyramid_there_is_one_level() -> None:
    assert sizes(384) == [384]
    assert sizes(100, min_size=128, factor=2.0) == [100]


def test_levels_keep_the_aspect_of_the_content() -> None:
    levels = plan_levels((600, 800), [(50, 50)], parameters(400, min_size=100, factor=2.0))
    assert [(level.width, level.height) for level in levels] == [(100, 75), (200, 150), (400, 300)]


def test_a_picture_without_content_has_the_aspect_that_is_asked_for_or_that_of_the_style() -> None:
    texture = {"preset": "texture", "size": 200, "pyramid": None}
    for ratio, shape in ((None, (150, 200)), (4.0, (50, 200)), (0.5, (200, 100))):
        asked = Parameters.model_validate({**texture, "aspect_ratio": ratio})
        (level,) = plan_levels(None, [LANDSCAPE], asked)
        assert (level.height, level.width) == shape


def test_styles_keep_their_shape_or_take_that_of_the_picture() -> None:
    portrait = (400, 200)
    for values, shape in (
        ({}, (256, 128)),
        ({"style_scale": 0.5}, (128, 64)),
        ({"style_scale": 2.0}, (512, 256)),
        ({"style_fit": "stretch"}, (192, 256)),
        ({"style_fit": "stretch", "style_scale": 0.5}, (96, 128)),
    ):
        asked = Parameters.model_validate({"size": 256, "pyramid": None, **values})
        (level,) = plan_levels(LANDSCAPE, [portrait], asked)
        assert level.style_shape(portrait, asked) == shape


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 100, 101])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_steps_are_shared_without_loss(steps: int, levels: int) -> None:
    shares = share_steps(parameters(512, steps=steps), levels)
    assert sum(shares) == steps
    assert len(shares) == levels
    assert max(shares) - min(shares) <= 1
    if steps >= levels:
        assert min(shares) >= 1


def test_steps_can_be_given_by_level_the_last_for_all_that_follow() -> None:
    def steps(size: int, given: list[int]) -> list[int]:
        pyramid = {"min_size": 64, "factor": 2.0, "steps": given}
        asked = Parameters.model_validate({"size": size, "pyramid": pyramid})
        return [level.steps for level in plan_levels(LANDSCAPE, [LANDSCAPE], asked)]

    assert steps(512, [1000, 500]) == [1000, 500, 500, 500]
    assert steps(128, [5, 4, 3]) == [5, 4]


def test_too_few_steps_for_all_levels_are_spent_on_the_fine_ones() -> None:
    levels = plan_levels(LANDSCAPE, [LANDSCAPE], parameters(512, steps=2, min_size=64, factor=2.0))
    assert [(level.size, level.steps) for level in levels] == [(256, 1), (512, 1)]


def test_a_picture_that_has_the_size_already_is_not_resampled() -> None:
    picture = torch.rand(3, 200, 384)
    assert resize(picture, (200, 384)) is picture
    assert resize(picture, (200, 383)) is not picture


def test_resampling_keeps_the_range_and_the_mean() -> None:
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0)).round()
    for shape in ((16, 24), (133, 200), (64, 97)):
        resampled = resize(image, shape)
        assert resampled.shape == (3, *shape)
        assert resampled.min() >= 0
        assert resampled.max() <= 1
        assert resampled.mean().item() == pytest.approx(image.mean().item(), abs=0.02)


def test_shrinking_does_not_alias() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(3, 64, 32)
    assert resize(stripes, (16, 16)).std() < 0.05


@pytest.mark.parametrize("narrow", [(20, 400), (400, 20)])
def test_a_picture_too_narrow_for_the_network_is_refused_before_any_work(narrow: Shape) -> None:
    with pytest.raises(InvalidInput, match=r"content image would be .*\b13\b.* need 16 px"):
        plan_levels(narrow, [(100, 100)], parameters(256))
    with pytest.raises(InvalidInput, match="style image 2 would be") as error:
        plan_levels((100, 100), [(100, 100), narrow], parameters(256))
    assert error.value.code == "invalid_input"


def test_a_narrow_picture_starts_at_the_first_level_that_is_wide_enough() -> None:
    narrow = (60, 600)  # 13 px at 128, 26 at 256
    levels = plan_levels(narrow, [narrow], parameters(256, min_size=64, factor=2.0))
    assert [level.size for level in levels] == [256]


def test_a_narrow_style_does_too() -> None:
    levels = plan_levels((100, 100), [(60, 600)], parameters(256, min_size=64, factor=2.0))
    assert [level.size for level in levels] == [256]


def test_shallow_layers_allow_narrower_pictures() -> None:
    narrow = (20, 400)
    shallow = Parameters(
        size=256,
        pyramid=Pyramid(min_size=256),
        content_layers={"relu2_1": 1.0},
        style_layers={"relu1_1": 1.0},
    )
    assert [level.height for level in plan_levels(narrow, [narrow], shallow)] == [13]
