"""`make soak MINUTES=n`, or `python -m tests.soak --minutes n`."""

import secrets
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from tests.soak.soak import Report, State, run

LINE_SECONDS = 30.0


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long faults are injected.")
@click.option("--seed", default=None, help="Repeat the faults of this run; a new one if not given.")
@click.option("--workers", default=3, show_default=True, type=click.IntRange(2))
@click.option("--wipe", is_flag=True, help="Lose Redis with its disk halfway, and recover from S3.")
@click.option(
    "--folder", default=None, type=click.Path(path_type=Path), help="Where everything is kept."
)
def main(minutes: float, seed: str | None, workers: int, wipe: bool, folder: Path | None) -> None:
    """Run the system under random faults, and check afterwards that it has kept every promise."""
    console = Console()
    seed = seed or secrets.token_hex(4)
    folder = folder or Path(tempfile.mkdtemp(prefix="impasto-soak-"))
    console.print(f"Seed {seed}; everything is kept in {folder}", highlight=False, soft_wrap=True)
    with _Watcher(console, minutes * 60) as watcher:
        report = run(
            folder, minutes=minutes, seed=seed, workers=workers, wipe=wipe, show=watcher.show
        )
    show(console, report)
    sys.exit(1 if report.violations else 0)


class _Watcher:
    """A bar on a terminal, and else a line now and then."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console = console
        self._seconds = seconds
        self._said = 0.0
        self._phase = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=seconds, figures="")

    def __enter__(self) -> "_Watcher":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, state: State) -> None:
        """Say how far it is."""
        phase = state.phase
        if state.seconds_left:
            phase = f"{phase}, {state.seconds_left / 60:.1f} min left"
        figures = (
            f"jobs {state.finished}/{state.accepted}  faults {state.faults}"
            f"  resumes {state.resumes}  violations {state.violations}"
        )
        done = self._seconds - state.seconds_left
        self._bar.update(self._task, description=phase, completed=done, figures=figures)
        now = time.monotonic()
        is_news = state.phase != self._phase or now - self._said > LINE_SECONDS
        if not self._console.is_terminal and is_news:
            self._said, self._phase = now, state.phase
            self._console.print(f"{phase}: {figures}", highlight=False, soft_wrap=True)


def show(console: Console, report: Report) -> None:
    """Print the tables."""
    figures, counted = report.figures, report.counters
    table = Table("", "", title=f"{report.minutes:g} minutes, {report.workers} workers")
    table.columns[1].justify = "right"
    ends = {end: counted.get(end, 0) for end in ("succeeded", "canceled")}
    failed = {end: n for end, n in counted.items() if end.startswith("failed:") and n}
    ends |= {end.replace(":", ", "): number for end, number in failed.items()}
    rows: dict[str, object] = {
        "jobs accepted": report.accepted,
        **{f"  {end}": number for end, number in ends.items()},
        "  of these deleted by customers": report.deleted,
        "faults": sum(report.faults.values()) + report.poison_kills,
        "claims": counted.get("claims", 0),
        "lost leases": counted.get("lost", 0),
        "jobs given back": counted.get("released", 0),
        "checkpoints": counted.get("checkpoints", 0),
        "resumes": counted.get("resumed", 0),
        "resumed pictures, same as uninterrupted": figures.resumed_pictures,
        "duplicate claims refused": counted.get("busy", 0),
        "stale writes refused": counted.get("stale_writes", 0),
        "messages sent again": counted.get("republished", 0),
        "POSTs replayed": counted.get("replayed", 0),
        "webhooks taken / refused": f"{report.webhooks_taken} / {report.webhooks_refused}",
        "slowest answer of the API (GET, cancel)": f"{report.slowest_answer_seconds} s",
        "workers that did not end within 12 s of SIGTERM": report.workers_not_ended,
        "parts that ended by themselves, started again": report.restarts,
        "most memory of a worker": _mebibytes(report.memory_bytes, "worker"),
        "most memory of the API": _mebibytes(report.memory_bytes, "api"),
        "lost": figures.lost,
        "violations": len(report.violations),
    }
    for what, value in rows.items():
        table.add_row(what, str(value))
    console.print(table)
    faults = Table("faults", "times")
    faults.columns[1].justify = "right"
    for fault, number in report.faults.items():
        faults.add_row(fault, str(number))
    faults.add_row("painting process of a poison job killed", str(report.poison_kills))
    console.print(faults)
    for violation in report.violations:
        console.print(f"[red]VIOLATION[/red] {violation}", soft_wrap=True)


def _mebibytes(memory: dict[str, int], part: str) -> str:
    most = max((size for name, size in memory.items() if name.startswith(part)), default=0)
    return f"{most / 2**20:.0f} MiB"


if __name__ == "__main__":
    main(prog_name="soak")
