"""`impasto batch`."""

import asyncio
from pathlib import Path
from typing import Any

import click

from client.batch import Batch, Outcome, Recipe
from client.client import AsyncImpasto
from client.errors import ClientError, ServiceUnreachable
from client.files import EXISTING, assign
from client.folder import Pair, pairs
from client.following import BatchBars
from client.parameters import asked_for, checked, preset_option, set_option
from client.terminal import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    Failure,
    json_option,
    print_json,
    priority_option,
    url_option,
)
from shared.jobs import Priority

AGAIN = "the same command goes on from here"


@click.command(
    epilog="""\b
Examples:
  impasto batch holiday mosaic.jpg -o painted
  impasto batch holiday swirl.jpg ink.jpg -o painted --recursive --set size=768
  impasto batch holiday ink.jpg -o painted --set output.format=jpeg --json > report.json
"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("styles", type=EXISTING, nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the paintings, which keep the names of the pictures.",
)
@click.option("--recursive", is_flag=True, help="The folders inside FOLDER, too.")
@click.option("--overwrite", is_flag=True, help="Paint what is in the output folder already.")
@click.option(
    "--at-a-time",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="Most jobs that are unfinished at a time.",
)
@click.option(
    "--sidecar",
    "sidecars",
    is_flag=True,
    help="Also write what reproduces each painting, beside it: NAME.png.json.",
)
@preset_option
@set_option
@priority_option
@json_option
@url_option
def batch(
    folder: Path,
    styles: tuple[Path, ...],
    output: Path,
    recursive: bool,
    overwrite: bool,
    at_a_time: int,
    sidecars: bool,
    preset: str | None,
    settings: tuple[str, ...],
    priority: str,
    as_json: bool,
    url: str,
) -> None:
    """Paint all pictures in FOLDER in the style of STYLES.

    Pictures whose painting is there already are skipped. After Ctrl-C, a crash or a failure, the
    same command goes on where it was: for a day it finds the jobs that were accepted before, and
    tries those again that failed.
    """
    params = asked_for(settings, {"preset": preset})
    parameters = checked(params)
    if not parameters.uses_content:
        raise click.UsageError("these parameters use no photograph, so a folder is of no use")
    found = pairs(folder, output, format_name=parameters.output.format, recursive=recursive)
    if not found:
        hint = "" if recursive else "; --recursive looks into its folders"
        raise click.UsageError(f"there are no pictures in {folder}{hint}")
    assign((found[0].picture, *styles), (), None, parameters)
    done = [pair for pair in found if pair.painting.exists() and not overwrite]
    todo = [pair for pair in found if pair not in done]
    _make(output)

    recipe = Recipe(styles, params, Priority(priority))
    outcomes: list[Outcome] = []
    stopped: Failure | None = None
    try:
        with BatchBars(len(found), len(done)) as bars:
            asyncio.run(_paint(url, recipe, bars, todo, at_a_time, sidecars, outcomes))
    except ServiceUnreachable as error:
        stopped = Failure(f"{error}; {AGAIN}", EXIT_UNREACHABLE)
    except ClientError as error:
        stopped = Failure(f"{error}; {AGAIN}", EXIT_FAILED)
    except KeyboardInterrupt:
        stopped = Failure(f"interrupted; jobs that were accepted go on; {AGAIN}", EXIT_INTERRUPTED)

    failures = [outcome for outcome in outcomes if outcome.error is not None]
    if as_json:
        skipped = [_row(Outcome(pair), "skipped") for pair in done]
        print_json(skipped + [_row(outcome) for outcome in outcomes])
    else:
        painted = len(outcomes) - len(failures)
        click.echo(f"{painted} painted, {len(done)} there already, {len(failures)} failed")
        for failure in failures:
            click.echo(f"{failure.pair.name}: {failure.error}", err=True)
    if stopped is not None:
        raise stopped
    if failures:
        raise Failure(f"{len(failures)} of {len(found)} pictures could not be painted")


async def _paint(
    url: str,
    recipe: Recipe,
    bars: BatchBars,
    todo: list[Pair],
    at_a_time: int,
    sidecars: bool,
    outcomes: list[Outcome],
) -> None:
    async with AsyncImpasto(url) as impasto:
        work = Batch(impasto, recipe, bars, outcomes, sidecars=sidecars)
        await work.paint(todo, at_a_time=at_a_time)


def _row(outcome: Outcome, status: str | None = None) -> dict[str, Any]:
    return {
        "picture": outcome.pair.name,
        "painting": str(outcome.pair.painting),
        "status": status or ("failed" if outcome.error else "painted"),
        "job_id": outcome.job_id,
        "error": outcome.error,
    }


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"cannot make {folder}: {error.strerror}") from None
