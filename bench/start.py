"""How soon painting begins: in a worker that is warm, and in a process that is not there yet."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from operator import sub
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.goals import Goal
from bench.pictures import PAINTING, PHOTOGRAPH
from bench.remote import ROOT, Remote
from bench.steps import shown
from shared.parameters import Parameters
from shared.settings import Settings
from worker.engine import VGG19, Progress, Stylization, load_weights
from worker.pictures import read_picture

SIZE_PX = 512
ROUNDS = 5
STEPS = 5
# What the cache of targets has from earlier jobs, as pairs of content and style.
KNOWN: dict[str, list[tuple[Path, Path]]] = {
    "neither picture seen before": [],
    "the style seen before": [(PAINTING, PAINTING)],
    "both pictures seen before": [(PHOTOGRAPH, PAINTING)],
}
# Run in a fresh interpreter, one after the other.
STAGES = {
    "import torch": "import torch",
    "import the rest of a worker": "import worker.app",
    "load the weights": "weights = worker.engine.load_weights('oxford-q8')",
    "make the network": "network = worker.engine.VGG19(weights)",
}

FRESH = """
import json, sys, time
times = [time.time()]
for stage in json.loads(sys.argv[1]):
    exec(stage)
    times.append(time.time())
print(json.dumps(times))
"""


class WarmWorker:
    """What of a worker's process paints, when it has painted before."""

    def __init__(self, size: int) -> None:
        self._parameters = Parameters(preset="neural-style", size=size)
        self._vgg = VGG19(
            load_weights("oxford-q8"), target_cache_bytes=Settings().target_cache_bytes
        )
        self._bytes = {path: path.read_bytes() for path in (PHOTOGRAPH, PAINTING)}

    def step(self) -> float:
        """The median time of a step that is not the first, s."""
        run = self._begin((PHOTOGRAPH, PAINTING))
        next(run)
        return median(self._time(run) for _ in range(STEPS))

    def first_step(self, known: list[tuple[Path, Path]]) -> tuple[float, float]:
        """From the bytes of the pictures to the end of the first step, s; of it, before the step:
        to read and resample the pictures."""
        self._vgg.targets.clear()
        for pair in known:
            next(self._begin(pair))
        started = time.perf_counter()
        run = self._begin((PHOTOGRAPH, PAINTING))
        reading = time.perf_counter() - started
        return reading + self._time(run), reading

    def _begin(self, pair: tuple[Path, Path]) -> Iterator[Progress]:
        size = self._parameters.size
        content, style = (read_picture(self._bytes[path], size=size).pixels for path in pair)
        return iter(Stylization(self._vgg, content, [style], self._parameters))

    def _time(self, run: Iterator[Progress]) -> float:
        started = time.perf_counter()
        next(run)
        if self._vgg.device.type == "cuda":
            torch.cuda.synchronize(self._vgg.device)
        return time.perf_counter() - started


def measure(console: Console, rounds: int = ROUNDS, size: int = SIZE_PX) -> list[Goal]:
    """Print how soon a warm worker has done its first step; what of it is asked for."""
    console.rule(f"A warm worker: from the bytes of two pictures to the end of a step, {size} px")
    steps: list[float] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in KNOWN}
    with console.status("loading the network"), Remote(WarmWorker, size) as worker:
        worker.call("step")  # the weights are in their places now
        for _ in range(rounds):
            steps.append(worker.call("step"))
            for name, known in KNOWN.items():
                found[name].append(worker.call("first_step", known))
    table = Table("", "ms", "of it, pictures in", "in steps, the first included")
    table.add_row("a step", f"{1000 * median(steps):.0f}", "", "1")
    ratios = {}
    for name, times in found.items():
        ratios[name] = [total / step for (total, _), step in zip(times, steps, strict=True)]
        total, reading = (1000 * median(column) for column in zip(*times, strict=True))
        table.add_row(name, f"{total:.0f}", f"{reading:.0f}", shown(ratios[name]))
    console.print(table)
    never_seen = next(iter(KNOWN))
    until_step = median(ratios[never_seen]) - 1
    return [Goal(f"{size} px: steps' time until the first can begin, {never_seen}", until_step, 2)]


def measure_fresh(console: Console, rounds: int = ROUNDS) -> None:
    """Print what a process does until it can take a job, and how long each takes."""
    console.rule("A fresh process: until a worker can take a job")
    found = [_stages() for _ in track(range(rounds), "starting", console=console, transient=True)]
    table = Table("", "ms")
    for name in found[0]:
        table.add_row(name, f"{1000 * median(times[name] for times in found):.0f}")
    table.add_row("all", f"{1000 * median(sum(times.values()) for times in found):.0f}")
    console.print(table)


def _stages() -> dict[str, float]:
    """The time of each stage, s, in an interpreter of its own."""
    began = time.time()
    command = [sys.executable, "-c", FRESH, json.dumps(list(STAGES.values()))]
    printed = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
    times = [began, *json.loads(printed)]
    names = ["start Python", *STAGES]
    return dict(zip(names, map(sub, times[1:], times), strict=True))
