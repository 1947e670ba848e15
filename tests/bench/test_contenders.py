"""Those that the bench compares do their work, each in a process of its own."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bench import memory, quality, start, steps
from bench.remote import Remote, RemoteError

SIZE_PX = 64


@pytest.fixture
def console() -> Console:
    return Console(width=160, record=True)


def test_what_went_wrong_in_the_other_process_is_said() -> None:
    with Remote(dict) as remote, pytest.raises(RemoteError, match="KeyError: 'nothing'"):
        remote.call("pop", "nothing")


def test_a_process_that_ended_is_noticed() -> None:
    with pytest.raises(RemoteError, match="ended with 7"), Remote(os._exit, 7):
        pass


def test_steps_are_compared_size_by_size(console: Console) -> None:
    steps.measure(console, {SIZE_PX: 1})
    printed = console.export_text()
    assert "literal / engine" in printed
    assert "engine / floor" in printed


def test_memory_is_compared_with_that_of_the_loop(console: Console) -> None:
    goals = memory.measure(console, (SIZE_PX,))
    assert [goal.what for goal in goals] == ["64 px: memory / literal"]


def test_both_pictures_of_a_race_are_judged_and_saved(console: Console, tmp_path: Path) -> None:
    (first, *_) = quality.measure(console, tmp_path, tmp_path, SIZE_PX, evaluations=12)
    assert "harbor" in first.what
    assert "judge and loop agree" in console.export_text()
    picture = np.asarray(Image.open(tmp_path / "harbor-swirl-loop.png"))
    assert max(picture.shape) == SIZE_PX


def test_starts_are_measured_in_steps(console: Console) -> None:
    (goal,) = start.measure(console, 1, SIZE_PX)
    assert goal.value > 1
