"""`impasto stylize --estimate` says what a picture would take, and paints nothing."""

import json
from pathlib import Path

from shared.estimates import Estimate, LevelEstimate
from tests.worker.commands.conftest import FAST, Run
from worker.commands.estimating import in_words


def test_an_estimate_is_printed_and_nothing_is_painted(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    arguments = (content, style, "-o", output, *FAST, "--estimate")
    assert painted(*arguments).stdout.startswith("3 steps, about ")
    found = json.loads(painted(*arguments, "--json").stdout)
    assert found["steps"] == 3
    assert found["seconds"] > 0
    assert found["memory_bytes"] > 0
    assert not output.exists()


def test_levels_are_listed_where_there_are_several() -> None:
    levels = [
        LevelEstimate(width_px=128, height_px=96, steps=75, seconds=4.04),
        LevelEstimate(width_px=256, height_px=192, steps=75, seconds=86.0),
    ]
    estimate = Estimate(steps=150, seconds=90.4, memory_bytes=1_234_000_000, levels=levels)
    assert in_words(estimate).splitlines() == [
        "150 steps, about 1 min 30 s, 1,234 MB beside the network",
        "  128 x 96 px: 75 steps, 4.0 s",
        "  256 x 192 px: 75 steps, 1 min 26 s",
    ]
