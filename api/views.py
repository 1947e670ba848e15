"""A job record as clients see it."""

from datetime import datetime

from flask import url_for

from shared.jobs import Job, JobRecord, Metrics, Output, Progress, Urls


def present(record: JobRecord, queue_position: int | None, progress: Progress | None) -> Job:
    """Join the record with what is known besides it, and say where the rest is."""
    return Job(
        **record.model_dump(include=set(Job.model_fields) - {"params", "output", "error"}),
        params=record.params,
        output=Output(**record.output.model_dump(include=set(Output.model_fields)))
        if record.output
        else None,
        error=record.error,
        queue_position=queue_position,
        progress=progress,
        metrics=Metrics(
            queue_seconds=_seconds(record.created_at, record.started_at),
            run_seconds=_seconds(record.started_at, record.finished_at),
        ),
        urls=_urls(record.id),
    )


def _urls(job_id: str) -> Urls:
    return Urls(
        self=url_for("jobs.get_job", job_id=job_id),
        cancel=url_for("jobs.cancel_job", job_id=job_id),
        preview=url_for("jobs.get_preview", job_id=job_id),
        result=url_for("jobs.get_result", job_id=job_id),
        manifest=url_for("jobs.get_manifest", job_id=job_id),
    )


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    return None if since is None or until is None else (until - since).total_seconds()
