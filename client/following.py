"""Following jobs on the terminal: one, or those of a batch."""

from collections.abc import Callable
from typing import Self

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from client.bar import JobBar
from client.batch import Outcome
from client.client import Impasto
from client.display import waiting
from client.terminal import stderr
from shared.jobs import Job


def follow(impasto: Impasto, job_id: str, at_each: Callable[[], None] | None = None) -> Job:
    """Show a job's progress until it has ended.

    Whoever has something to do meanwhile passes `at_each`: then the job is polled, and `at_each`
    called whenever it was looked at.
    """
    with JobBar() as bar:
        for job in impasto.follow(job_id, stream=at_each is None):
            bar.show(job)
            if at_each is not None:
                at_each()
    return job


class BatchBars:
    """All pictures of a batch, and those that are being painted. A `client.batch.Watcher`."""

    def __init__(self, total: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}", markup=True),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=stderr,
            redirect_stdout=False,
        )
        self._all = self._progress.add_task("pictures", total=total, completed=done, text="")
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._running.values():
            self._progress.remove_task(task)
        self._progress.stop()

    def begin(self, name: str) -> None:
        """As `Watcher`."""
        self._running[name] = self._progress.add_task(escape(name), total=None, text="")

    def say(self, name: str, text: str) -> None:
        """As `Watcher`."""
        self._progress.update(self._running[name], text=text)

    def show(self, name: str, job: Job) -> None:
        """As `Watcher`."""
        if job.progress is None:
            self.say(name, waiting(job))
            return
        self._progress.update(
            self._running[name],
            completed=job.progress.step,
            total=job.progress.total_steps,
            text=f"{job.progress.eta_seconds:.0f} s left" if job.progress.eta_seconds else "",
        )

    def end(self, outcome: Outcome) -> None:
        """As `Watcher`."""
        name = outcome.pair.name
        self._progress.remove_task(self._running.pop(name))
        self._progress.advance(self._all)
        became = outcome.error or str(outcome.pair.painting)
        self._progress.console.print(
            f"{name}: {became}", markup=False, highlight=False, soft_wrap=True
        )
