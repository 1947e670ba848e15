"""When the engine delivers what the literal loop delivers after 300 evaluations.

Both start from the content and look at the same resampled pictures. What counts is the picture as
it is delivered, clamped and in 8 bits, judged in float32 at its full size. The loop's evaluations
come in slices, and after each slice the engine goes on for a share of the time that it took: what
slows the machine for a while hits both.
"""

import math
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.goals import Goal
from bench.judge import judge
from bench.literal import LiteralLoop, preprocess, vgg19
from bench.pictures import OTHERS, SAMPLES, read, shape_at
from bench.remote import Remote
from shared.parameters import Parameters
from worker.engine import VGG19, Progress, Stylization, load_weights, resolve_device

# How the engine goes down the objective of neural-style fastest (docs/decisions/0009). The deepest
# style layer, a thousandth of the loss, is not looked at: that saves a quarter of a step. The judge
# looks at all of them.
FASTEST: dict[str, Any] = {
    "clamp": True,
    "max_step": 0.02,
    "coarse_first": 0.8,
    "history_size": 20,
    "style_layers": {f"relu{block}_1": 1.0 for block in range(1, 5)},
}
PAIRS = [("tubingen.jpg", "starry_night.jpg"), ("golden_gate.jpg", "the_scream.jpg")]
SAMPLE_PAIRS = [("harbor.jpg", "swirl.jpg"), ("harbor.jpg", "mosaic.jpg")]
SIZE_PX = 384
EVALUATIONS = 300
SLICES = 20
SHARES = (1 / 30, 1 / 10)  # of the loop's time, at which the engine's picture is judged
ENGINE_SHARE = 1 / 5  # that it gets, to pass the loop at last
JUDGES_AGREE = 1e-4
MAX_STEPS = 10_000

Picture = NDArray[np.uint8]  # (H, W, 3)
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Moment:
    """What the engine would deliver after so many seconds of its own time."""

    seconds: float
    step: int
    picture: Picture


@dataclass(frozen=True)
class Race:
    """What both made of one pair."""

    seconds: float  # of the loop
    reference: Picture
    moments: list[Moment]

    def at(self, share: float) -> Moment | None:
        """What the engine has in this share of the loop's time; None before its first step."""
        until = [moment for moment in self.moments if moment.seconds <= share * self.seconds]
        return until[-1] if until else None


class Judge:
    """The one judge of both: float32, from the pixels as they are saved."""

    def __init__(self, network: VGG19, pair: Pair, size: int) -> None:
        self._network = network
        self._images = [read(path, shape_at(path, size)) for path in pair]
        self._parameters = _parameters(size, {})

    def __call__(self, picture: Picture) -> float:
        """The loss of neural-style."""
        pixels = torch.from_numpy(picture)
        return judge(self._network, self._images, self._parameters, pixels).total

    def check(self, picture: Picture) -> float:
        """How far its loss is from what the literal loop itself computes, as a share of it.

        Raises:
            AssertionError: it is another loss.
        """
        device = self._network.device
        content, style = (image.to(device) for image in self._images)
        loop = LiteralLoop(vgg19(load_weights("oxford-q8")).to(device), content, style)
        pixels = torch.from_numpy(picture).permute(2, 0, 1).to(device) / 255
        with torch.no_grad():
            own = loop.loss(preprocess(pixels)).item()
        difference = abs(self(picture) / own - 1)
        assert difference < JUDGES_AGREE, (own, self(picture))
        return difference


class LoopRunner:
    """The literal loop on one pair after the other."""

    def __init__(self) -> None:
        self._device = resolve_device("auto")
        self._net = vgg19(load_weights("oxford-q8")).to(self._device)
        self._loop: LiteralLoop | None = None

    def open(self, pair: Pair, size: int) -> None:
        """Begin with `pair`."""
        content, style = (read(path, shape_at(path, size)).to(self._device) for path in pair)
        self._loop = LiteralLoop(self._net, content, style)

    def run(self, evaluations: int) -> float:
        """Go on for so many evaluations; the time that they took, s."""
        assert self._loop is not None
        started = time.perf_counter()
        for _ in range(evaluations):
            self._loop.step()
        _synchronize(self._device)
        return time.perf_counter() - started

    def picture(self) -> Picture:
        """The picture as it would be saved."""
        assert self._loop is not None
        return self._loop.picture().numpy()


class EngineRunner:
    """The engine on one pair after the other."""

    def __init__(self) -> None:
        self._vgg = VGG19(load_weights("oxford-q8"))
        self._painting: Iterator[tuple[Progress, Stylization]] = iter(())
        self._seconds = 0.0
        self._size = 0

    def open(self, pair: Pair, size: int, values: dict[str, Any]) -> None:
        """Begin with `pair`. A worker has painted before: small steps put the weights in place."""
        for _ in self._paint(pair, 64, {**values, "steps": 2, "pyramid": None}):
            pass
        self._size, self._seconds = size, 0.0
        self._painting = self._paint(pair, size, {"steps": MAX_STEPS, **values})

    def run(self, seconds: float) -> list[Moment]:
        """Go on until so many seconds of its own time have passed; what it had on the way."""
        moments = []
        while self._seconds < seconds:
            started = time.perf_counter()
            found = next(self._painting, None)
            if found is None:
                break
            progress, run = found
            picture = run.picture().numpy()  # waits for the device
            self._seconds += time.perf_counter() - started
            if max(picture.shape) == self._size:
                moments.append(Moment(self._seconds, progress.step, picture))
        return moments

    def _paint(
        self, pair: Pair, size: int, values: dict[str, Any]
    ) -> Iterator[tuple[Progress, Stylization]]:
        content, style = (read(path, shape_at(path, size)) for path in pair)
        run = Stylization(self._vgg, content, [style], _parameters(size, values))
        for progress in run:
            yield progress, run


def measure(
    console: Console,
    output: Path,
    images: Path = OTHERS,
    size: int = SIZE_PX,
    evaluations: int = EVALUATIONS,
) -> list[Goal]:
    """Print when the engine passes the loop, and write the pictures of both into `output`."""
    console.rule(f"Time to quality: neural-style at {size} px, {evaluations} evaluations")
    console.print(f"the engine with {FASTEST}")
    output.mkdir(parents=True, exist_ok=True)
    network = VGG19(load_weights("oxford-q8"))
    table = Table("", "s", "of the loop's time", "steps", "delivered loss", "to the loop's")
    goals = []
    with Remote(LoopRunner) as loop, Remote(EngineRunner) as engine:
        for pair in _pairs(images):
            race = _race(console, loop, engine, pair, size, evaluations)
            with console.status("judging"):
                goals += _judged(table, Judge(network, pair, size), race, pair, evaluations)
            _save(output, race, pair)
    console.print(table)
    console.print(f"pictures: {output}")
    return goals


def _pairs(images: Path) -> list[Pair]:
    if all((images / name).is_file() for pair in PAIRS for name in pair):
        return [(images / content, images / style) for content, style in PAIRS]
    return [(SAMPLES / content, SAMPLES / style) for content, style in SAMPLE_PAIRS]


def _race(
    console: Console, loop: Remote, engine: Remote, pair: Pair, size: int, evaluations: int
) -> Race:
    loop.call("open", pair, size)
    engine.call("open", pair, size, FASTEST)
    seconds = 0.0
    moments: list[Moment] = []
    slices = [len(part) for part in np.array_split(range(evaluations), SLICES) if len(part)]
    for count in track(slices, pair[0].stem, console=console, transient=True):
        seconds += loop.call("run", count)
        moments += engine.call("run", ENGINE_SHARE * seconds)
    return Race(seconds, loop.call("picture"), moments)


def _judged(table: Table, judge_of: Judge, race: Race, pair: Pair, evaluations: int) -> list[Goal]:
    """Rows of the table for one pair, and its goals."""
    name = f"{pair[0].stem}, {pair[1].stem}"
    reference = judge_of(race.reference)

    def row(what: str, seconds: float, steps: int, loss: float) -> None:
        table.add_row(
            what,
            f"{seconds:.1f}",
            f"1/{race.seconds / seconds:.1f}",
            str(steps),
            f"{loss:.4g}",
            f"{loss / reference - 1:+.1%}",
        )

    row(f"{name}: loop", race.seconds, evaluations, reference)
    losses = {}
    for share in SHARES:
        moment = race.at(share)
        if moment is not None:
            losses[share] = judge_of(moment.picture)
            row("engine", moment.seconds, moment.step, losses[share])
    passing = _first_below(race.moments, reference, judge_of)
    if passing is None:
        table.add_row("engine: does not pass the loop in its time")
    else:
        row("engine, passing the loop", passing.seconds, passing.step, judge_of(passing.picture))
    table.add_section()
    table.caption = f"judge and loop agree within {judge_of.check(race.reference):.0e} of the loss"
    faster = 0.0 if passing is None else race.seconds / passing.seconds
    in_a_tenth = losses.get(1 / 10, math.inf) / reference
    return [
        Goal(f"{name}: times faster to the loop's loss", faster, 30, at_least=True, form=".1f"),
        Goal(f"{name}: loss in a tenth of the time / the loop's", in_a_tenth, 0.9),
    ]


def _first_below(moments: Sequence[Moment], loss: float, judge_of: Judge) -> Moment | None:
    """The first moment below `loss`, found by halving: the losses fall all the way."""
    if not moments or judge_of(moments[-1].picture) > loss:
        return None
    first = bisect_left(moments, True, key=lambda moment: judge_of(moment.picture) <= loss)
    return moments[first]


def _save(output: Path, race: Race, pair: Pair) -> None:
    pictures = {"loop": race.reference}
    for share in SHARES:
        moment = race.at(share)
        if moment is not None:
            pictures[f"engine-in-1-{1 / share:.0f}"] = moment.picture
    for who, picture in pictures.items():
        Image.fromarray(picture).save(output / f"{pair[0].stem}-{pair[1].stem}-{who}.png")


def _parameters(size: int, values: dict[str, Any]) -> Parameters:
    return Parameters.model_validate({"preset": "neural-style", "size": size, **values})


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
