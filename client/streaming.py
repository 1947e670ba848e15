"""Following a job: by its stream of events, and by polling wherever streams do not come through.

What a poll says is the truth. A stream that breaks off, for whatever reason, is followed by a poll
and by the next stream, which goes on after the last event that came.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from client.answers import nothing
from client.call import Call
from client.errors import ApiProblem, JobFailed, ServiceSilent, ServiceUnreachable
from client.events import Completed, JobEvent, advanced, read_event
from client.operations import path, status
from client.patience import FOR_THE_END, NONE, Retries
from client.session import EVENT_STREAM, Session, ask
from shared.jobs import Job, JobStatus

POLL_SECONDS = 0.5
RECONNECT_SECONDS = 0.25  # after a stream that had brought something, or no connection
# The service gives a sign of life every 15 s.
SILENCE_SECONDS = 25.0
# After a refusal for the moment, or a stream that ended with nothing.
STREAM_AGAIN_SECONDS = 30.0
NEVER = float("inf")
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500


async def events(
    session: Session, /, job_id: str, *, last_event_id: str | None = None
) -> AsyncGenerator[JobEvent, None]:
    """What happens to a job, as it happens, until it has ended.

    Connections that break are made again. Where streams are refused, that is raised: `follow` works
    there, too.
    """
    last_id = last_event_id
    retries = Retries(FOR_THE_END if session.patient else NONE)
    while True:
        pause_seconds = RECONNECT_SECONDS
        try:
            async with aclosing(_stream(session, job_id, last_id)) as stream:
                async for event in stream:
                    retries = Retries(FOR_THE_END if session.patient else NONE)
                    last_id = event.id
                    yield event
                    if isinstance(event, Completed):
                        return
            job = await ask(session, status(job_id, FOR_THE_END))
            if job.status.is_terminal:  # and whoever asked has heard so before
                return
        except (ServiceUnreachable, ApiProblem) as error:
            pause_seconds = retries.pause_seconds(error)
        await session.sleep(pause_seconds)


async def follow(
    session: Session, /, job_id: str, *, stream: bool = True
) -> AsyncGenerator[Job, None]:
    """The job with its newest progress, again and again, until it has ended.

    A service that is away is waited for.

    Args:
        job_id: which job.
        stream: whether news may come by a stream of events. Without, the job is asked for twice a
            second, and comes as often, whether or not anything is new.
    """
    ask_status = status(job_id, FOR_THE_END)
    job = await ask(session, ask_status)
    yield job
    stream_at = 0.0 if stream else NEVER
    last_id: str | None = None
    while not job.status.is_terminal:
        pause_seconds = POLL_SECONDS
        if session.streams_arrive and time.monotonic() >= stream_at:
            heard, again_seconds = False, STREAM_AGAIN_SECONDS
            try:
                async with aclosing(_stream(session, job_id, last_id)) as news:
                    async for event in news:
                        heard, last_id = True, event.id
                        newer = advanced(job, event)
                        if newer != job:
                            job = newer
                            yield job
                        if job.status.is_terminal:
                            return
            except ServiceSilent:
                # Something on the way keeps the events until they are many.
                session.streams_arrive = heard
            except ServiceUnreachable:
                again_seconds = RECONNECT_SECONDS
            except ApiProblem as refusal:
                again_seconds = _seconds_until_again(refusal)
            pause_seconds = RECONNECT_SECONDS if heard else POLL_SECONDS
            stream_at = time.monotonic() + (RECONNECT_SECONDS if heard else again_seconds)
        await session.sleep(pause_seconds)
        job = await ask(session, ask_status)
        yield job


async def wait(session: Session, /, job_id: str) -> Job:
    """The job when it has succeeded. Raises `JobFailed` when it ends without a picture."""
    async for newest in follow(session, job_id):
        job = newest
    if job.status != JobStatus.SUCCEEDED:
        raise JobFailed(job)
    return job


async def _stream(
    session: Session, job_id: str, last_id: str | None
) -> AsyncGenerator[JobEvent, None]:
    """What one connection brings."""
    headers = {"Accept": EVENT_STREAM, "Cache-Control": "no-store"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    call = Call(
        method="GET",
        path=f"{path(job_id)}/events",
        headers=headers,
        silence_seconds=SILENCE_SECONDS,
        read=nothing,
    )
    async with aclosing(session.stream(call)) as sent:
        async for message in sent:
            event = read_event(message)
            if event is not None:
                yield event


def _seconds_until_again(refusal: ApiProblem) -> float:
    """When a stream may be asked for again."""
    for_now = refusal.status == TOO_MANY_REQUESTS or refusal.status >= SERVER_ERROR
    return max(refusal.retry_after_seconds or 0.0, STREAM_AGAIN_SECONDS) if for_now else NEVER
