"""The scripts of `shared/lua` against a model: many workers, clients and sweepers, in any order.

Hypothesis makes up what happens, on a real server whose scripts read a clock that the test sets.
Leases, tickets and whatever else somebody was given are kept and used again, much too late. Every
call may be sent twice, as a client does whose answer was lost. After every step the whole database
is as the model says.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared import scripts
from shared.errors import InFlight, KeyReused
from shared.garbage import REMOVING_SECONDS, Garbage
from shared.idempotency import IdempotencyKeys, Ticket
from shared.jobs import (
    Checkpoint,
    ErrorCode,
    Inputs,
    JobEnd,
    JobError,
    JobRequest,
    JobStatus,
    Priority,
    StoredOutput,
    StoredRequest,
)
from shared.names import record as record_key
from shared.outbox import Outbox
from shared.records import JobRecords, Lease
from shared.settings import Settings
from tests.shared.conftest import job_request
from tests.shared.records_model import MAX_HISTORY_BYTES, START, Database, Model

CLOCK_KEY = "test:now"
CLOCK = f"local function now() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end"
DAY = 86_400
OWNERS = ("ann", "bob")
WORKERS = ("w1", "w2", "w3", "w4")
MOST_JOBS = 7
# So small that limits, ends and expiries are met by chance; sums of these meet them exactly.
SECONDS = (0.25, 1.0, 10.0, 30.0, 60.0, 61.0, 120.0, 200.0, 300.0, 601.0)
LIMITS = {
    "max_queued_jobs": 4,
    "max_unfinished_jobs": 3,
    "max_attempts": 2,
    "lease_seconds": 60,
    "heartbeat_seconds": 10,
    "republish_seconds": 50,
    "max_run_seconds": 150,
    "retention_seconds": 600,
    "idempotency_seconds": 400,
    "unused_input_seconds": 200,
}
ERROR = JobError(code=ErrorCode.DIVERGED, message="the loss is not a number")
# Another call is another request by its nature, or tells of what is there and takes it.
ANOTHER_CALL_ANOTHER_ANSWER = frozenset({"take_due", "take_rows", "take_unused", "expire"})

SNAPSHOT = """#!lua flags=no-writes
local found = {}
for _, key in ipairs(redis.call('KEYS', 'impasto:*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'hash' then
    value = redis.call('HGETALL', key)
  elseif kind == 'zset' then
    value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else
    value = redis.call('GET', key)
  end
  table.insert(found, {key, kind, value, redis.call('PTTL', key)})
end
return found
"""

JSON_FIELDS = frozenset({"params", "metadata", "inputs", "output", "error", "checkpoints"})
TEXT_FIELDS = frozenset(
    {"owner", "status", "priority", "webhook", "retried_from", "worker", "claim", "history"}
    | {"webhook_error", "request", "ticket", "job"}
)


class LossyRedis(redis.Redis):
    """A client whose answers may be lost: it sends the same call once more, as any client does."""

    loses_answers = False
    answers: tuple[Any, Any] | None = None

    def evalsha(self, *arguments: Any, **options: Any) -> Any:
        answer = super().evalsha(*arguments, **options)
        if self.loses_answers:
            first, answer = answer, super().evalsha(*arguments, **options)
            self.answers = (first, answer)
        return answer


class Service:
    """What stands before the scripts, and a server that can be looked into."""

    def __init__(self, client: LossyRedis, settings: Settings) -> None:
        self.redis = client
        self.settings = settings
        self.records = JobRecords(client, settings)
        self.keys = IdempotencyKeys(client)
        self.outbox = Outbox(client, self.records)
        self.garbage = Garbage(client, settings)
        self._snapshot = client.register_script(SNAPSHOT)

    def clear(self, now: float) -> None:
        self.redis.flushall()
        self.set_time(now)

    def set_time(self, now: float) -> None:
        self.redis.set(CLOCK_KEY, now)

    def database(self) -> tuple[Database, dict[str, float]]:
        """Every key with its value, and for how long Redis keeps those that it forgets itself."""
        assert not self.redis.loses_answers
        found, kept = {}, {}
        for key, kind, value, ttl in self._snapshot():
            if kind == "zset":
                found[key] = dict(zip(value[::2], map(float, value[1::2]), strict=True))
            elif kind == "hash":
                pairs = zip(value[::2], value[1::2], strict=True)
                found[key] = {name: _value(name, text) for name, text in pairs}
            else:
                found[key] = value
            if ttl >= 0:
                kept[key] = ttl / 1000
        return found, kept


def _value(name: str, text: str) -> Any:
    if name in JSON_FIELDS:
        return json.loads(text)
    return text if name in TEXT_FIELDS else float(text)


def without_zeros(database: Database) -> Database:
    """Without what was counted down to nothing, or was counted no times."""
    for key in ("impasto:statuses", "impasto:unfinished", "impasto:counters"):
        left = {name: count for name, count in database.get(key, {}).items() if count}
        database = {**database, key: left}
    return {key: value for key, value in database.items() if value != {}}


class Impasto(RuleBasedStateMachine):
    """What workers, clients, sweepers and senders do."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.records, self.garbage = service.records, service.garbage
        self.model = Model(service.settings, service.records.overdue)
        service.clear(self.model.now)
        self.requests: dict[str, StoredRequest] = {}  # what was ever accepted, as it lies in S3
        self.names = 0
        self.uploads: list[tuple[Inputs, float]] = []
        self.tickets: list[Ticket] = []
        self.leases: list[Lease] = []
        self.sendings: list[tuple[str, int]] = []
        self.removals: list[tuple[Removal, float]] = []
        self.bucket: set[str] = set()  # inputs that lie in S3
        self.saved: Any = None
        self.lent_seconds = 0  # so that Redis's own clock ends nothing: the model's does
        self.tokens: set[str] = set()
        self.fences: dict[str, int] = {}
        self.ends: dict[str, Any] = {}

    # -- calls ----------------------------------------------------------------------------------

    def call(
        self, lost: bool, predict: Callable[[], Any], call: Callable[[], Any], steady: bool = True
    ) -> Any:
        """Make a call, twice if its first answer is lost. It answers what the model predicts."""
        client = self.service.redis
        expected = predict()
        if lost:
            once = without_zeros(self.model.database())
            expected = predict()
            again = without_zeros(self.model.database())
            if steady:  # it is the model that is judged here: the next lines judge the scripts
                once.pop("impasto:counters", None)
                again.pop("impasto:counters", None)
                assert again == once
        client.loses_answers = lost
        try:
            answer = call()
        finally:
            client.loses_answers = False
        assert answer == expected
        return answer

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"
