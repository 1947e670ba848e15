"""Registrations of workers in Redis. One that is not renewed vanishes, so what is listed is up."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from shared import names
from shared.estimates import Speed

if TYPE_CHECKING:  # clients know workers too, and have no Redis
    from redis import Redis

    from shared.settings import Settings


class Worker(BaseModel):
    """A worker that is up."""

    model_config = ConfigDict(frozen=True)

    name: str
    host: str
    pid: int
    device: str = Field(description="cpu, cuda:0, ...; as PyTorch names it")
    device_name: str = Field(description="What the maker calls it.")
    precision: str = Field(description="What auto means on this device.")
    weights: str
    weights_sha256: str
    cores: str = Field(description="Which cores it has; workers that have the same divide them.")
    speed: Speed | None = Field(
        description="What estimates are made from; measured when it is idle for the first time."
    )
    started_at: str
    busy: bool = Field(False, description="Whether it paints at the moment.")
    job_id: str | None = Field(description="Which job, if that is the asker's own.")
    step_seconds: float | None = Field(None, description="How long a step of that job takes, s.")
    memory_bytes: int | None = Field(
        None, description="Memory that it takes: of the GPU if it has one, else of the machine."
    )
    available_bytes: int | None = Field(
        None, description="Memory that a picture can have there, when the worker is idle."
    )


class WorkerList(BaseModel):
    """The workers that are up."""

    workers: list[Worker]


class WorkerRegistry:
    """Announces a worker and lists those that are up."""

    def __init__(self, redis: "Redis", settings: "Settings") -> None:
        self._redis = redis
        # Two heartbeats may be missed.
        self._seconds_to_live = 3 * settings.heartbeat_seconds

    def announce(self, worker: Worker) -> None:
        """Say that the worker is up and what it does."""
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1e6
        with self._redis.pipeline() as pipe:
            key = registration(worker.name)
            pipe.set(key, worker.model_dump_json(), px=int(self._seconds_to_live * 1000))
            pipe.zadd(names.WORKERS, {worker.name: now + self._seconds_to_live})
            pipe.zremrangebyscore(names.WORKERS, "-inf", now)
            pipe.zadd(_cores(worker.cores), {worker.name: now + self._seconds_to_live})
            pipe.zremrangebyscore(_cores(worker.cores), "-inf", now)
            pipe.pexpire(_cores(worker.cores), int(self._seconds_to_live * 1000))
            pipe.execute()

    def withdraw(self, worker: Worker) -> None:
        """Say that the worker is going."""
        with self._redis.pipeline() as pipe:
            pipe.delete(registration(worker.name))
            pipe.zrem(names.WORKERS, worker.name)
            pipe.zrem(_cores(worker.cores), worker.name)
            pipe.execute()

    def count(self) -> int:
        """How many workers are up."""
        seconds, _ = self._redis.time()
        return int(self._redis.zcount(names.WORKERS, seconds, "+inf"))

    def count_on(self, cores: str) -> int:
        """How many workers are up that have these cores."""
        seconds, _ = self._redis.time()
        return int(self._redis.zcount(_cores(cores), seconds, "+inf"))

    def up(self) -> list[Worker]:
        """The workers that are up, by name."""
        listed = sorted(str(name) for name in self._redis.zrange(names.WORKERS, 0, -1))
        if not listed:
            return []
        found = self._redis.mget([registration(name) for name in listed])
        return [Worker.model_validate_json(text) for text in found if text]


def registration(name: str) -> str:
    """Where a worker's registration lies in Redis."""
    return f"impasto:worker:{name}"


def _cores(cores: str) -> str:
    return f"impasto:cores:{cores}"
