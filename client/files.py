"""Files that the commands read and write: all is checked before the work, which may take long."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from shared.inputs import faults
from shared.parameters import Parameters

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Images:
    """Which file is what."""

    content: Path | None
    styles: tuple[Path, ...]
    masks: tuple[Path, ...]
    init: Path | None


def image_arguments(command: Callable[P, R]) -> Callable[P, R]:
    """The pictures of a command: its arguments `files`, `masks` and `init_image`."""
    for declare in (
        click.option(
            "--init-image", type=EXISTING, help="Start from this picture; implies init=image."
        ),
        click.option(
            "--mask",
            "masks",
            type=EXISTING,
            multiple=True,
            help="Where a style applies: white there, black elsewhere. One for each style, in"
            " their order.",
        ),
        click.argument(
            "files", type=EXISTING, nargs=-1, required=True, metavar="[CONTENT] [STYLES]..."
        ),
    ):
        command = declare(command)
    return command


def assign(
    files: Sequence[Path], masks: Sequence[Path], init_image: Path | None, parameters: Parameters
) -> Images:
    """Tell which of `files` is what: the first is the content, the others are styles.

    The parameters know better: where they use no content image, every file is a style, and where
    they use no style, the only one is the content.

    Raises:
        click.UsageError: there are too few files, or too many, or they do not fit the parameters.
    """
    if not parameters.uses_content:
        content, styles = None, tuple(files)
    else:
        content, *others = files
        styles = tuple(others)
    if styles and not parameters.uses_styles:
        raise click.UsageError(
            f"these parameters use no style, so {styles[0]} is one picture too many"
        )
    found = faults(
        parameters,
        content=content is not None,
        styles=len(styles),
        masks=len(masks),
        init=init_image is not None,
    )
    if found:
        raise click.UsageError("; ".join(fault.detail for fault in found))
    return Images(content, styles, tuple(masks), init_image)


def with_format_of(output: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """`parameters` with the encoding that the name of `output` asks for."""
    if output.suffix.lower() not in FORMATS:
        *others, last = FORMATS
        raise click.BadParameter(
            f"cannot tell the format of {output.name!r}: expected {', '.join(others)} or {last}",
            param_hint="--output",
        )
    encoding = parameters.get("output", {})
    if not isinstance(encoding, dict):
        raise click.BadParameter("output has parts: --set output.quality=90", param_hint="--set")
    return {**parameters, "output": {**encoding, "format": FORMATS[output.suffix.lower()]}}


def check_writable(path: Path) -> None:
    """Find out before the work whether its result can be kept."""
    folder = path.parent
    if not folder.is_dir():
        raise click.UsageError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise click.UsageError(f"cannot write {path}: permission denied")
