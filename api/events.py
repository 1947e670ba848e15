"""`GET /v1/jobs/{id}/events`: a job as a stream of server-sent events.

The events are made from what the job is, not kept: an id says what a client has seen of it, and
any process of the API goes on from there. What was missed in between is not told again.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import Field

from api.answers import answer, media
from api.authentication import admission, owner
from api.display import Shown
from api.lookup import JobPath, RequestHeader, look
from api.problems import problems
from api.services import services
from api.views import JOBS_PATH, urls_of
from api.watching import Watch

EVENT_STREAM = "text/event-stream"
RECONNECT_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 15.0
# Then the client comes again, and shows its key again.
MAX_STREAM_SECONDS = 600.0
STREAM_OF_EVENTS = """\
Server-sent events, of which each has an `id`:

| event | data |
|---|---|
| `status` | the job (`Job`): at first, and whenever more than its progress has changed |
| `progress` | its `progress` alone (`Progress`) |
| `preview` | `{"step": 72, "url": "..."}`: there is a new preview |
| `completed` | the job, which has ended; then the stream ends |

Lines that begin with a colon say only that the line is alive. A stream ends by itself after some \
minutes: come again with `Last-Event-ID`.
"""

blueprint = APIBlueprint(
    "events",
    __name__,
    url_prefix=JOBS_PATH,
    abp_tags=[Tag(name="jobs", description="Paint pictures")],
)


class LastEventHeader(RequestHeader):
    """Where a stream goes on that was cut off."""

    last_event_id: str | None = Field(
        None,
        alias="Last-Event-ID",
        description="`id` of the last event that came: only what is new since is sent.",
    )


class Seen(NamedTuple):
    """What a client has seen of a job; the `id` of an event."""

    state: str  # all but the progress, as a hash
    step: int
    previews: int  # the step of the newest

    @classmethod
    def of(cls, job: Shown) -> Self:
        """What somebody has seen who has seen all of it."""
        progress = job.progress
        if progress is None:
            return cls(job.state, -1, -1)
        return cls(job.state, progress.step, progress.previews[-1] if progress.previews else -1)

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """What an id says; None if it is none of ours."""
        try:
            state, step, previews = (text or "").split("/")
            return cls(state, int(step), int(previews))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.state}/{self.step}/{self.previews}"


@blueprint.get(
    "/<job_id>/events",
    responses={
        "200": media(
            STREAM_OF_EVENTS, EVENT_STREAM, headers=("Cache-Control",), examples=("stream",)
        ),
        "204": answer("It has ended, and `Last-Event-ID` has seen that"),
        **problems(404, 410),
    },
)
def follow_job(path: JobPath, header: LastEventHeader) -> Response:
    """Follow a job: its status, progress and previews until it has ended."""
    service = services()
    job = look(service, path.job_id)
    seen = Seen.parse(header.last_event_id)
    if job.status.is_terminal and seen == Seen.of(job):
        return Response(status=204)  # which also keeps an EventSource from coming again
    watch = service.watching.watch(job.id, owner())
    response = Response(_stream(job, seen, watch, admission()), content_type=EVENT_STREAM)
    response.call_on_close(watch.close)
    response.cache_control.no_store = True
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep the events until they are many
    return response


def _stream(
    job: Shown, seen: Seen | None, watch: Watch, is_admitted: Callable[[], bool]
) -> Iterator[str]:
    ends_at = time.monotonic() + MAX_STREAM_SECONDS
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    while True:
        yield from _events(job, seen)
        if job.status.is_terminal or time.monotonic() > ends_at:
            return
        seen = Seen.of(job)
        while (news := watch.news(HEARTBEAT_SECONDS)) is None:
            if watch.is_over or time.monotonic() > ends_at or not is_admitted():
                return
            yield ":\n\n"  # tells both sides, and proxies between them, that the other is there
        if not is_admitted():
            return
        job = news


def _events(job: Shown, seen: Seen | None) -> Iterator[str]:
    """What a client has to hear that has seen so much."""
    now = Seen.of(job)
    if job.status.is_terminal:
        yield _event("completed", job.json, now)
        return
    if seen is None or seen.state != now.state:
        yield _event("status", job.json, now)
        if seen is None:
            return  # it has all the rest in it
    if job.progress is not None and seen.step != now.step:
        yield _event("progress", job.progress_json, now)
    if now.previews >= 0 and seen.previews != now.previews:
        url = f"{urls_of(job.id).preview}?step={now.previews}"
        yield _event("preview", json.dumps({"step": now.previews, "url": url}), now)


def _event(name: str, data: str, seen: Seen) -> str:
    return f"event: {name}\nid: {seen}\ndata: {data}\n\n"
