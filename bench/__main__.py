"""`make bench`, or `python -m bench COMMAND`; `python -m bench --help` lists them."""

import platform
from pathlib import Path

import click
import torch
from rich.console import Console

from bench import activations, estimate, overhead, rates, recipes


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure the service and print ratios. Without a command, overhead and rates."""
    console = Console()
    threads = torch.get_num_threads()
    console.print(
        f"{platform.platform()}, {threads} threads, Python {platform.python_version()},"
        f" PyTorch {torch.__version__}"
    )
    if context.invoked_subcommand is None:
        overhead.measure(console)
        rates.measure(console)


@main.command("overhead")
@click.option("--rounds", default=5, show_default=True)
def overhead_command(rounds: int) -> None:
    """What the service adds to the engine's own time."""
    overhead.measure(Console(), rounds)


@main.command("rates")
@click.option("--rounds", default=5, show_default=True)
def rates_command(rounds: int) -> None:
    """Polls and submits per second, beside a bare Flask route."""
    rates.measure(Console(), rounds)


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
