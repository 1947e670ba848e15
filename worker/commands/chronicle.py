"""What `impasto stylize` notes while it paints, for the files that tell of the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.animation import Animation
from worker.curves import Curves, plot, to_csv
from worker.engine import Progress, Stylization


@dataclass(frozen=True)
class Chronicle:
    """Notes the losses of a run, and how the picture grew, as far as there are files for them."""

    csv: Path | None
    plot: Path | None
    animation: Path | None

    def watch(self, run: Stylization) -> "Watch":
        """Begin to take notes of a run that has not begun."""
        return Watch(self, run)


class Watch:
    """The notes on one run."""

    def __init__(self, chronicle: Chronicle, run: Stylization) -> None:
        self._files = chronicle
        self._run = run
        self._curves = Curves() if chronicle.csv or chronicle.plot else None
        self._animation: Animation | None = None
        if chronicle.animation:
            last = run.levels[-1]
            self._animation = Animation(run.total_steps, last.width, last.height)
            self._animation.add(0, run.picture())

    def step(self, progress: Progress) -> None:
        """Take note of a step."""
        if self._curves is not None:
            self._curves.add(progress)
        if self._animation is not None and (
            self._animation.is_due(progress.step) or progress.step == progress.total_steps
        ):
            self._animation.add(progress.step, self._run.picture())

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """The files, one after the other. Waits for the device."""
        files = self._files
        points = self._curves.points() if self._curves is not None else []
        if files.csv is not None:
            yield files.csv, to_csv(points).encode()
        if files.plot is not None:
            yield files.plot, plot(points, files.plot.suffix.lower())
        if files.animation is not None and self._animation is not None:
            yield files.animation, self._animation.encode(files.animation.suffix.lower())
