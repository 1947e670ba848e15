"""Kinds of options."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from client.files import check_writable
from shared.parameters import Parameters


class NewFile(click.Path):
    """A file that the command will write: checked at once, since the work may take long."""

    def __init__(self, suffixes: Sequence[str] = ()) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self._suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it can be written and has one of the suffixes."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if self._suffixes and path.suffix.lower() not in self._suffixes:
            *others, last = self._suffixes
            self.fail(
                f"cannot tell the format of {path.name!r}: expected {', '.join(others)} or {last}",
                param,
                ctx,
            )
        check_writable(path)
        return path


def choice(name: str) -> click.Choice[str]:
    """The values that a parameter may have."""
    annotation = Parameters.model_fields[name].annotation
    if get_origin(annotation) is not Literal:
        raise TypeError(f"{name} is no choice")
    return click.Choice(get_args(annotation))
