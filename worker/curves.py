"""The losses of a whole run: collected as it paints, written as CSV, drawn as curves."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worker.engine import Losses, Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Formats of a plot, by the suffix of its file.
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
PLOT_INCHES = (9.0, 7.5)
PLOT_DPI = 120
# With fewer steps than this at each level, points are drawn as well as lines.
SPARSE_STEPS = 12
Color = str | tuple[float, float, float, float]
COLORS: dict[str, Color] = {
    "total": "black",
    "content": "tab:blue",
    "style": "tab:red",
    "tv": "tab:green",
}
COLUMNS = ("step", "level", "size", "content", "style", "tv", "total")


@dataclass(frozen=True)
class Point:
    """The losses that one step started from."""

    step: int  # from 1
    level: int  # from 1, coarsest first
    size: int  # long side of the picture, px
    losses: Losses


class Curves:
    """Collects the losses of every step without waiting for the device.

    What is kept for a step is a dozen numbers, which stay on the device until `points` reads them.
    """

    def __init__(self) -> None:
        self._progress: list[Progress] = []

    def add(self, progress: Progress) -> None:
        """Keep a step. A run that went back does some again: what came after is dropped."""
        done = self._progress[-1].step if self._progress else 0
        if progress.step > done:
            self._progress.append(progress)
        while self._progress and self._progress[-1].step > progress.step:
            self._progress.pop()

    def points(self) -> list[Point]:
        """All steps in order. Waits for the device."""
        return [
            Point(
                progress.step,
                progress.level + 1,
                max(progress.width_px, progress.height_px),
                progress.losses(),
            )
            for progress in self._progress
        ]


def to_csv(points: Sequence[Point]) -> str:
    """A line for each step: `COLUMNS`, then the loss at each layer, such as `style/relu3_1`.

    All losses as they enter the total, with their weights; the layers and tv add up to it.
    """
    layers = _layers(points)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow((*COLUMNS, *layers))
    for point in points:
        losses = point.losses
        lines.writerow(
            (
                *(point.step, point.level, point.size),
                *(losses.content, losses.style, losses.tv, losses.total),
                *(losses.layers.get(layer, "") for layer in layers),
            )
        )
    return text.getvalue()


def plot(points: Sequence[Point], suffix: str) -> bytes:
    """The curves as a file's bytes, in the format of `suffix` (one of `PLOT_SUFFIXES`).

    The losses above, what they are made of below, both on log scales; a level of the pyramid is a
    band that names its size. Losses that are 0 throughout are left out.
    """
    # Slow to import, and of use to no other command. A figure of its own, without pyplot, has no
    # global state and picks the renderer (Agg for PNG) by the format that it is saved in.
    from matplotlib.figure import Figure

    figure = Figure(figsize=PLOT_INCHES, dpi=PLOT_DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.2))
    for name, color in COLORS.items():
        values = [getattr(point.losses, name) for point in points]
        _draw(above, points, values, label=name, color=color, width=2.2 if name == "total" else 1.5)
    for layer, color in _layer_colors(_layers(points)).items():
        values = [point.losses.layers.get(layer, 0.0) for point in points]
        _draw(
            below,
            points,
            values,
            label=layer.replace("/", " "),
            color=color,
            dashed=layer.startswith("content/"),
        )
    above.set_title("Losses of each step, with their weights", loc="left", fontsize=11)
    below.set_title("The same, layer by layer", loc="left", fontsize=11)
    below.set_xlabel("step")
    for axes in (above, below):
        axes.set_yscale("log")
        axes.set_ylabel("loss")
        axes.grid(which="major", color="0.85", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.margins(x=0.01)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
        _leave_out_the_lowest(axes)
        _mark_levels(axes, points, named=axes is above)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix.removeprefix("."))
    return buffer.getvalue()


def _layers(points: Sequence[Point]) -> list[str]:
    """Their names, those of the content first, each kind from the first layer to the deepest."""
    found = dict.fromkeys(layer for point in points for layer in point.losses.layers)
    return sorted(found, key=lambda layer: not layer.startswith("content/"))


def _layer_colors(layers: Sequence[str]) -> dict[str, Color]:
    """Blues for content and warm colours for style, darker with depth."""
    from matplotlib import colormaps

    colors: dict[str, Color] = {}
    for kind, name in (("content/", "Blues"), ("style/", "YlOrRd")):
        own = [layer for layer in layers if layer.startswith(kind)]
        for index, layer in enumerate(own, start=1):
            colors[layer] = colormaps[name](0.3 + 0.6 * index / len(own))
    return colors


def _draw(
    axes: "Axes",
    points: Sequence[Point],
    values: Sequence[float],
    *,
    label: str,
    color: Color,
    width: float = 1.5,
    dashed: bool = False,
) -> None:
    """One curve, interrupted where a level ends: losses of different sizes do not compare."""
    if not any(value > 0 for value in values):
        return
    steps: list[float] = []
    heights: list[float] = []
    previous = points[0].level
    for point, value in zip(points, values, strict=True):
        if point.level != previous:
            steps.append(point.step - 0.5)
            heights.append(float("nan"))
            previous = point.level
        steps.append(point.step)
        heights.append(value if value > 0 else float("nan"))
    sparse = len(points) < SPARSE_STEPS * points[-1].level
    axes.plot(
        steps,
        heights,
        label=label,
        color=color,
        linewidth=width,
        linestyle="--" if dashed else "-",
        marker="o" if sparse else None,
        markersize=3,
    )


def _leave_out_the_lowest(axes: "Axes") -> None:
    """Let the axis begin a little under nearly all values.

    A run that starts from the content begins with a content loss of about 0, far below the rest.
    """
    values = np.concatenate([line.get_ydata() for line in axes.lines] or [np.empty(0)])
    values = values[np.isfinite(values)]
    if values.size:
        axes.set_ylim(bottom=0.5 * np.percentile(values, 2))


def _mark_levels(axes: "Axes", points: Sequence[Point], *, named: bool) -> None:
    """A band for every other level, and the size of each above it if `named`."""
    for level in dict.fromkeys(point.level for point in points):
        own = [point for point in points if point.level == level]
        start, end = own[0].step - 0.5, own[-1].step + 0.5
        if level % 2 == 0:
            axes.axvspan(start, end, color="0.5", alpha=0.08, linewidth=0)
        if named:
            axes.annotate(
                f"{own[0].size} px",
                ((start + end) / 2, 0.99),
                xycoords=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=8,
                color="0.4",
            )
