"""`impasto estimate`."""

from pathlib import Path

import click

from client.client import Impasto
from client.files import assign, image_arguments
from client.parameters import asked_for, checked, preset_option, set_option
from client.terminal import json_option, print_json, speaks_to_service, url_option
from shared.estimates import JobEstimate


@click.command(
    epilog="""\b
Examples:
  impasto estimate photo.jpg painting.jpg --set size=1024
  impasto estimate photo.jpg painting.jpg --preset wasserstein --json
"""
)
@image_arguments
@preset_option
@set_option
@json_option
@url_option
@speaks_to_service
def estimate(
    files: tuple[Path, ...],
    masks: tuple[Path, ...],
    init_image: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    as_json: bool,
    url: str,
) -> None:
    """Say what painting CONTENT in the style of STYLES would take on the workers that are up.

    Nothing is painted, and no picture is sent: how large they are is enough.
    """
    params = asked_for(settings, {"preset": preset}, init_image=init_image)
    images = assign(files, masks, init_image, checked(params))
    with Impasto(url) as impasto:
        found = impasto.estimate(images.content, images.styles, masks=len(masks), **params)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    click.echo(
        f"{found.steps} steps to {found.width_px}x{found.height_px} px, {_duration(found)},"
        f" {found.memory_bytes / 2**20:,.0f} MiB"
    )
    click.echo(
        f"{found.workers} {'worker is' if found.workers == 1 else 'workers are'} up,"
        f" {found.able} with enough memory; {found.waiting_jobs}"
        f" {'job waits' if found.waiting_jobs == 1 else 'jobs wait'} before it"
    )


def _duration(found: JobEstimate) -> str:
    if found.seconds is None:
        return "no worker knows yet how long it takes"
    low, high = f"{found.seconds.low:.0f}", f"{found.seconds.high:.0f}"
    return f"{low} s" if low == high else f"{low} to {high} s"
