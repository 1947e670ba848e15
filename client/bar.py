"""The progress bar of a picture that is being painted, here or elsewhere."""

from typing import Protocol, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.display import waiting
from client.terminal import stderr
from shared.jobs import Job, JobStatus


class HasLosses(Protocol):
    """The service's losses and the engine's look alike here."""

    @property
    def content(self) -> float:
        """Weighted content loss."""

    @property
    def style(self) -> float:
        """Weighted style loss."""


class PaintingBar:
    """Steps, losses and time left, on stderr. A context manager."""

    def __init__(self, description: str, *, shown: bool = True) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            console=stderr,
            disable=not shown,
        )
        self._task = self._progress.add_task(description, total=None, losses="", eta="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def describe(self, text: str) -> None:
        """Say what happens while there are no steps."""
        self._progress.update(self._task, description=text)

    def step(
        self,
        text: str,
        step: int,
        total_steps: int,
        losses: HasLosses | None,
        eta_seconds: float | None,
    ) -> None:
        """Show how far the picture is."""
        self._progress.update(
            self._task,
            description=text,
            completed=step,
            total=total_steps,
            losses=f"content {losses.content:.3g}  style {losses.style:.3g}" if losses else "",
            eta=f"{eta_seconds:.0f} s left" if eta_seconds else "",
        )


class JobBar:
    """A job of the service, as a bar. A `client.display.Display`."""

    has_pictures = False

    def __init__(self) -> None:
        self._bar = PaintingBar(JobStatus.QUEUED)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def show(self, job: Job) -> None:
        """As `Display`."""
        progress = job.progress
        if progress is None:
            self._bar.describe(waiting(job))
            return
        self._bar.step(
            f"{job.status} {progress.width_px}x{progress.height_px}",
            progress.step,
            progress.total_steps,
            progress.losses,
            None if job.status.is_terminal else progress.eta_seconds,
        )

    def picture(self, jpeg: bytes | None) -> None:
        """As `Display`."""
