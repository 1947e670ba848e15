from pathlib import Path

import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from worker.engine import VGG19, Stylization
from worker.engine.preconditioner import Preconditioner
from worker.pictures import read_picture

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
SHAPES = [(6, 8), (5, 7), (1, 9), (7, 2)]


def matrix(shape: tuple[int, int], exponent: float) -> Tensor:
    """P for pictures of (3, *shape), row for row."""
    pictures = torch.eye(3 * shape[0] * shape[1], dtype=torch.float64)
    return Preconditioner(pictures[0].view(3, *shape), exponent)(pictures)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_symmetric_and_positive_at_all_sizes(shape: tuple[int, int], exponent: float) -> None:
    p = matrix(shape, exponent)
    torch.testing.assert_close(p, p.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(p).min() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_exponent_is_that_of_the_wavelength(shape: tuple[int, int]) -> None:
    once, twice = matrix(shape, 0.6), matrix(shape, 1.2)
    torch.testing.assert_close(once @ once, twice)


def test_a_wave_of_twice_the_length_goes_further_by_the_power_of_two() -> None:
    row = torch.arange(16, dtype=torch.float64)
    waves = torch.stack([torch.cos(2 * torch.pi * row / length) for length in (4, 8)])
    pictures = waves.view(2, 1, 1, 16).expand(2, 3, 16, 16).flatten(1)
    amplified = Preconditioner(pictures[0].view(3, 16, 16), 0.8)(pictures)
    torch.testing.assert_close(amplified[0], pictures[0] * 2**0.8)
    torch.testing.assert_close(amplified[1], pictures[1] * 4**0.8)


def test_the_colours_are_not_mixed() -> None:
    red = torch.zeros(3, 5, 6)
    red[0] = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    amplified = Preconditioner(red, 1.0)(red.view(-1)).view(3, 5, 6)
    assert amplified[0].abs().min() > 0
    assert not amplified[1:].any()


def test_an_exponent_of_zero_changes_nothing() -> None:
    picture = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(Preconditioner(picture, 0.0)(picture.view(-1)), picture.view(-1))


def test_a_painting_of_broad_forms_needs_fewer_steps(vgg: VGG19) -> None:
    """Not every painting does: see docs/decisions/0009-time-to-quality.md."""
    content, style = (
        read_picture((SAMPLES / f"{name}.jpg").read_bytes(), size=96).pixels
        for name in ("harbor", "mosaic")
    )
    values = {"size": 96, "clamp": True, "max_step": 0.01, "precision": "float32"}

    def last_loss(steps: int, coarse_first: float) -> float:
        parameters = Parameters.model_validate(
            {"preset": "neural-style", "steps": steps, "coarse_first": coarse_first, **values}
        )
        *_, last = Stylization(vgg, content, [style], parameters)
        return last.losses().total

    assert last_loss(31, 0.8) < last_loss(36, 0.0)
