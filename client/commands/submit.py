"""`impasto submit`."""

from pathlib import Path

import click

from client.client import Impasto
from client.files import assign, check_writable, image_arguments
from client.following import follow
from client.parameters import asked_for, checked, preset_option, set_option
from client.terminal import (
    end,
    json_option,
    print_json,
    priority_option,
    speaks_to_service,
    url_option,
    write,
)
from shared.jobs import Priority


@click.command(
    epilog="""\b
Examples:
  impasto submit photo.jpg painting.jpg -o painted.png
  impasto submit photo.jpg swirl.jpg ink.jpg --set 'style_weights=[2, 1]' --follow
  impasto submit ink.jpg --preset texture --set aspect_ratio=1.5 -o texture.png
  id=$(impasto submit photo.jpg painting.jpg --wait) && impasto result $id
"""
)
@image_arguments
@preset_option
@set_option
@priority_option
@click.option("--webhook", metavar="URL", help="URL that is told of the end.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Repeating the command with the same key makes no second job. [default: random]",
)
@click.option("--follow", "following", is_flag=True, help="Show the progress until the end.")
@click.option(
    "--wait", "waiting", is_flag=True, help="Wait for the end and show nothing; for scripts."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Save the picture here (PNG, JPEG, WebP or TIFF); implies --follow, or goes with --wait.",
)
@json_option
@url_option
@speaks_to_service
def submit(
    files: tuple[Path, ...],
    masks: tuple[Path, ...],
    init_image: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    priority: str,
    webhook: str | None,
    idempotency_key: str | None,
    following: bool,
    waiting: bool,
    output: Path | None,
    as_json: bool,
    url: str,
) -> None:
    """Send CONTENT to the service, to be painted in the style of STYLES.

    A preset that needs no photograph, such as texture, takes every picture as a style; one that
    needs no style, such as reconstruction, takes CONTENT alone.
    """
    params = asked_for(settings, {"preset": preset}, output=output, init_image=init_image)
    images = assign(files, masks, init_image, checked(params))
    if output is not None:
        check_writable(output)
    with Impasto(url) as impasto:
        job = impasto.submit(
            images.content,
            images.styles,
            masks=images.masks,
            init_image=images.init,
            priority=Priority(priority),
            webhook=webhook,
            idempotency_key=idempotency_key,
            **params,
        )
        if not as_json:
            click.echo(job.id)
        if waiting:
            *_, job = impasto.follow(job.id)
        elif following or output is not None:
            job = follow(impasto, job.id)
        if as_json:
            print_json(job.model_dump(mode="json"))
        end(job)
        if output is not None:
            write(output, impasto.result(job.id))
            click.echo(f"Saved {output}", err=True)
