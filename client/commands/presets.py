"""`impasto presets`."""

import click
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from client.reference import entries, in_words
from client.terminal import json_option, print_json, stdout
from shared.catalog import PresetView, catalog
from shared.presets import PRESETS

IMAGES = {
    (True, True): "CONTENT STYLES...",
    (False, True): "STYLES...",
    (True, False): "CONTENT",
}  # by whether the preset uses content and styles; as `impasto submit --help` calls them


@click.command()
@json_option
def presets(as_json: bool) -> None:
    """List the presets with their source, and every parameter with its bounds and default."""
    listed = catalog()
    if as_json:
        print_json(listed.model_dump(mode="json"))
        return
    for preset in listed.presets:
        _show(preset)
    stdout.print("Every parameter can be set: --set size=768 --set pyramid.min_size=64\n")
    table = Table(Column("Parameter", no_wrap=True, style="cyan"), "", box=None, show_header=False)
    for entry in entries(listed.parameters_schema):
        default = f"; default: {entry.default}" if entry.default else ""
        kind = Text(f"{entry.kind}{default}", style="dim")
        table.add_row(entry.name, Text("\n").join([kind, Text(entry.description)]))
    stdout.print(table)


def _show(preset: PresetView) -> None:
    stdout.print(Text(preset.name, style="bold"))
    values = (f"{key}={in_words(value)}" for key, value in PRESETS[preset.name].values.items())
    for line in (
        Text(preset.summary),
        Text(f"Source: {preset.source}", style="dim"),
        Text(f"Takes: {IMAGES[preset.uses_content, preset.uses_styles]}", style="dim"),
        Text("  ".join(values), style="dim"),
    ):
        if line:
            stdout.print(Padding(line, (0, 0, 0, 2), expand=False))
    stdout.print()
