"""How much memory a step takes, and whether a large picture can be painted."""

from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.contenders import Engine, Literal
from bench.goals import Goal
from bench.remote import Remote

SIZES = (512, 1024)
STEPS = 3
LARGE_PX = 2048
CONTENDERS: dict[str, tuple[Any, ...]] = {
    "literal": (Literal,),
    "engine": (Engine, "auto"),
    "engine, float32": (Engine, "float32"),
}


def measure(console: Console, sizes: tuple[int, ...] = SIZES) -> list[Goal]:
    """Print the peaks; what of it was asked for."""
    console.rule(f"Peak of memory: {STEPS} steps of neural-style, 4:3, above the loaded network")
    peaks: dict[str, dict[int, int]] = {name: {} for name in CONTENDERS}
    for name, contender in CONTENDERS.items():
        for size in sizes:  # a fresh process for each: what was freed is not always given back
            with console.status(f"{name}, {size} px"), Remote(*contender) as remote:
                peaks[name][size] = remote.call("peak_bytes", size, STEPS)
    table = Table("", *(f"{size} px" for size in sizes))
    for name, found in peaks.items():
        table.add_row(f"{name}, MB", *(f"{found[size] / 1e6:.0f}" for size in sizes))
    for name in list(CONTENDERS)[1:]:
        shares = (f"{peaks[name][size] / peaks['literal'][size]:.2f}" for size in sizes)
        table.add_row(f"{name} / literal", *shares)
    console.print(table)
    return [
        Goal(f"{size} px: memory / literal", peaks["engine"][size] / peaks["literal"][size], 0.5)
        for size in sizes
    ]


def measure_large(console: Console, size: int = LARGE_PX) -> None:
    """Paint a few steps of a picture that is large for the machine."""
    height = size * 3 // 4
    console.rule(f"{size} x {height} px: {STEPS} steps of neural-style")
    with console.status("painting"), Remote(Engine, "auto") as remote:
        peak = remote.call("peak_bytes", size, STEPS)
        remote.call("open", size, STEPS + 1)
        seconds = [remote.call("step") for _ in range(STEPS + 1)][1:]
    console.print(f"{peak / 1e9:.1f} GB above the loaded network, {median(seconds):.1f} s a step")
