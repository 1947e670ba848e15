"""How long a step takes: the literal loop, the engine, and the bare convolutions, in turns."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.contenders import Engine, Floor, Literal
from bench.goals import Goal
from bench.remote import Remote, start_all
from worker.engine import resolve_device
from worker.engine.hardware import has_fast_bfloat16

ROUNDS = {256: 15, 512: 9, 1024: 5}  # by long side, px
# Threads of OpenMP spin for a while after their work, on the cores of whoever is next.
PAUSE_SECONDS = 0.02
CONTENDERS: dict[str, tuple[Any, ...]] = {
    "literal": (Literal,),
    "engine": (Engine, "auto"),
    "engine, float32": (Engine, "float32"),
    "floor": (Floor, "auto"),
    "floor, float32": (Floor, "float32"),
}
RATIOS = (
    ("literal", "engine"),
    ("literal", "engine, float32"),
    ("literal", "floor"),  # the most that anything could reach
    ("engine", "floor"),
    ("engine, float32", "floor, float32"),
)

Times = Mapping[str, Sequence[float]]  # s of each contender, in the order of the rounds


def measure(console: Console, rounds: Mapping[int, int] = ROUNDS) -> list[Goal]:
    """Print times and ratios. Returns what of it the engine is asked for."""
    console.rule("Time of a step: neural-style, 4:3, L-BFGS included")
    with ExitStack() as stack:
        with console.status("loading the networks"):
            remotes = start_all(stack, CONTENDERS)
        found = {size: _times(console, remotes, size, count) for size, count in rounds.items()}
    console.print(_table(found))
    console.print("medians; ratios: median of those of each round, and their range")
    return _goals(found)


def ratio(times: Times, over: str, under: str) -> list[float]:
    """`over` / `under`, round by round: what slows the machine for a while hits both."""
    return [a / b for a, b in zip(times[over], times[under], strict=True)]


def shown(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _times(console: Console, remotes: Mapping[str, Remote], size: int, count: int) -> Times:
    times: dict[str, list[float]] = {name: [] for name in remotes}
    for remote in remotes.values():
        remote.call("open", size, count + 1)
    for number in track(range(count + 1), f"{size} px", console=console, transient=True):
        for name, remote in remotes.items():
            time.sleep(PAUSE_SECONDS)
            seconds = remote.call("step")
            if number:  # the first prepares: targets, weights, memory
                times[name].append(seconds)
    return times


def _table(found: Mapping[int, Times]) -> Table:
    table = Table("", *(f"{size} px" for size in found))

    def row(name: str, values: Iterable[str]) -> None:
        table.add_row(name, *values)

    for name in CONTENDERS:
        row(f"{name}, ms", (f"{1000 * median(times[name]):.0f}" for times in found.values()))
    table.add_section()
    for over, under in RATIOS:
        row(f"{over} / {under}", (shown(ratio(times, over, under)) for times in found.values()))
    table.add_section()
    for name in CONTENDERS:
        row(
            f"{name}, ns a pixel",
            (f"{1e9 * median(times[name]) / _pixels(size):.0f}" for size, times in found.items()),
        )
    return table


def _goals(found: Mapping[int, Times]) -> list[Goal]:
    goals = []
    if 512 in found:
        times = found[512]
        if has_fast_bfloat16(resolve_device("auto")):
            faster = median(ratio(times, "literal", "engine"))
            goals.append(Goal("512 px: literal / engine", faster, 7, at_least=True))
        faster = median(ratio(times, "literal", "engine, float32"))
        goals.append(Goal("512 px: literal / engine in float32", faster, 1.4, at_least=True))
        goals.append(Goal("512 px: engine / floor", median(ratio(times, "engine", "floor")), 1.4))
    if {512, 1024} <= found.keys():
        small, large = (median(found[size]["engine"]) / _pixels(size) for size in (512, 1024))
        goals.append(Goal("a pixel at 1024 px / one at 512 px", large / small, 1))
    return goals


def _pixels(size: int) -> int:
    return size * size * 3 // 4
