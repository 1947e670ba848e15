"""Jobs on display: as Redis has them at this moment, and written out anew when they have changed.

Clients ask again and again. Redis is asked each time, in one round trip, so what is told is never
old. But most of its replies are those of the last time, and then so is the answer.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple, Self

import structlog
from redis import Redis
from redis.exceptions import RedisError

from api.views import present
from shared.connections import RoundTrips
from shared.jobs import Job, JobRecord, JobStatus, Progress
from shared.messaging import ProgressReader, parse_progress
from shared.records import parse_record, questions

# Answers that a process keeps, those that nobody has asked for longest forgotten first: some 20 MB
# at most. Longer ones, with much metadata, are written out each time.
MAX_KEPT = 2_000
MAX_KEPT_CHARACTERS = 6_000
HASH_BYTES = 8
log = structlog.get_logger(__name__)


def _still() -> list[set[str]]:
    """A job's fields before, between and behind the two that change while its record does not."""
    fields = list(Job.model_fields)
    place, progress = fields.index("queue_position"), fields.index("progress")
    return [set(fields[:place]), set(fields[place + 1 : progress]), set(fields[progress + 1 :])]


STILL = _still()


@dataclass(frozen=True)
class Shown:
    """A job as clients see it at one moment."""

    id: str
    owner: str
    status: JobStatus
    progress: Progress | None
    progress_json: str
    state: str  # a hash of all but the progress
    etag: str  # another one whenever there is something new
    json: str  # all of it

    @classmethod
    def of(cls, record: JobRecord, place: int | None, progress: Progress | None) -> Self:
        """A record with what is known besides it."""
        return cls._framed(_Frame.around(record), place, progress)

    @classmethod
    def _framed(cls, frame: "_Frame", place: int | None, progress: Progress | None) -> Self:
        before, between, behind = frame.texts
        head = f'{{{before},"queue_position":{json.dumps(place)},{between}'
        told = progress.model_dump_json() if progress else "null"
        state = _hash(head + behind)
        return cls(
            id=frame.id,
            owner=frame.owner,
            status=frame.status,
            progress=progress,
            progress_json=told,
            state=state,
            etag=f"{state}-{_hash(told)}",
            json=f'{head},"progress":{told},{behind}}}',
        )


class _Frame(NamedTuple):
    """What a record tells, written out, with two gaps."""

    id: str
    owner: str
    status: JobStatus
    texts: list[str]

    @classmethod
    def around(cls, record: JobRecord) -> Self:
        job = present(record, None, None)
        texts = [job.model_dump_json(include=fields)[1:-1] for fields in STILL]
        return cls(record.id, record.owner, record.status, texts)


class _Reply(NamedTuple):
    """What Redis says of a job, as it says it."""

    fields: dict[str, str]
    place: int | None
    progress: str | None


class _Kept(NamedTuple):
    reply: _Reply
    frame: _Frame
    shown: Shown


class Display:
    """Shows jobs, whoever asks: who may see which is not its concern."""

    def __init__(self, redis: Redis, progress: ProgressReader) -> None:
        self._trips = RoundTrips(redis)
        self._progress = progress
        self._is_one_server = progress.is_on(redis)
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def show(self, job_id: str) -> Shown | None:
        """A job, if it is there."""
        return self.show_many([job_id]).get(job_id)

    def show_many(self, job_ids: list[str]) -> dict[str, Shown]:
        """Those of the jobs that are there, in this order.

        One round trip, or two if progress lies on a Redis of its own.
        """
        if not job_ids:
            return {}
        return {
            job_id: self._shown(job_id, reply)
            for job_id, reply in zip(job_ids, self._ask(job_ids), strict=True)
            if reply.fields
        }

    def _ask(self, job_ids: list[str]) -> list[_Reply]:
        asked = [question for job_id in job_ids for question in questions(job_id)]
        if self._is_one_server:
            asked.append(self._progress.question(job_ids))
        replies = self._trips.ask(asked)
        states = replies.pop() if self._is_one_server else self._ask_elsewhere(job_ids)
        return [
            # Until it has begun, a job has none: what may lie there was of a lost record.
            _Reply(fields, place, state if "started_at" in fields else None)
            for fields, place, state in zip(replies[::2], replies[1::2], states, strict=True)
        ]

    def _ask_elsewhere(self, job_ids: list[str]) -> list[str | None]:
        """Without progress the truth is still worth telling."""
        try:
            return self._progress.states(job_ids)
        except RedisError as error:
            log.warning("progress not read", error=repr(error))
            return [None] * len(job_ids)

    def _shown(self, job_id: str, reply: _Reply) -> Shown:
        kept = self._recall(job_id)
        if kept is not None and kept.reply == reply:
            return kept.shown
        if kept is not None and kept.reply.fields == reply.fields:
            frame = kept.frame
        else:
            frame = _Frame.around(parse_record(job_id, reply.fields))
        progress = parse_progress(reply.progress) if reply.progress else None
        shown = Shown._framed(frame, reply.place, progress)
        self._keep(job_id, _Kept(reply, frame, shown))
        return shown

    def _recall(self, job_id: str) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(job_id)
            if kept is not None:
                self._kept.move_to_end(job_id)
            return kept

    def _keep(self, job_id: str, kept: _Kept) -> None:
        if len(kept.shown.json) > MAX_KEPT_CHARACTERS:
            return
        with self._lock:
            self._kept[job_id] = kept
            self._kept.move_to_end(job_id)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=HASH_BYTES).hexdigest()
