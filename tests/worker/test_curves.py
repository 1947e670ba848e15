"""Losses of a whole run as a table and as curves."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterable

import pytest
import torch
from PIL import Image

from worker.curves import COLUMNS, PLOT_SUFFIXES, Curves, Point, plot, to_csv
from worker.engine import Progress
from worker.engine.objective import LossValues

NAMES = ("style/relu1_1", "style/relu2_1", "content/relu4_2", "tv")


def progress(step: int, *, level: int = 0, scale: float = 1.0) -> Progress:
    values = torch.tensor([4.0, 2.0, 1.0, 0.5]) * scale / step
    return Progress(
        step=step,
        total_steps=8,
        level=level,
        levels=2,
        width_px=32 * (level + 1),
        height_px=24 * (level + 1),
        _losses=LossValues(NAMES, values),
    )


def curves(steps: Iterable[Progress]) -> Curves:
    collected = Curves()
    for step in steps:
        collected.add(step)
    return collected


@pytest.fixture
def points() -> list[Point]:
    return curves(progress(step, level=step > 4) for step in range(1, 9)).points()


def test_the_table_has_a_line_for_each_step_and_its_layers_add_up(points: list[Point]) -> None:
    header, *lines = csv.reader(io.StringIO(to_csv(points)))
    assert header == [*COLUMNS, "content/relu4_2", "style/relu1_1", "style/relu2_1"]
    assert [(line[0], line[1], line[2]) for line in lines] == [
        (str(step), "1" if step <= 4 else "2", "32" if step <= 4 else "64") for step in range(1, 9)
    ]
    for line in lines:
        row = dict(zip(header, map(float, line), strict=True))
        assert row["style"] == pytest.approx(row["style/relu1_1"] + row["style/relu2_1"])
        assert row["content"] == row["content/relu4_2"]
        assert row["total"] == pytest.approx(row["content"] + row["style"] + row["tv"])


def test_nothing_waits_for_the_device_while_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = []
    read = LossValues.read
    monkeypatch.setattr(LossValues, "read", lambda self: (reads.append(self), read(self))[1])
    collected = curves(progress(step) for step in range(1, 9))
    assert reads == []
    assert len(collected.points()) == len(reads) == 8


def test_steps_that_were_done_again_replace_the_first_try() -> None:
    again = [progress(step) for step in (1, 2, 3, 4)]
    again.append(progress(2, scale=float("nan")))  # diverged and went back behind the second step
    again += [progress(step, scale=10) for step in (3, 4, 5)]
    points = curves(again).points()
    assert [point.step for point in points] == [1, 2, 3, 4, 5]
    assert [point.losses.tv * point.step for point in points] == pytest.approx([0.5, 0.5, 5, 5, 5])


def test_a_run_that_went_back_to_its_start_begins_anew() -> None:
    diverged = progress(1, scale=float("nan"))
    back = Progress(**{**vars(diverged), "step": 0})
    assert curves([back]).points() == []
    points = curves([progress(1), progress(2), back, progress(1, scale=3)]).points()
    assert [point.losses.tv for point in points] == [1.5]


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_curves_are_drawn_in_the_format_of_the_suffix(
    suffix: str, magic: bytes, points: list[Point]
) -> None:
    assert suffix in PLOT_SUFFIXES
    assert plot(points, suffix).startswith(magic)


def test_the_drawing_names_every_curve_and_every_level(points: list[Point]) -> None:
    # matplotlib draws letters as shapes, and says in comments what they spell.
    drawing = plot(points, ".svg").decode()
    for text in ("total", "content", "style", "tv", "style relu2_1", "content relu4_2"):
        assert f"<!-- {text} -->" in drawing
    assert "<!-- 32 px -->" in drawing
    assert "<!-- 64 px -->" in drawing


def test_a_loss_that_is_always_zero_is_not_drawn(points: list[Point]) -> None:
    points = curves(
        Progress(**{**vars(progress(1)), "_losses": LossValues(NAMES, torch.tensor(values))})
        for values in [[1.0, 1.0, 0.0, 0.0]]
    ).points()
    drawing = plot(points, ".svg").decode()
    assert "<!-- style -->" in drawing
    assert "<!-- tv -->" not in drawing


def test_a_first_loss_of_almost_nothing_does_not_press_the_others_together() -> None:
    steps = [progress(step) for step in range(1, 41)]
    first = LossValues(NAMES, torch.tensor([4, 2, 1e-9, 0.5]))  # from the content: no content loss
    steps[0] = Progress(**{**vars(steps[0]), "_losses": first})
    with Image.open(io.BytesIO(plot(curves(steps).points(), ".png"))) as image:
        pixels = torch.tensor(list(image.convert("RGB").tobytes()))
        rows = pixels.view(image.height, image.width, 3).float()
    losses = rows[: rows.shape[0] // 2, : int(0.8 * rows.shape[1])]  # without the legend
    style = torch.tensor([214.0, 39.0, 40.0])  # its curve, which falls by a factor of 40
    found = ((losses - style).abs().amax(-1) < 20).any(dim=1).nonzero()
    assert found.max() - found.min() > 0.3 * losses.shape[0]


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = (
        "import sys, worker.commands.stylize;"
        "sys.exit(any(name.startswith('matplotlib') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
