"""`impasto stylize --manifest`: paint again what was painted before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from client.files import Images
from client.terminal import Failure
from shared.jobs import Inputs
from shared.parameters import RATED, Parameters
from worker.manifest import ManifestError, Precedent

SETS_OF_VALUES = ("preset", "quality")
# Maps from names of layers; an override replaces them, as everywhere.
LAYERS = ("content_layers", "style_layers")


def read_precedent(path: Path) -> Precedent:
    """Read a manifest, or the picture that carries its recipe."""
    try:
        return Precedent.read(path.read_bytes())
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    except ManifestError as error:
        raise Failure(f"{path}: {error}") from None


def overridden(parameters: Parameters, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `parameters` with `overrides` in their place, as a request would name them.

    Raises:
        click.UsageError: an override stands for a set of values, all of which are given already.
    """
    for name in SETS_OF_VALUES:
        if name in overrides:
            raise click.UsageError(
                f"{name} does not go with --manifest, which gives every value: override those that"
                " should differ, such as --steps"
            )
    values = parameters.model_dump(mode="json")
    if "steps" in overrides and values["pyramid"]:
        values["pyramid"]["steps"] = None  # they would go before the steps that are asked for
    if any(overrides.get(name, values[name]) != values[name] for name in RATED):
        del values["learning_rate"]  # it suits the other choice only
    for name, value in overrides.items():
        before = values.get(name)
        if name not in LAYERS and isinstance(before, dict) and isinstance(value, dict):
            value = {**before, **value}
        values[name] = value
    return values


def check_inputs(images: Images, inputs: Inputs, wanted: Inputs) -> None:
    """Compare the files, whose hashes are `inputs`, with those of a manifest.

    Raises:
        click.UsageError: a file is another one. The message names it.
    """
    faults = []
    if images.content and wanted.content:
        faults += _differing("the content image", images.content, inputs.content, wanted.content)
    for noun, paths, ours, theirs in (
        ("style image", images.styles, inputs.styles, wanted.styles),
        ("mask", images.masks, inputs.masks, wanted.masks),
    ):
        if len(ours) != len(theirs):
            faults.append(f"{len(ours)} {noun}{'s'[: len(ours) != 1]} instead of {len(theirs)}")
            continue
        for number, (path, own, other) in enumerate(zip(paths, ours, theirs, strict=True), start=1):
            faults += _differing(f"{noun} {number}", path, own, other)
    if images.init and wanted.init:
        faults += _differing("the image to start from", images.init, inputs.init, wanted.init)
    if faults:
        raise click.UsageError("not the pictures of the manifest: " + "; ".join(faults))


def _differing(role: str, path: Path, own: str | None, other: str) -> list[str]:
    if own == other:
        return []
    return [f"{path} is not {role} (sha256 {str(own)[:12]}..., there {other[:12]}...)"]
