"""A job record as clients see it."""

from datetime import datetime

from shared.jobs import (
    HistoryEntry,
    Job,
    JobRecord,
    Metrics,
    Output,
    Progress,
    Urls,
    Webhook,
)

JOBS_PATH = "/v1/jobs"
SAME = set(Job.model_fields) & set(JobRecord.model_fields)
OTHERWISE = {"params", "output", "error", "webhook", "history"}
# Their detail is the name of a worker, and with it that of a machine.
EVENTS_OF_WORKERS = frozenset({"claimed", "lost", "released"})


def present(record: JobRecord, queue_position: int | None, progress: Progress | None) -> Job:
    """Join the record with what is known besides it, and say where the rest is."""
    return Job(
        **record.model_dump(include=SAME - OTHERWISE),
        params=record.params,
        output=Output(**record.output.model_dump(include=set(Output.model_fields)))
        if record.output
        else None,
        error=record.error,
        webhook=_webhook(record),
        history=_history(record),
        queue_position=queue_position,
        progress=progress,
        metrics=Metrics(
            queue_seconds=_seconds(record.created_at, record.started_at),
            run_seconds=_seconds(record.started_at, record.finished_at),
        ),
        urls=urls_of(record.id),
    )


def _webhook(record: JobRecord) -> Webhook | None:
    if record.webhook is None:
        return None
    return Webhook(
        url=record.webhook,
        attempts=record.webhook_attempts,
        delivered_at=record.webhook_delivered_at,
        error=record.webhook_error,
    )


def _history(record: JobRecord) -> list[HistoryEntry]:
    return [
        HistoryEntry(
            at=event.at,
            event=event.event,
            detail="" if event.event in EVENTS_OF_WORKERS else event.detail,
        )
        for event in record.history
    ]


def urls_of(job_id: str) -> Urls:
    """Where a client finds the rest of a job."""
    job = f"{JOBS_PATH}/{job_id}"
    return Urls(
        self=job,
        cancel=f"{job}/cancel",
        retry=f"{job}/retry",
        delete=job,
        events=f"{job}/events",
        preview=f"{job}/preview",
        losses=f"{job}/losses",
        result=f"{job}/result",
        manifest=f"{job}/manifest",
    )


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    return None if since is None or until is None else (until - since).total_seconds()
