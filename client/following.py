"""Following a job on the terminal."""

from client.bar import PaintingBar
from client.client import Impasto
from shared.jobs import Job, JobStatus


def follow(impasto: Impasto, job_id: str) -> Job:
    """Show a job's progress until it has ended."""
    with PaintingBar(JobStatus.QUEUED) as bar:
        for job in impasto.follow(job_id):
            _show(bar, job)
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
