"""Jobs per minute of one worker with all cores, and of two that share them or fight for them."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.pictures import PAINTING, PHOTOGRAPH, landscape, read
from bench.remote import Remote, start_all
from bench.steps import PAUSE_SECONDS, ratio, shown
from shared.cores import Cores
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, load_weights
from worker.threads import use_threads

SIZE_PX = 384
STEPS = 10
ROUNDS = 5
ALONE = "one worker, all cores"
SHARING = "two workers, their shares of the cores"
FIGHTING = "two workers, all cores each"


class Painter:
    """What of a worker's process paints."""

    def __init__(self, threads: int, size: int) -> None:
        use_threads(threads)
        self._vgg = VGG19(load_weights("oxford-q8"))
        shape = landscape(size)
        self._content, self._style = read(PHOTOGRAPH, shape), read(PAINTING, shape)
        self._parameters = Parameters(preset="neural-style", size=size, steps=STEPS)

    def paint(self) -> None:
        """One job."""
        run = Stylization(self._vgg, self._content, [self._style], self._parameters)
        for _ in run:
            pass
        run.picture()


def measure(console: Console, rounds: int = ROUNDS, size: int = SIZE_PX) -> None:
    """Print the rates and their ratios."""
    console.rule(f"Workers on one machine: jobs of {STEPS} steps of neural-style at {size} px")
    usable = Cores.usable()
    cores, share = usable.share(1), usable.share(2)
    with ExitStack() as stack:
        with console.status("loading the networks"):
            threads = {"alone": cores, "a": share, "b": share, "c": cores, "d": cores}
            makers = {name: (Painter, count, size) for name, count in threads.items()}
            remotes = start_all(stack, makers)
        crews = {
            ALONE: [remotes["alone"]],
            SHARING: [remotes["a"], remotes["b"]],
            FIGHTING: [remotes["c"], remotes["d"]],
        }
        rates = _rates(console, crews, rounds)
    table = Table("", "jobs a minute", f"of {ALONE}")
    for name, found in rates.items():
        table.add_row(name, f"{median(found):.1f}", shown(ratio(rates, name, ALONE)))
    console.print(table)


def _rates(
    console: Console, crews: Mapping[str, Sequence[Remote]], rounds: int
) -> dict[str, list[float]]:
    """Jobs a minute of each crew, round by round; one crew works at a time."""
    rates: dict[str, list[float]] = {name: [] for name in crews}
    for number in track(range(rounds + 1), "painting", console=console, transient=True):
        for name, crew in crews.items():
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            for painter in crew:
                painter.ask("paint")
            for painter in crew:
                painter.answer()
            if number:  # the first puts the weights in their places
                rates[name].append(60 * len(crew) / (time.perf_counter() - started))
    return rates
