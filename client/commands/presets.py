"""`impasto presets`."""

import click

from client.terminal import json_option, print_json, stdout
from shared.parameters import Parameters
from shared.presets import PRESETS


@click.command()
@json_option
def presets(as_json: bool) -> None:
    """List the presets and the parameters in which they differ from the default."""
    if as_json:
        print_json(
            [
                {
                    "name": name,
                    "summary": preset.summary,
                    "source": preset.source,
                    "parameters": Parameters.model_validate({"preset": name}).model_dump(
                        mode="json"
                    ),
                }
                for name, preset in PRESETS.items()
            ]
        )
        return
    for name, preset in PRESETS.items():
        stdout.print(f"[bold]{name}[/bold]  {preset.summary}")
        stdout.print(f"  after: {preset.source}", style="dim", markup=False)
        for key, value in preset.values.items():
            stdout.print(f"  {key} = {value}", markup=False)
    stdout.print("\nAny of them can be set with --set:", style="bold")
    for key, field in Parameters.model_fields.items():
        stdout.print(f"  [cyan]{key}[/cyan]  {field.description}")
