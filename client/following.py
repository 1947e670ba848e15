"""Following a job on the terminal."""

from collections.abc import Callable

from client.bar import PaintingBar
from client.client import Impasto
from shared.jobs import Job, JobStatus


def follow(impasto: Impasto, job_id: str, at_each: Callable[[], None] = lambda: None) -> Job:
    """Show a job's progress until it has ended, and call `at_each` whenever it was looked at."""
    with PaintingBar(JobStatus.QUEUED) as bar:
        for job in impasto.follow(job_id):
            _show(bar, job)
            at_each()
    return job


def _show(bar: PaintingBar, job: Job) -> None:
    progress = job.progress
    if progress is None:
        bar.describe(f"queued behind {job.queue_position}" if job.queue_position else job.status)
        return
    bar.step(
        f"{job.status} {progress.width_px}x{progress.height_px}",
        progress.step,
        progress.total_steps,
        progress.losses,
        None if job.status.is_terminal else progress.eta_seconds,
    )
