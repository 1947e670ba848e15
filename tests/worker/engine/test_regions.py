import pytest
import torch
from torch import Tensor

from worker.engine.regions import at_layer, feather

WIDTH = 120


@pytest.fixture
def half() -> Tensor:
    """White on the right, (40, 120)."""
    return (torch.arange(WIDTH) >= WIDTH // 2).float().expand(40, WIDTH).contiguous()


def test_a_feathered_border_rises_over_its_width(half: Tensor) -> None:
    row = feather(half, 24)[20]
    assert (row.diff() >= 0).all()
    assert row[WIDTH // 2 - 13] < 0.03
    assert row[WIDTH // 2 + 12] > 0.97
    assert row[WIDTH // 2 - 5] > 0.1
    assert 0.4 < row[WIDTH // 2] < 0.6


def test_feathering_is_the_same_in_both_directions(half: Tensor) -> None:
    torch.testing.assert_close(feather(half.T.contiguous(), 10), feather(half, 10).T)
    mask = torch.rand(30, 41, generator=torch.Generator().manual_seed(0))
    assert feather(mask, 6).shape == (30, 41)


def test_feathering_keeps_what_is_all_white_and_the_sum_of_two_masks(half: Tensor) -> None:
    torch.testing.assert_close(feather(torch.ones(9, 7), 50), torch.ones(9, 7))
    torch.testing.assert_close(feather(half, 30) + feather(1 - half, 30), torch.ones_like(half))


@pytest.mark.parametrize("width_px", [0.0, 0.5])
def test_without_a_width_borders_stay_sharp(width_px: float, half: Tensor) -> None:
    assert torch.equal(feather(half, width_px), half)


def test_a_position_of_a_layer_belongs_to_a_region_as_far_as_its_pixels_do(half: Tensor) -> None:
    at_positions = at_layer(half, 5, 8).view(5, 8)
    assert at_positions[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    across = at_layer(half, 5, 3).view(5, 3)
    assert across[2].tolist() == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("shape", [(40, 120), (20, 60), (2, 7), (1, 1)])
def test_the_area_of_a_region_is_the_same_at_every_layer(
    shape: tuple[int, int], half: Tensor
) -> None:
    assert at_layer(half, *shape).mean().item() == pytest.approx(0.5)
