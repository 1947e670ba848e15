"""`impasto recover`: an operator's tool, which speaks to Redis and S3 and not to the API."""

import time

import click
from redis.exceptions import RedisError
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from client.terminal import (
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    Failure,
    json_option,
    print_json,
    stderr,
    stdout,
)
from shared.connections import connect_patient
from shared.garbage import Garbage
from shared.records import JobRecords
from shared.recovery import Outcome, Recovery, Report
from shared.settings import Settings
from shared.storage import STORAGE_ERRORS, Storage

BAR_AFTER_SECONDS = 1.0
SAID = {
    Outcome.KNOWN: "there already",
    Outcome.DELETED: "deleted or expired, stay so",
    Outcome.QUEUED: "wait again",
    Outcome.RESUMED: "wait again, go on from a checkpoint",
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.CANCELED: "canceled",
    Outcome.LEFTOVER: "have no request.json: what a deletion left over",
    Outcome.UNREADABLE: "cannot be read",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def recover(dry_run: bool, as_json: bool) -> None:
    """Write job records that Redis has lost again, from what S3 knows of the jobs.

    For a Redis that came back empty, or from an old backup. It uses the settings of this shell, as
    API and workers do. Records that are there stay as they are, so it can be run at any time, and
    again after it was interrupted.
    """
    settings = Settings()
    redis = connect_patient(settings.redis_url.get_secret_value())
    recovery = Recovery(
        redis,
        JobRecords(redis, settings),
        Garbage(redis, settings),
        Storage(settings),
        dry_run=dry_run,
    )
    started = time.monotonic()
    try:
        with redis, _Bar() as bar:
            redis.ping()
            report = recovery.run(bar.show)
    except RedisError as error:
        raise Failure(f"Redis does not answer: {error}", EXIT_UNREACHABLE) from None
    except STORAGE_ERRORS as error:
        raise Failure(f"S3 does not answer: {error}", EXIT_UNREACHABLE) from None
    except KeyboardInterrupt:
        raise Failure("interrupted; the next run does the rest", EXIT_INTERRUPTED) from None
    seconds = time.monotonic() - started
    if as_json:
        print_json(_as_json(report, seconds, dry_run=dry_run))
    else:
        _print(report, seconds, dry_run=dry_run)
    if report.unreadable:
        raise Failure(
            f"{len(report.unreadable)} jobs cannot be read: mend or remove their request.json, and"
            " run this again. Until then no inputs are removed on their account"
        )


class _Bar:
    """A bar on stderr, once it is worth one."""

    def __init__(self) -> None:
        self._bar = Progress(console=stderr, transient=True)
        self._task = self._bar.add_task("Reading jobs", total=None)
        self._since = time.monotonic()

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """So many jobs of so many are done."""
        self._bar.update(self._task, completed=done, total=total)
        if time.monotonic() - self._since > BAR_AFTER_SECONDS:
            self._bar.start()


def _as_json(report: Report, seconds: float, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "seconds": round(seconds, 3),
        "restored": report.restored,
        "jobs": {outcome.value: report.jobs[outcome] for outcome in Outcome},
        "unreadable": report.unreadable,
        "owners_without_key": sorted(report.owners),
        "unused_inputs": report.unused_inputs,
    }


def _print(report: Report, seconds: float, *, dry_run: bool) -> None:
    total = report.jobs.total()
    if not total:
        stdout.print("There are no jobs in S3.")
        return
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for outcome, said in SAID.items():
        if number := report.jobs[outcome]:
            table.add_row(str(number), said)
    stdout.print(table)
    verb = "would be restored" if dry_run else "restored"
    stdout.print(f"{report.restored} of {total} jobs {verb} in {seconds:.1f} s.")
    for fault in report.unreadable:
        stdout.print(f"[red]unreadable[/red] {escape(fault)}", soft_wrap=True)
    if report.unused_inputs:
        stdout.print(f"{report.unused_inputs} inputs that no job uses are removed after a while.")
    for owner in sorted(report.owners):
        stdout.print(
            f"The API key of owner {owner} is lost: impasto keys create NAME --id {owner}",
            markup=False,
            soft_wrap=True,
        )
