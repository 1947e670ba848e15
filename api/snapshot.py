"""What Redis knows of all jobs and workers at one moment, read in two round trips."""

from dataclasses import dataclass
from typing import Any, Self

from shared import names
from shared.jobs import Priority
from shared.scripts import PRIORITY_RANK
from shared.workers import Worker, registration

# Work that lies in sorted sets by when it is due, for any worker to take.
BACKLOGS = {
    "leases": names.LEASES,
    "waiting_jobs": names.DUE,
    "webhooks": names.OUTBOX,
    "finished_jobs": names.EXPIRY,
    "garbage": names.GARBAGE,
}


@dataclass(frozen=True)
class Backlog:
    """How full a backlog is."""

    count: int
    due: int
    overdue_seconds: float  # of the row that is due for longest


@dataclass(frozen=True)
class Snapshot:
    """What Redis knew at one moment."""

    statuses: dict[str, str]
    counters: dict[str, str]
    waiting: dict[Priority, int]
    oldest_seconds: dict[Priority, float]
    backlogs: dict[str, Backlog]
    workers: list[Worker]
    redis: dict[str, Any]

    @classmethod
    def read(cls, redis: Any) -> Self:
        """Two round trips: the second asks for what the first one found. Raises `RedisError`."""
        with redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.info("memory")
            pipe.info("persistence")
            pipe.hgetall(names.STATUSES)
            pipe.hgetall(names.COUNTERS)
            pipe.zrange(names.WORKERS, 0, -1)
            for rank in PRIORITY_RANK.values():
                pipe.zcount(names.QUEUE, rank, rank)
                pipe.zrangebyscore(names.QUEUE, rank, rank, start=0, num=1)
            for key in BACKLOGS.values():
                pipe.zcard(key)
                pipe.zrange(key, 0, 0, withscores=True)
            clock, memory, persistence, statuses, counters, workers, *rest = pipe.execute()

        now = clock[0] + clock[1] / 1e6
        in_queue = dict(zip(PRIORITY_RANK, zip(rest[::2], rest[1::2], strict=True), strict=False))
        rest = rest[2 * len(in_queue) :]
        oldest = {priority: found[0] for priority, (_, found) in in_queue.items() if found}

        with redis.pipeline(transaction=False) as pipe:
            for job_id in oldest.values():
                pipe.hget(names.record(job_id), "created_at")
            for key in BACKLOGS.values():
                pipe.zcount(key, "-inf", now)
            for name in workers:
                pipe.get(registration(name))
            replies = iter(pipe.execute())

        created = {priority: next(replies) for priority in oldest}  # None: it has just gone
        backlogs = {
            name: Backlog(
                count=count,
                due=next(replies),
                overdue_seconds=max(0.0, now - first[0][1]) if first else 0.0,
            )
            for name, count, first in zip(BACKLOGS, rest[::2], rest[1::2], strict=True)
        }
        return cls(
            statuses=statuses,
            counters=counters,
            waiting={priority: count for priority, (count, _) in in_queue.items()},
            oldest_seconds={
                priority: max(0.0, now - float(created.get(priority) or now))
                for priority in PRIORITY_RANK
            },
            backlogs=backlogs,
            workers=[Worker.model_validate_json(text) for text in replies if text],
            redis=memory | persistence,
        )
