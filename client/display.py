"""Where the progress of a job is shown: in a notebook, on a terminal, or nowhere."""

import sys
from typing import Protocol, Self

from shared.jobs import Job, JobStatus


class Display(Protocol):
    """Shows one job. A context manager."""

    has_pictures: bool  # whether previews are worth fetching

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, job: Job) -> None:
        """Show how the job is doing."""

    def picture(self, jpeg: bytes | None) -> None:
        """The picture as it is now, shown from the next `show` on; None: there is no newer one."""


class NoDisplay:
    """Shows nothing."""

    has_pictures = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, job: Job) -> None:
        """As `Display`."""

    def picture(self, jpeg: bytes | None) -> None:
        """As `Display`."""


def display_here(*, shown: bool = True) -> Display:
    """The display for whoever calls this."""
    if shown and _in_notebook():
        from client.notebook import NotebookDisplay

        return NotebookDisplay()
    if shown and sys.stderr.isatty():
        from client.bar import JobBar

        return JobBar()
    return NoDisplay()


def sentence(job: Job) -> str:
    """How a job is doing, in a line."""
    progress = job.progress
    if job.error is not None:
        return f"failed: {job.error.message} ({job.error.code})"
    if progress is None:
        return waiting(job)
    parts = [
        f"{job.status} {progress.width_px}x{progress.height_px}",
        f"step {progress.step} of {progress.total_steps}",
    ]
    if progress.losses is not None:
        parts.append(f"content {progress.losses.content:.3g}, style {progress.losses.style:.3g}")
    if job.status == JobStatus.SUCCEEDED and job.metrics.run_seconds is not None:
        parts.append(f"{job.metrics.run_seconds:.0f} s")
    elif not job.status.is_terminal and progress.eta_seconds is not None:
        parts.append(f"{progress.eta_seconds:.0f} s left")
    return " · ".join(parts)


def waiting(job: Job) -> str:
    """What a job does that has made no step."""
    return f"queued behind {job.queue_position}" if job.queue_position else str(job.status)


def _in_notebook() -> bool:
    """Whether an IPython kernel runs this: then IPython is loaded."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
