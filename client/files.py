"""Files that the commands write: checked before the work, which may take long."""

import os
from pathlib import Path
from typing import Any

import click

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def with_format_of(output: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """`parameters` with the encoding that the name of `output` asks for."""
    if output.suffix.lower() not in FORMATS:
        raise click.BadParameter(
            f"cannot tell the format of {output.name!r}: expected .png, .jpg, .jpeg or .webp",
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
