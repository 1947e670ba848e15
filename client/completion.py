"""What a shell offers when Tab is pressed."""

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from client.client import Impasto, default_url
from client.errors import ClientError
from shared.jobs import Job, JobStatus
from shared.parameters import Parameters
from shared.presets import PRESETS

SERVICE_SECONDS = 1.0  # nobody waits longer for a Tab
MOST_JOBS = 50

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]


def preset_names(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> list[CompletionItem[Any]]:
    """Presets, with what they are."""
    return [
        CompletionItem(name, help=preset.summary)
        for name, preset in PRESETS.items()
        if name.startswith(begun)
    ]


def parameter_names(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> list[CompletionItem[Any]]:
    """Parameters, each with its `=`."""
    return [
        CompletionItem(f"{name}=", help=field.description)
        for name, field in Parameters.model_fields.items()
        if name.startswith(begun)
    ]


def job_ids(*statuses: JobStatus) -> Complete:
    """Jobs of the service in these statuses, newest first; all when none are named."""

    def complete(
        context: click.Context, _parameter: click.Parameter, begun: str
    ) -> list[CompletionItem[Any]]:
        url = context.params.get("url") or default_url()
        try:
            with Impasto(url, timeout_seconds=SERVICE_SECONDS, patient=False) as impasto:
                found = impasto.jobs(statuses, MOST_JOBS).jobs
        except ClientError:
            return []
        return [
            CompletionItem(job.id, help=_in_words(job)) for job in found if job.id.startswith(begun)
        ]

    return complete


def _in_words(job: Job) -> str:
    name = job.metadata.get("content_name")
    return f"{job.status} {name}" if isinstance(name, str) else str(job.status)
