"""`make bench`, or `python -m bench COMMAND`; `python -m bench --help` lists them."""

from pathlib import Path

import click
from rich.console import Console

from bench import (
    activations,
    estimate,
    front_door,
    goals,
    inputs,
    machine,
    memory,
    overhead,
    quality,
    recipes,
    reporting,
    start,
    steps,
    workers,
)
from bench.pictures import OTHERS

RESULTS = Path("bench/results")


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure the engine and the service, and print ratios.

    Without a command: steps, memory, quality, start, reporting, workers and front_door, then
    overhead; about half an hour.
    """
    console = Console()
    for line in machine.description():
        console.print(line)
    if context.invoked_subcommand is None:
        found = steps.measure(console)
        found += memory.measure(console)
        memory.measure_large(console)
        found += quality.measure(console, RESULTS)
        found += start.measure(console)
        start.measure_fresh(console)
        found += reporting.measure(console)
        workers.measure(console)
        found += front_door.measure(console)
        goals.show(console, found)
        overhead.measure(console)


@main.command("steps")
def steps_command() -> None:
    """A step's time, beside the literal loop's and that of the bare convolutions."""
    console = Console()
    goals.show(console, steps.measure(console))


@main.command("memory")
@click.option("--large", is_flag=True, help="Paint a picture of 2048 x 1536 px instead.")
def memory_command(large: bool) -> None:
    """A step's peak of memory, beside the literal loop's."""
    console = Console()
    if large:
        memory.measure_large(console)
    else:
        goals.show(console, memory.measure(console))


@main.command("quality")
@click.option("-o", "--output", default=RESULTS, type=click.Path(path_type=Path))
@click.option(
    "--images",
    default=OTHERS,
    type=click.Path(path_type=Path),
    help="Folder of real pictures; the samples, where they are not there.",
)
@click.option("--size", default=quality.SIZE_PX, show_default=True, help="Long side, px.")
@click.option("--evaluations", default=quality.EVALUATIONS, show_default=True)
def quality_command(output: Path, images: Path, size: int, evaluations: int) -> None:
    """When the engine passes the literal loop, and how far ahead it is; writes the pictures."""
    console = Console(width=120)
    goals.show(console, quality.measure(console, output, images, size, evaluations))


@main.command("start")
def start_command() -> None:
    """From pictures to the first step in a warm worker, and what a worker's start takes."""
    console = Console()
    goals.show(console, start.measure(console))
    start.measure_fresh(console)


@main.command("reporting")
def reporting_command() -> None:
    """The share of a run that its reports take."""
    console = Console()
    goals.show(console, reporting.measure(console))


@main.command("workers")
def workers_command() -> None:
    """Jobs a minute of one worker and of two."""
    workers.measure(Console())


@main.command("overhead")
@click.option("--rounds", default=5, show_default=True)
def overhead_command(rounds: int) -> None:
    """What the service adds to the engine's own time."""
    overhead.measure(Console(), rounds)


@main.command("front_door")
@click.option("--rounds", default=9, show_default=True)
@click.option("--seconds", default=1.0, show_default=True, help="Of a round.")
@click.option("--streams", default=400, show_default=True)
def front_door_command(rounds: int, seconds: float, streams: int) -> None:
    """Polls, submits and streams of the API, beside a bare Flask route."""
    console = Console(width=120)
    goals.show(console, front_door.measure(console, rounds, seconds, streams))


@main.command("inputs")
@click.argument("names", nargs=-1, type=click.Choice(list(inputs.WORST)), metavar="[NAME]...")
def inputs_command(names: tuple[str, ...]) -> None:
    """What the worst pictures cost the API: seconds and memory."""
    inputs.measure(Console(width=140), names)


@main.command("activations")
@click.argument("photographs", nargs=-1, type=click.Path(exists=True, path_type=Path))
def activations_command(photographs: tuple[Path, ...]) -> None:
    """Mean activations of VGG-19 over PHOTOGRAPHS, as the engine holds them."""
    activations.measure(Console(), photographs)


@main.command("estimate")
def estimate_command() -> None:
    """Estimates of jobs beside what they take."""
    estimate.measure(Console())


@main.command("recipes")
@click.option("-o", "--output", default="recipes.png", type=click.Path(path_type=Path))
@click.option("--size", default=320, show_default=True, help="Long side, px.")
def recipes_command(output: Path, size: int) -> None:
    """The default beside what it has to beat, for the same time: a contact sheet and a judge."""
    recipes.measure(Console(width=120), output, size)


if __name__ == "__main__":
    main(prog_name="bench")
