"""`impasto status`, `jobs`, `cancel`, `retry`, `delete` and `result`."""

from pathlib import Path

import click
from rich.table import Column, Table

from client.client import Impasto
from client.completion import job_ids
from client.following import follow
from client.terminal import (
    end,
    json_option,
    print_json,
    speaks_to_service,
    stdout,
    url_option,
    write,
)
from shared.jobs import TERMINAL, Job, JobStatus

UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


@click.command(
    epilog="""\b
Examples:
  impasto status 01a203ed-ba82-74a6-ae9b-a3382aa89ae8 --follow
"""
)
@click.argument("job_id", shell_complete=job_ids())
@click.option("--follow", "following", is_flag=True, help="Show the progress until the end.")
@json_option
@url_option
@speaks_to_service
def status(job_id: str, following: bool, as_json: bool, url: str) -> None:
    """Show how a job is doing."""
    with Impasto(url) as impasto:
        job = follow(impasto, job_id) if following else impasto.job(job_id)
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        stdout.print(_table([job]))
        if job.error:
            stdout.print(f"{job.error.code}: {job.error.message}", markup=False)
    if following:
        end(job)


@click.command(
    epilog="""\b
Examples:
  impasto jobs --status running --status queued
  impasto jobs --limit 100 --json
"""
)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([status.value for status in JobStatus]),
    multiple=True,
    help="Only these. Can be repeated.",
)
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Most jobs to list."
)
@json_option
@url_option
@speaks_to_service
def jobs(statuses: tuple[str, ...], limit: int, as_json: bool, url: str) -> None:
    """List the last jobs, newest first."""
    with Impasto(url) as impasto:
        page = impasto.jobs(map(JobStatus, statuses), limit)
    if as_json:
        print_json(page.model_dump(mode="json"))
    else:
        stdout.print(_table(page.jobs))


@click.command(
    epilog="""\b
Examples:
  impasto cancel 01a203ed-ba82-74a6-ae9b-a3382aa89ae8
"""
)
@click.argument("job_id", shell_complete=job_ids(*UNFINISHED))
@json_option
@url_option
@speaks_to_service
def cancel(job_id: str, as_json: bool, url: str) -> None:
    """Stop a job: at once while it waits, at its next step while it runs."""
    with Impasto(url) as impasto:
        job = impasto.cancel(job_id)
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        click.echo("canceled" if job.status == JobStatus.CANCELED else "it stops at its next step")


@click.command(
    epilog="""\b
Examples:
  impasto status $(impasto retry 01a203ed-ba82-74a6-ae9b-a3382aa89ae8) --follow
"""
)
@click.argument("job_id", shell_complete=job_ids(*TERMINAL))
@json_option
@url_option
@speaks_to_service
def retry(job_id: str, as_json: bool, url: str) -> None:
    """Paint the same again as a new job, whose id is printed."""
    with Impasto(url) as impasto:
        job = impasto.retry(job_id)
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        click.echo(job.id)


@click.command(
    epilog="""\b
Examples:
  impasto delete 01a203ed-ba82-74a6-ae9b-a3382aa89ae8
"""
)
@click.argument("job_id", shell_complete=job_ids(*TERMINAL))
@url_option
@speaks_to_service
def delete(job_id: str, url: str) -> None:
    """Remove a finished job and its files."""
    with Impasto(url) as impasto:
        impasto.delete(job_id)
    click.echo("deleted")


@click.command(
    epilog="""\b
Examples:
  impasto result 01a203ed-ba82-74a6-ae9b-a3382aa89ae8 -o painted.png
"""
)
@click.argument("job_id", shell_complete=job_ids(JobStatus.SUCCEEDED))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write. [default: <job>.<format>]",
)
@json_option
@url_option
@speaks_to_service
def result(job_id: str, output: Path | None, as_json: bool, url: str) -> None:
    """Download the picture of a finished job."""
    with Impasto(url) as impasto:
        job = impasto.job(job_id)
        end(job)
        path = output or Path(f"{job_id}.{job.params.output.format}")
        write(path, impasto.result(job_id))
    if as_json:
        print_json(job.output.model_dump(mode="json") if job.output else None)
    else:
        click.echo(f"Saved {path}")


def _table(jobs: list[Job]) -> Table:
    table = Table(
        Column("Job", no_wrap=True), "Status", "Progress", "Preset", "Size", "Created", box=None
    )
    for job in jobs:
        progress = f"{job.progress.step}/{job.progress.total_steps}" if job.progress else ""
        if job.queue_position is not None:
            progress = f"behind {job.queue_position}"
        table.add_row(
            job.id,
            job.status,
            progress,
            job.params.preset,
            f"{job.params.size} px",
            f"{job.created_at:%Y-%m-%d %H:%M:%S}",
        )
    return table
