"""`impasto stylize`: the engine on this machine, without any service."""

import importlib.util
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch

from client.bar import PaintingBar
from client.files import EXISTING, assign, image_arguments
from client.parameters import asked_for, checked
from client.terminal import Failure, stderr, write
from shared.presets import PRESETS
from worker.animation import FORMATS as ANIMATION_FORMATS
from worker.commands.chronicle import Chronicle, Watch
from worker.commands.estimating import in_words
from worker.commands.options import NewFile, choice
from worker.commands.repeating import check_inputs, overridden, read_precedent
from worker.commands.sources import Sources
from worker.curves import PLOT_SUFFIXES
from worker.delivery import deliver, losses_of
from worker.engine import (
    VGG19,
    EngineError,
    Losses,
    Stylization,
    estimate,
    load_weights,
    measure_speed,
)
from worker.engine.memory import is_out_of_memory
from worker.engine.weights import OXFORD
from worker.manifest import ManifestLosses, Precedent, Recipe
from worker.pace import Interval, Pace

EXIT_INTERRUPTED = 130
BAR_INTERVAL_SECONDS = 0.2


@click.command()
@image_arguments
@click.option("-o", "--output", type=NewFile(), help="PNG, JPEG, WebP or TIFF file.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Named set of parameters.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any parameter, e.g. --set tv_weight=0.1 --set pyramid.min_size=64. Can be repeated.",
)
@click.option("--quality", type=choice("quality"), help="Effort: how many steps the preset takes.")
@click.option("--size", type=int, help="Long side of the result, px.")
@click.option("--steps", type=int, help="Optimiser steps, over all levels.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option("--init", type=choice("init"), help="Where the picture starts.")
@click.option("--content-weight", type=float, help="Weight of the content.")
@click.option("--style-weight", type=float, help="Weight of the style: how strongly to paint.")
@click.option("--style-scale", type=float, help="Size of the strokes: larger above 1.")
@click.option("--color", type=choice("color"), help="Whose colours.")
@click.option("--precision", type=choice("precision"), help="Arithmetic of the network.")
@click.option(
    "--weights",
    envvar="IMPASTO_WEIGHTS",
    show_default="oxford-q8, or those of --manifest",
    help="VGG-19 weights: oxford-q8, torchvision, or a .pth or .safetensors file.",
)
@click.option(
    "--device",
    default="auto",
    envvar="IMPASTO_DEVICE",
    show_default=True,
    help="auto, cpu, cuda or cuda:N.",
)
@click.option(
    "--manifest",
    type=EXISTING,
    help="Paint again what this manifest says, from the same pictures: one of --save-manifest, of"
    " a job, or a picture from Impasto, which carries its own. Other options override it.",
)
@click.option("--save-manifest", type=NewFile(), help="Write what reproduces the picture, as JSON.")
@click.option("--csv", type=NewFile(), help="Write the losses of every step, layer by layer.")
@click.option(
    "--plot", "plot_to", type=NewFile(PLOT_SUFFIXES), help="Draw the losses: PNG, SVG or PDF."
)
@click.option(
    "--animate",
    type=NewFile(tuple(ANIMATION_FORMATS)),
    help="Show how the picture grew: animated WebP or GIF.",
)
@click.option(
    "--estimate",
    "only_estimate",
    is_flag=True,
    help="Measure this machine, print the steps, seconds and memory that it would take, and stop.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON, for scripts.")
def stylize(
    files: tuple[Path, ...],
    masks: tuple[Path, ...],
    init_image: Path | None,
    output: Path | None,
    settings: tuple[str, ...],
    weights: str | None,
    device: str,
    manifest: Path | None,
    save_manifest: Path | None,
    csv: Path | None,
    plot_to: Path | None,
    animate: Path | None,
    only_estimate: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint CONTENT in the style of STYLES, right here.

    Where the parameters use no content image (--preset texture), all files are styles; where they
    use no style (--preset reconstruction), the only one is the content. A picture whose long side
    is --size already is not resampled.

    The picture carries its own parameters: `--manifest PICTURE` paints it again. Exit codes: 0
    done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if output is None and not only_estimate:
        raise click.UsageError("name the file to write with -o")
    _check_distinct(
        outputs=(output, save_manifest, csv, plot_to, animate),
        inputs=(*files, *masks, init_image),
    )
    if plot_to is not None and importlib.util.find_spec("matplotlib") is None:
        raise Failure("--plot needs matplotlib: install Impasto with the extra worker")
    precedent = None if manifest is None else read_precedent(manifest)
    values = asked_for(settings, options, output=output, init_image=init_image)
    if precedent is not None:
        values = overridden(precedent.recipe.parameters, values)
    parameters = checked(values)
    images = assign(files, masks, init_image, parameters)
    saved: list[Path] = []

    def save(path: Path, data: bytes) -> None:
        write(path, data)
        saved.append(path)

    try:
        with _failures():
            sources = Sources.read(images, parameters)
            if precedent is not None:
                check_inputs(images, sources.digests, precedent.recipe.inputs)
                if precedent.recipe.threads is not None:
                    torch.set_num_threads(precedent.recipe.threads)
            weights = weights or (OXFORD if precedent is None else precedent.weights)
            vgg = VGG19(load_weights(weights), device)
            run = sources.stylization(vgg, parameters)
            if output is None or only_estimate:
                expected = estimate(run, measure_speed(vgg))
                click.echo(expected.model_dump_json() if as_json else in_words(expected))
                return
            if precedent is not None:
                _warn_of_differences(
                    precedent, Recipe.of(parameters, sources.digests, run.provenance)
                )
            watch = Chronicle(csv, plot_to, animate).watch(run)
            started = time.monotonic()
            _paint(run, watch, show=stderr.is_terminal and not as_json)
            seconds = time.monotonic() - started
            delivery = deliver(run, sources.digests, sources.alpha)
            save(output, delivery.data)
            losses = losses_of(run, "float32")
            if save_manifest is not None:
                save(save_manifest, delivery.manifest(losses, seconds).to_json())
            for path, data in watch.files():
                save(path, data)
    except KeyboardInterrupt:
        kept = f"saved {', '.join(map(str, saved))}" if saved else "nothing was saved"
        raise Failure(f"interrupted; {kept}", EXIT_INTERRUPTED) from None
    repeated = None if precedent is None else delivery.output.sha256 == precedent.sha256
    if as_json:
        click.echo(_report(run.total_steps, seconds, losses, saved, repeated))
        return
    click.echo(
        f"Saved {output} ({delivery.output.width_px} x {delivery.output.height_px} px,"
        f" {run.total_steps} steps in {seconds:.1f} s)"
    )
    for path in saved[1:]:
        click.echo(f"Saved {path}")
    if repeated is not None:
        click.echo(
            "Byte for byte the picture of the manifest"
            if repeated
            else "Not byte for byte the picture of the manifest"
        )


def _check_distinct(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Nothing is written twice, and no picture is painted over."""
    given = Counter(path.resolve() for path in outputs if path is not None)
    for path, times in given.items():
        if times > 1:
            raise click.UsageError(f"{path} is to be written {times} times: name different files")
    for path in filter(None, inputs):
        if path.resolve() in given:
            raise click.UsageError(f"{path} is a picture to paint from: name another file")


def _warn_of_differences(precedent: Precedent, recipe: Recipe) -> None:
    """Say before the work why the picture will not, or may not, be the same."""
    before = precedent.recipe
    ours, theirs = (known.parameters.model_dump(mode="json") for known in (recipe, before))
    if changed := [name for name, value in ours.items() if value != theirs[name]]:
        click.echo(
            f"Other parameters than in the manifest ({', '.join(changed)}): the picture will"
            " differ",
            err=True,
        )
    if differences := recipe.surroundings_unlike(before):
        click.echo(
            f"The picture may differ from that of the manifest: {'; '.join(differences)}", err=True
        )


@contextmanager
def _failures() -> Iterator[None]:
    """Say in a sentence what went wrong."""
    try:
        yield
    except EngineError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise Failure("too little memory for these pictures: take a smaller --size") from None


def _paint(run: Stylization, watch: Watch, *, show: bool) -> None:
    """Run to the end, with a bar on stderr if `show`."""
    pace = Pace(run.levels, run.remaining_seconds)
    due = Interval(BAR_INTERVAL_SECONDS)
    with PaintingBar("preparing", shown=show) as bar:
        for progress in run:
            pace.step(progress)
            watch.step(progress)
            if not show or not (due.is_due() or progress.step == progress.total_steps):
                continue
            bar.step(
                f"painting {progress.width_px}x{progress.height_px}",
                progress.step,
                progress.total_steps,
                progress.losses(),
                pace.eta_seconds,
            )


def _report(
    steps: int, seconds: float, losses: Losses | None, saved: Sequence[Path], repeated: bool | None
) -> str:
    return json.dumps(
        {
            "steps": steps,
            "seconds": round(seconds, 3),
            "steps_per_second": round(steps / seconds, 3),
            "losses": ManifestLosses.of(losses).model_dump() if losses else None,
            "output": str(saved[0]),
            "files": [str(path) for path in saved],
            "same_as_manifest": repeated,
        }
    )
