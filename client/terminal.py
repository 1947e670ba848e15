"""What the commands share: the option for the address, bars, exit codes."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console

from client.client import default_url
from client.errors import ClientError, ServiceUnreachable
from shared.jobs import Job, JobStatus, Priority

EXIT_FAILED = 1
EXIT_UNREACHABLE = 3
EXIT_CANCELED = 4
EXIT_INTERRUPTED = 130

P = ParamSpec("P")
R = TypeVar("R")

stdout = Console()
stderr = Console(stderr=True)

url_option = click.option(
    "--url",
    default=default_url,
    show_default="IMPASTO_URL or http://127.0.0.1:8080",
    help="Address of the service.",
)
priority_option = click.option(
    "--priority",
    type=click.Choice([priority.value for priority in Priority]),
    default=Priority.NORMAL.value,
    show_default=True,
    help="Which queue to wait in: workers empty the higher ones first.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


class Failure(click.ClickException):
    """Ends the command with a sentence and an exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


def speaks_to_service(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the client's errors into sentences and exit codes."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ServiceUnreachable as error:
            raise Failure(str(error), EXIT_UNREACHABLE) from None
        except ClientError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            raise Failure(
                "interrupted; a job that was accepted goes on", EXIT_INTERRUPTED
            ) from None

    return wrapped


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


def end(job: Job) -> None:
    """Leave with the exit code of a finished job that has no picture."""
    if job.status == JobStatus.CANCELED:
        raise Failure(f"job {job.id} was canceled", EXIT_CANCELED)
    if job.error is not None:
        raise Failure(f"job {job.id} failed: {job.error.message} ({job.error.code})")


def write(path: Path, data: bytes) -> None:
    """Write a downloaded file, or say why not."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None
