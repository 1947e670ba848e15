"""Which faults happen when, to whom and for how long: drawn from the seed at the start."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

CALM = range(0)  # never
FIRST_SECONDS = 4.0  # until then everything works
PAUSE_SECONDS = 3.5  # between two faults, on average
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


class Fault(StrEnum):
    """What is broken, for the length of the fault where it has one."""

    CHILD_KILLED = "painting process killed"
    WORKER_KILLED = "worker killed"
    PARENT_KILLED = "worker killed, its painting process lives on"
    WORKER_ENDED = "worker asked to end"
    WORKER_ENDED_AND_KILLED = "worker asked to end, then killed"
    WORKER_FROZEN = "worker frozen"
    CUT_OFF = "worker cut off"
    CUT_OFF_FROM_REDIS = "worker cut off from Redis"
    CUT_OFF_FROM_S3 = "worker cut off from S3"
    BLACK_HOLE = "worker's bytes to Redis vanish"
    REFUSED = "worker refused by Redis"
    SLOW = "worker's network slow"
    RESET = "worker's connections reset"
    CLIENT_KILL = "worker's connections killed by Redis"
    REDIS_KILLED = "Redis killed"
    REDIS_AWAY = "Redis away"
    REDIS_FULL = "Redis full"
    S3_AWAY = "S3 away"
    S3_SLOW = "S3 slow"
    API_KILLED = "API killed"
    API_CUT_OFF = "API cut off from Redis"
    DOUBLED_MESSAGES = "messages doubled"
    DAMAGED_CHECKPOINT = "checkpoint damaged, painting process killed"


@dataclass(frozen=True)
class _How:
    share: float
    shortest: float = 0.0
    longest: float = 0.0


_WORKER = {
    Fault.CHILD_KILLED: _How(16),
    Fault.WORKER_KILLED: _How(4, 0.2, 8),
    Fault.PARENT_KILLED: _How(1, 1, 8),
    Fault.WORKER_ENDED: _How(4, 12, 14),
    Fault.WORKER_ENDED_AND_KILLED: _How(2, 0.1, 2),
    Fault.WORKER_FROZEN: _How(5, 1, 14),
}
_NETWORK = {
    Fault.CUT_OFF: _How(4, 1, 14),
    Fault.CUT_OFF_FROM_REDIS: _How(3, 1, 14),
    Fault.CUT_OFF_FROM_S3: _How(3, 1, 14),
    Fault.BLACK_HOLE: _How(3, 1, 14),
    Fault.REFUSED: _How(3, 1, 10),
    Fault.SLOW: _How(2, 3, 15),
    Fault.RESET: _How(2),
    Fault.CLIENT_KILL: _How(3),
}
_REDIS = {
    Fault.REDIS_KILLED: _How(2),
    Fault.REDIS_AWAY: _How(2, 5, 20),
    Fault.REDIS_FULL: _How(2, 2, 10),
}
_S3 = {Fault.S3_AWAY: _How(3, 2, 15)}
_S3_SLOW = {Fault.S3_SLOW: _How(2, 3, 15)}
_API = {Fault.API_KILLED: _How(3, 0.2, 4)}
_API_NETWORK = {Fault.API_CUT_OFF: _How(2, 1, 8)}
_DATA = {Fault.DOUBLED_MESSAGES: _How(5), Fault.DAMAGED_CHECKPOINT: _How(3)}
# Whose target is started again when they are over.
ENDS_PROCESSES = frozenset(
    {
        Fault.WORKER_KILLED,
        Fault.PARENT_KILLED,
        Fault.WORKER_ENDED,
        Fault.WORKER_ENDED_AND_KILLED,
        Fault.API_KILLED,
    }
)
_ALL = {**_WORKER, **_NETWORK, **_REDIS, **_S3, **_S3_SLOW, **_API, **_API_NETWORK, **_DATA}


@dataclass(frozen=True)
class Planned:
    """A fault that will happen."""

    at: float  # seconds after the start
    fault: Fault
    seconds: float
    target: str  # the worker, the API or the server
    chance: float  # between 0 and 1: decides what else there is to decide

    @property
    def until(self) -> float:
        """When it is over."""
        return self.at + self.seconds


def plan(seed: str, seconds: float, workers: Sequence[str], calm: range = CALM) -> list[Planned]:
    """The faults of a run, in order. None is there during `calm`, nor after the end.

    Two faults of one thing are not there at once, and one worker of all always lives.
    """
    random = Random(f"{seed} faults")
    planned: list[Planned] = []
    at = FIRST_SECONDS
    while at < seconds:
        (fault,) = random.choices(list(_ALL), [how.share for how in _ALL.values()])
        how = _ALL[fault]
        length = round(random.uniform(how.shortest, how.longest), 2)
        target = random.choice(list(workers))
        candidate = Planned(round(at, 2), fault, length, _target(fault, target), random.random())
        if candidate.until < seconds and _fits(candidate, planned, workers, calm):
            planned.append(candidate)
        pause = random.expovariate(1 / PAUSE_SECONDS)
        at += min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, pause))
    return planned


def _target(fault: Fault, worker: str) -> str:
    if fault in _WORKER or fault in _NETWORK:
        return worker
    if fault in _REDIS:
        return "redis"
    if fault in _S3 or fault in _S3_SLOW:
        return "s3"
    return "api" if fault in _API or fault in _API_NETWORK else ""


def _fits(one: Planned, others: list[Planned], workers: Sequence[str], calm: range) -> bool:
    if one.until >= calm.start and one.at < calm.stop:
        return False
    near = [other for other in others if other.until + 1 > one.at]
    taken = set(itertools.chain.from_iterable(takes(other, workers) for other in near))
    if taken & takes(one, workers):
        return False
    if one.fault in _WORKER:
        dead = {other.target for other in near if other.fault in _WORKER}
        return len(dead | {one.target}) < len(workers)
    return True


def takes(one: Planned, workers: Sequence[str]) -> set[str]:
    """What no other fault may break meanwhile."""
    if one.fault in _NETWORK or one.fault in _API_NETWORK:
        return {f"network of {one.target}"}
    if one.fault in _S3_SLOW:
        return {"s3", *(f"network of {part}" for part in (*workers, "api"))}
    return {one.target} - {""}
