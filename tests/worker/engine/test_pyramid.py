import pytest
import torch

from shared.parameters import Parameters, Pyramid
from worker.engine import InvalidInput
from worker.engine.pyramid import plan_levels, resample, resize, share_steps


def parameters(size: int, steps: int = 100, **pyramid: float) -> Parameters:
    values = {"size": size, "steps": steps, "pyramid": pyramid or None}
    return Parameters.model_validate(values)


def sizes(size: int, **pyramid: float) -> list[int]:
    image = torch.zeros(3, 300, 400)
    return [level.size for level in plan_levels(image, [image], parameters(size, **pyramid))]


def test_long_sides_grow_by_the_factor_and_end_at_the_size() -> None:
    assert sizes(512, min_size=128, factor=2.0) == [128, 256, 512]
    assert sizes(384, min_size=128, factor=2.0) == [128, 256, 384]
    assert sizes(400, min_size=100, factor=1.5) == [100, 150, 225, 400]


def test_a_last_step_of_next_to_nothing_is_left_out() -> None:
    assert sizes(520, min_size=128, factor=2.0) == [128, 256, 520]


def test_without_a_pyramid_there_is_one_level() -> None:
    assert sizes(384) == [384]
    assert sizes(100, min_size=128, factor=2.0) == [100]


def test_levels_keep_the_aspect_of_the_content() -> None:
    content, style = torch.zeros(3, 600, 800), torch.zeros(3, 50, 50)
    plan = plan_levels(content, [style], parameters(400, min_size=100, factor=2.0))
    assert [(level.width, level.height) for level in plan] == [(100, 75), (200, 150), (400, 300)]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 100, 101])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_steps_are_shared_without_loss(steps: int, levels: int) -> None:
    shares = share_steps(steps, levels)
    assert sum(shares) == steps
    assert len(shares) == levels
    if steps >= levels:
        assert min(shares) >= 1


def test_too_few_steps_for_all_levels_are_spent_on_the_fine_ones() -> None:
    image = torch.zeros(3, 300, 400)
    plan = plan_levels(image, [image], parameters(512, steps=2, min_size=64, factor=2.0))
    assert [(level.size, level.steps) for level in plan] == [(256, 1), (512, 1)]


def test_a_picture_that_has_the_size_already_is_not_resampled() -> None:
    landscape, portrait = torch.rand(3, 200, 384), torch.rand(3, 384, 201)
    assert resample(landscape, 384) is landscape
    assert resample(portrait, 384) is portrait


def test_resampling_keeps_the_range_and_the_mean() -> None:
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0)).round()
    for size in (24, 200):
        resampled = resample(image, size)
        assert max(resampled.shape) == size
        assert resampled.min() >= 0
        assert resampled.max() <= 1
        assert resampled.mean().item() == pytest.approx(image.mean().item(), abs=0.02)


def test_shrinking_does_not_alias() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(3, 64, 32)
    assert resize(stripes, 16, 16).std() < 0.05


@pytest.mark.parametrize(("height", "width"), [(20, 400), (400, 20)])
def test_a_picture_too_narrow_for_the_network_is_refused_before_any_work(
    height: int, width: int
) -> None:
    narrow, image = torch.zeros(3, height, width), torch.zeros(3, 100, 100)
    with pytest.raises(InvalidInput, match=r"content image would be .*\b13\b.* need 16 px"):
        plan_levels(narrow, [image], parameters(256))
    with pytest.raises(InvalidInput, match="style image 2 would be") as error:
        plan_levels(image, [image, narrow], parameters(256))
    assert error.value.code == "invalid_input"


def test_a_narrow_picture_starts_at_the_first_level_that_is_wide_enough() -> None:
    narrow = torch.zeros(3, 60, 600)  # 13 px at 128, 26 at 256
    plan = plan_levels(narrow, [narrow], parameters(256, min_size=64, factor=2.0))
    assert [level.size for level in plan] == [256]


def test_shallow_layers_allow_narrower_pictures() -> None:
    narrow = torch.zeros(3, 20, 400)
    shallow = Parameters(
        size=256,
        pyramid=Pyramid(min_size=256),
        content_layers={"relu2_1": 1.0},
        style_layers={"relu1_1": 1.0},
    )
    assert [level.height for level in plan_levels(narrow, [narrow], shallow)] == [13]
