"""The animation of how a picture grew."""

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from worker.animation import LAST_FRAME_MILLISECONDS, MAX_FRAMES, Animation, frame_steps


def gray(width: int, height: int, value: int) -> Tensor:
    return torch.full((height, width, 3), value, dtype=torch.uint8)


def frames(data: bytes) -> list[tuple[Image.Image, float]]:
    """Each frame, and how long it is shown, ms."""
    found = []
    with Image.open(io.BytesIO(data)) as image:
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            found.append((image.convert("RGB"), image.info["duration"]))
    return found


@pytest.mark.parametrize("total", [1, 5, 59, 60, 61, 100, 333, 10_000])
def test_the_start_and_the_end_are_shown_and_never_too_many(total: int) -> None:
    steps = frame_steps(total)
    assert min(steps) == 0
    assert max(steps) == total
    assert len(steps) == min(total + 1, MAX_FRAMES)


def test_early_steps_get_more_frames() -> None:
    steps = frame_steps(600)
    assert len([step for step in steps if step <= 150]) >= 30  # half of them in a quarter
    assert {0, 1, 2, 3} <= steps


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_it_has_one_size_plays_in_order_and_rests_on_the_last_frame(suffix: str) -> None:
    animation = Animation(total_steps=3, width_px=40, height_px=30)
    animation.add(0, gray(20, 15, 0))  # a coarse level
    animation.add(1, gray(20, 15, 80))
    animation.add(2, gray(40, 30, 160))
    animation.add(3, gray(40, 30, 240))
    shown = frames(animation.encode(suffix))
    assert [image.size for image, _ in shown] == [(40, 30)] * 4
    levels = [image.getpixel((20, 15))[0] for image, _ in shown]
    assert levels == pytest.approx([0, 80, 160, 240], abs=8)
    durations = [duration for _, duration in shown]
    assert durations[-1] == LAST_FRAME_MILLISECONDS
    assert max(durations[:-1]) < 200


def test_large_pictures_are_shown_smaller() -> None:
    animation = Animation(total_steps=1, width_px=2048, height_px=1024)
    animation.add(0, gray(128, 64, 10))
    animation.add(1, gray(2048, 1024, 200))
    assert {image.size for image, _ in frames(animation.encode(".webp"))} == {(512, 256)}


def test_a_run_that_went_back_shows_only_what_it_kept() -> None:
    animation = Animation(total_steps=9, width_px=32, height_px=32)
    for step, value in [(0, 0), (3, 250), (5, 250), (2, 60), (3, 120)]:
        animation.add(step, gray(32, 32, value))
    shown = [image.getpixel((9, 9))[0] for image, _ in frames(animation.encode(".webp"))]
    assert shown == pytest.approx([0, 60, 120], abs=4)


def test_colours_survive_the_palette_of_a_gif() -> None:
    rainbow = torch.zeros(64, 64, 3, dtype=torch.uint8)
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8)
    rainbow[..., 0], rainbow[..., 1], rainbow[..., 2] = ramp, ramp[:, None], 255 - ramp
    animation = Animation(total_steps=1, width_px=64, height_px=64)
    animation.add(0, rainbow)
    animation.add(1, rainbow.flip(0))
    (first, _), _ = frames(animation.encode(".gif"))
    shown = torch.tensor(list(first.tobytes())).view(64, 64, 3).float()
    assert (shown - rainbow).abs().mean() < 10
