"""`impasto stylize`: the engine on this machine, without any service."""

import difflib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from client.bar import PaintingBar
from client.files import EXISTING, check_writable, with_format_of
from client.terminal import Failure, parse_settings, stderr
from shared.errors import ImpastoError
from shared.images import CONTENT_TYPES, decode_image, encode_image
from shared.jobs import Output
from shared.parameters import Parameters, field_names
from shared.presets import PRESETS
from worker.engine import VGG19, EngineError, Losses, Stylization, load_weights
from worker.manifest import build_manifest, job_losses
from worker.pace import Interval, Pace
from worker.pictures import to_image, to_tensor

WRITABLE = click.Path(dir_okay=False, path_type=Path)
EXIT_INTERRUPTED = 130
BAR_INTERVAL_SECONDS = 0.2


@click.command()
@click.argument("content", type=EXISTING)
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option("-o", "--output", type=WRITABLE, required=True, help="PNG, JPEG or WebP file.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Named set of parameters.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any parameter, e.g. --set tv_weight=0.1 --set pyramid.min_size=64. Can be repeated.",
)
@click.option("--size", type=int, help="Long side of the result, px.")
@click.option("--steps", type=int, help="Optimiser steps, over all levels.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option("--init", type=click.Choice(["content", "noise"]), help="Where the picture starts.")
@click.option("--content-weight", type=float, help="Weight of the content.")
@click.option("--style-weight", type=float, help="Weight of the style: how strongly to paint.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]))
@click.option(
    "--weights",
    default="oxford-q8",
    envvar="IMPASTO_WEIGHTS",
    show_default=True,
    help="VGG-19 weights: oxford-q8, torchvision, or a .pth or .safetensors file.",
)
@click.option(
    "--device",
    default="auto",
    envvar="IMPASTO_DEVICE",
    show_default=True,
    help="auto, cpu, cuda or cuda:N.",
)
@click.option("--manifest", type=WRITABLE, help="Write what reproduces the picture here, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON, for scripts.")
def stylize(
    content: Path,
    styles: tuple[Path, ...],
    output: Path,
    settings: tuple[str, ...],
    weights: str,
    device: str,
    manifest: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint CONTENT in the style of STYLES, right here.

    A picture whose long side is --size already is not resampled. Exit codes: 0 done, 1 failed,
    2 wrong usage, 130 interrupted.
    """
    parameters = _parameters(settings, options, output)
    for path in filter(None, (output, manifest)):
        check_writable(path)
    try:
        with _failures():
            files = [path.read_bytes() for path in (content, *styles)]
            images = [
                _decode(path, data) for path, data in zip((content, *styles), files, strict=True)
            ]
            network = VGG19(load_weights(weights), device)
            run = Stylization(network, images[0], images[1:], parameters)
            started = time.monotonic()
            _paint(run, show=stderr.is_terminal and not as_json)
            seconds = time.monotonic() - started
            losses = run.delivered_losses()
            image = to_image(run.picture())
            data = encode_image(image, parameters.output)
            output.write_bytes(data)
            if manifest is not None:
                digests = [hashlib.sha256(file).hexdigest() for file in files]
                text = build_manifest(
                    parameters=parameters,
                    content_sha256=digests[0],
                    style_sha256s=digests[1:],
                    provenance=run.provenance,
                    losses=losses,
                    seconds=seconds,
                    output=Output(
                        content_type=CONTENT_TYPES[parameters.output.format],
                        width_px=image.width,
                        height_px=image.height,
                        size_bytes=len(data),
                        sha256=hashlib.sha256(data).hexdigest(),
                    ),
                )
                manifest.write_bytes(text)
    except KeyboardInterrupt:
        raise Failure("interrupted; nothing was saved", EXIT_INTERRUPTED) from None
    if as_json:
        click.echo(_report(run.total_steps, seconds, losses, output))
    else:
        click.echo(
            f"Saved {output} ({image.width} x {image.height} px,"
            f" {run.total_steps} steps in {seconds:.1f} s)"
        )


def _parameters(settings: tuple[str, ...], options: Mapping[str, Any], output: Path) -> Parameters:
    """The parameters that the command line asks for; an option of its own goes before --set."""
    values = parse_settings(settings)
    values |= {name: value for name, value in options.items() if value is not None}
    values = with_format_of(output, values)
    try:
        return Parameters(**values)
    except ValidationError as error:
        raise click.UsageError("; ".join(_fault(fault) for fault in error.errors())) from None


def _fault(fault: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        message = str(fault["msg"]).removeprefix("Value error, ")
        return f"{name}: {message}" if name else message
    near = difflib.get_close_matches(name, field_names(), n=1)
    return f"there is no parameter {name!r}" + (f": did you mean {near[0]!r}?" if near else "")


def _decode(path: Path, data: bytes) -> Any:
    try:
        return to_tensor(decode_image(data))
    except ImpastoError as error:
        raise Failure(f"{path}: {error}") from None


@contextmanager
def _failures() -> Iterator[None]:
    """Say in a sentence what went wrong."""
    try:
        yield
    except EngineError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from None


def _paint(run: Stylization, *, show: bool) -> None:
    """Run to the end, with a bar on stderr if `show`."""
    pace = Pace(run.levels)
    due = Interval(BAR_INTERVAL_SECONDS)
    with PaintingBar("preparing", shown=show) as bar:
        for progress in run:
            pace.step(progress.level)
            if not show or not (due.is_due() or progress.step == run.total_steps):
                continue
            bar.step(
                f"painting {progress.width_px}x{progress.height_px}",
                progress.step,
                run.total_steps,
                progress.losses(),
                pace.eta_seconds,
            )


def _report(steps: int, seconds: float, losses: Losses, output: Path) -> str:
    return json.dumps(
        {
            "steps": steps,
            "seconds": round(seconds, 3),
            "steps_per_second": round(steps / seconds, 3),
            "losses": job_losses(losses).model_dump(),
            "output": str(output),
        }
    )
