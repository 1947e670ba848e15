"""The parameters that a command line asks for."""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from client.completion import parameter_names, preset_names
from client.files import with_format_of
from shared.parameters import Parameters, field_names

preset_option = click.option(
    "--preset",
    shell_complete=preset_names,
    help="Named set of parameters; see `impasto presets`.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=parameter_names,
    help="Any parameter, e.g. --set size=768 --set pyramid.min_size=64. Can be repeated.",
)


def asked_for(
    settings: Iterable[str],
    options: Mapping[str, Any],
    *,
    output: Path | None = None,
    init_image: Path | None = None,
) -> dict[str, Any]:
    """The parameters that are named, unchecked, so that a preset stays in charge of the rest.

    Args:
        settings: `key=value` pairs of --set.
        options: parameters with an option of their own, which goes before --set; None: not given.
        output: the file to write; its name decides the format.
        init_image: an image to start from; it is what `init` says, where nothing else does.
    """
    values = parse_settings(settings)
    values |= {name: value for name, value in options.items() if value is not None}
    if init_image is not None:
        values.setdefault("init", "image")
    return values if output is None else with_format_of(output, values)


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """`key=value` pairs as parameters: values are JSON where they can be, dots reach inside.

    >>> parse_settings(["size=512", "pyramid.min_size=64", "init=noise"])
    {'size': 512, 'pyramid': {'min_size': 64}, 'init': 'noise'}
    """
    parameters: dict[str, Any] = {}
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or not path:
            raise click.BadParameter(f"{pair!r} is not key=value", param_hint="--set")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, name = path.split(".")
        target = parameters
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise click.BadParameter(f"{parent!r} has a value already", param_hint="--set")
        target[name] = value
    return parameters


def checked(values: Mapping[str, Any]) -> Parameters:
    """`values` as parameters, or a `click.UsageError` that says in sentences what is wrong."""
    try:
        return Parameters(**values)
    except ValidationError as error:
        raise click.UsageError("; ".join(_sentence(fault) for fault in error.errors())) from None


def _sentence(fault: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        message = str(fault["msg"]).removeprefix("Value error, ")
        return f"{name}: {message}" if name else message
    near = difflib.get_close_matches(name, field_names(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`impasto presets` lists them"
    return f"there is no parameter {name!r}: {hint}"
