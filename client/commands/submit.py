"""`impasto submit`."""

from pathlib import Path

import click

from client.client import Impasto
from client.files import EXISTING, check_writable, with_format_of
from client.following import follow
from client.terminal import (
    end,
    json_option,
    parse_settings,
    print_json,
    speaks_to_service,
    url_option,
    write,
)
from shared.jobs import Priority
from shared.parameters import field_names


@click.command()
@click.argument("content", type=EXISTING)
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option("--preset", help="Named set of parameters; see `impasto presets`.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any parameter, e.g. --set size=768 --set pyramid.min_size=64. Can be repeated.",
)
@click.option(
    "--priority",
    type=click.Choice([priority.value for priority in Priority]),
    default=Priority.NORMAL.value,
    show_default=True,
)
@click.option("--follow", "following", is_flag=True, help="Show the progress until the end.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Save the picture here; implies --follow.",
)
@json_option
@url_option
@speaks_to_service
def submit(
    content: Path,
    styles: tuple[Path, ...],
    preset: str | None,
    settings: tuple[str, ...],
    priority: str,
    following: bool,
    output: Path | None,
    as_json: bool,
    url: str,
) -> None:
    """Send CONTENT to the service, to be painted in the style of STYLES."""
    params = parse_settings(settings)
    if unknown := set(params) - set(field_names()):
        raise click.BadParameter(
            f"there is no parameter {', '.join(sorted(unknown))}; `impasto presets` lists them",
            param_hint="--set",
        )
    if preset is not None:
        params["preset"] = preset
    if output is not None:
        check_writable(output)
        params = with_format_of(output, params)
    with Impasto(url) as impasto:
        job = impasto.submit(content, styles, priority=Priority(priority), **params)
        if not as_json:
            click.echo(job.id)
        if following or output is not None:
            job = follow(impasto, job.id)
        if as_json:
            print_json(job.model_dump(mode="json"))
        end(job)
        if output is not None:
            write(output, impasto.result(job.id))
            click.echo(f"Saved {output}", err=True)
