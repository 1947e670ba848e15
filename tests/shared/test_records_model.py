"""The scripts of `shared/lua` against a model: many workers, clients and sweepers, in any order.

Hypothesis makes up what happens, on a real server whose scripts read a clock that the test sets.
Leases, tickets and whatever else somebody was given are kept and used again, much too late. Every
call may be sent twice, as a client does whose answer was lost. After every step the whole database
is as the model says.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import hypothesis
import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared import names, scripts
from shared.errors import InFlight, KeyReused
from shared.garbage import POSTING_SECONDS, REMOVING_SECONDS, Garbage, Removal
from shared.idempotency import IdempotencyKeys, Ticket
from shared.jobs import (
    TERMINAL,
    Checkpoint,
    ErrorCode,
    Inputs,
    JobEnd,
    JobError,
    JobStatus,
    Priority,
    StoredOutput,
    StoredRequest,
)
from shared.outbox import Outbox
from shared.records import Due, JobRecords, Lease, new_claim
from shared.settings import Settings
from tests.shared.conftest import job_request
from tests.shared.records_model import MAX_HISTORY_BYTES, Database, Model

CLOCK_KEY = "test:now"
CLOCK = f"local function now() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end"
DAY = 86_400
OWNERS = ("ann", "bob")
WORKERS = ("w1", "w2", "w3", "w4")
MOST_JOBS = 7
# So small that limits, ends and expiries are met by chance; sums of these meet them exactly.
SECONDS = (0.25, 1.0, 10.0, 30.0, 60.0, 61.0, 120.0, 200.0, 300.0, 601.0, 3600.0)
LIMITS = {
    "max_queued_jobs": 4,
    "max_unfinished_jobs": 3,
    "max_kept_jobs": 4,
    "max_attempts": 2,
    "lease_seconds": 60,
    "heartbeat_seconds": 10,
    "republish_seconds": 50,
    "max_run_seconds": 150,
    "retention_seconds": 600,
    "idempotency_seconds": 400,
    "unused_input_seconds": 200,
}
# So that somebody looks after every job, whatever state it is in, and but for those held back.
LIES_IN = {JobStatus.QUEUED: {names.QUEUE, names.DUE}, JobStatus.RUNNING: {names.LEASES}}
ERROR = JobError(code=ErrorCode.DIVERGED, message="the loss is not a number")
SHORT_HISTORY = ("MAX_HISTORY_BYTES = 4000", f"MAX_HISTORY_BYTES = {MAX_HISTORY_BYTES}")
UNREACHABLE = JobError(code=ErrorCode.STORAGE, message="no worker reaches the storage")
DIGESTS = ("p1", "p2", "p3")
INPUTS = st.builds(
    Inputs,
    content=st.none() | st.sampled_from(DIGESTS),
    styles=st.lists(st.sampled_from(DIGESTS), max_size=2),
    masks=st.lists(st.sampled_from(DIGESTS), max_size=1),
    init=st.none() | st.sampled_from(DIGESTS),
)
RUNNING_LIMITS = st.sampled_from([None, 1, 1, 2])
REQUESTS = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(OWNERS),
        "priority": st.sampled_from(Priority),
        "retried_from": st.sampled_from([None, "0-0"]),
        "webhook": st.sampled_from([None, "https://example.org/told"]),
        "metadata": st.sampled_from([{}, {"note": "h\u00e9llo % {}"}]),
    }
)

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

# Every key from one database into another, which loses what it had; with the times when they end.
COPY = """#!lua
redis.call('SELECT', ARGV[2])
redis.call('FLUSHDB')
redis.call('SELECT', ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  redis.call('COPY', key, key, 'DB', ARGV[2])
end
"""

COUNTS = frozenset(
    {names.COUNTERS, names.STATUSES, names.UNFINISHED, names.RUNNING_LIMITS, names.INPUT_USES}
)
JSON_FIELDS = frozenset({"params", "metadata", "inputs", "output", "error", "checkpoints"})
TEXT_FIELDS = frozenset(
    {"owner", "status", "priority", "webhook", "retried_from", "worker", "claim", "history"}
    | {"webhook_error", "resumed", "request", "ticket", "job"}
)

Draw = Callable[[st.SearchStrategy[Any]], Any]


class LossyRedis(redis.Redis):
    """A client whose answers may be lost: it sends the same call once more, as any client does."""

    loses_answers = False
    sent: tuple[Any, ...] = ()  # the arguments of the last call

    def evalsha(self, *arguments: Any, **options: Any) -> Any:
        self.sent = arguments
        answer = super().evalsha(*arguments, **options)
        return super().evalsha(*arguments, **options) if self.loses_answers else answer


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
        self._copy = client.register_script(COPY)

    def clear(self, now: float) -> None:
        """Lose everything but the time."""
        self.redis.flushdb()
        self.redis.script_flush()
        self.redis.set(CLOCK_KEY, now)

    def save(self) -> None:
        """Keep a copy of the database."""
        self._copy(args=[0, 1])

    def load(self) -> None:
        """Go back to the copy."""
        self._copy(args=[1, 0])

    def database(self) -> tuple[Database, dict[str, float]]:
        """Every key with its value, and for how long Redis keeps those that it forgets itself."""
        assert not self.redis.loses_answers
        found, kept = {}, {}
        for key, kind, value, ttl in self._snapshot():
            if kind == "zset":
                found[key] = dict(zip(value[::2], map(float, value[1::2]), strict=True))
            elif kind == "hash":
                pairs = zip(value[::2], value[1::2], strict=True)
                number = key in COUNTS
                found[key] = {
                    name: float(text) if number else _value(name, text) for name, text in pairs
                }
            else:
                found[key] = value
            if ttl >= 0:
                kept[key] = ttl / 1000
        return found, kept


def _value(name: str, text: str) -> Any:
    if name in JSON_FIELDS:
        return json.loads(text)
    return text if name in TEXT_FIELDS else float(text)


def assert_same(found: Database, expected: Database, besides: tuple[str, ...] = ()) -> None:
    """Name what differs, and how. What was counted down to zero counts as nothing."""
    differences = []
    for key in sorted((found.keys() | expected.keys()) - {*besides}):
        is_now, should_be = (_fields(key, database.get(key)) for database in (found, expected))
        differences += [
            f"{key} {name}: is {is_now.get(name)!r}, should be {should_be.get(name)!r}"
            for name in sorted(is_now.keys() | should_be.keys())
            if is_now.get(name) != should_be.get(name)
        ]
    assert not differences, "\n".join(differences)


def _fields(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"": value}
    if key in COUNTS:
        return {name: count for name, count in value.items() if count}
    return value


def digests_of(inputs: Inputs) -> set[str]:
    """The hashes of all."""
    return {*inputs.styles, *inputs.masks, *filter(None, (inputs.content, inputs.init))}


def checkpoint_of(job_id: str, token: str, step: int) -> Checkpoint:
    """Of each lease and step another."""
    key = f"jobs/{job_id}/checkpoints/{token}-{step}.pt"
    return Checkpoint(key=key, sha256="5" * 64, size_bytes=10**9 + step, step=step)


def output_of(lease: Lease) -> StoredOutput:
    """Of each lease another."""
    return StoredOutput(
        content_type="image/png",
        width_px=64,
        height_px=48,
        size_bytes=123,
        sha256="a" * 64,
        result_key=f"jobs/{lease.job_id}/{lease.token}/result.png",
        manifest_key=f"jobs/{lease.job_id}/{lease.token}/manifest.json",
    )


class Impasto(RuleBasedStateMachine):
    """What workers, clients, sweepers and senders do."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.records, self.garbage = service.records, service.garbage
        self.model = Model(service.settings, service.records.overdue)
        service.clear(self.model.now)
        self.posted = 0
        self.ids: list[str] = []  # of all jobs that were ever accepted
        self.requests: dict[str, StoredRequest] = {}  # as they lie in S3
        self.ends: dict[str, JobEnd | None] = {}
        self.uploads: list[tuple[Inputs, float]] = []
        self.tickets: list[Ticket] = []
        self.leases: list[Lease] = []
        self.taken: list[Due] = []
        self.sendings: list[tuple[str, int]] = []
        self.removals: list[tuple[Removal, float]] = []
        self.bucket: set[str] = set()  # inputs that lie in S3
        self.disasters = False
        self.saved: Any = None
        self.tokens: set[str] = set()
        self.fences: dict[str, float] = {}
        self.final: dict[str, Any] = {}
        self.database: Database = {}

    # -- calls ----------------------------------------------------------------------------------

    def call(
        self,
        lost: bool,
        call: Callable[[], Any],
        predict: Callable[[], Any],
        *,
        same_answer: bool = True,
        no_effect: bool = True,
    ) -> Any:
        """Make a call, twice if its first answer is lost. It answers what the model predicts.

        What is called twice answers the same and has no further effect but to be counted, unless
        the rule says otherwise.
        """
        client = self.service.redis
        client.loses_answers = lost
        try:
            answer = call()
        finally:
            client.loses_answers = False
        expected = predict()
        if lost:
            first, before = expected, self.model.database()
            expected = predict()
            if same_answer:
                assert expected == first
            if no_effect:  # on the model: that Redis is as the model says comes after every step
                assert_same(self.model.database(), before, besides=(names.COUNTERS,))
        assert answer == expected
        return answer

    def new_id(self) -> str:
        """Ids are sorted by age, but not quite where two hosts make them."""
        self.posted += 1
        return f"{self.posted // 3}-{-self.posted % 3}"

    def some_job(self, draw: Draw) -> Any:
        """Most of the time one that is there."""
        ever = st.sampled_from([*reversed(self.ids), "nobody's"])
        known = st.sampled_from([*self.model.jobs] or self.ids)
        return draw(known | known | ever)

    def some_lease(self, draw: Draw) -> Any:
        """Half of the time one that counts, if there is one."""
        held = [lease for lease in self.leases if self.model.is_held(lease)]
        newest_first = self.leases[::-1]
        return draw(st.sampled_from(held or newest_first) | st.sampled_from(newest_first))

    # -- who does something ---------------------------------------------------------------------

    @initialize(data=st.data(), jobs=st.integers(1, 3), disasters=st.sampled_from([False, True]))
    def begins(self, data: st.DataObject, jobs: int, disasters: bool) -> None:
        self.disasters = disasters
        for _ in range(jobs):
            self.post(data.draw, lost=False)

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), lost=st.booleans())
    def worker_claims(self, data: st.DataObject, lost: bool) -> None:
        self.claim(data.draw, lost)

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        actions=st.lists(
            st.sampled_from(
                [
                    "claim",
                    "claim_again",
                    "renew",
                    "checkpoint",
                    "resumed",
                    "release",
                    "finish",
                    "finish_too",
                    "done",
                ]
            ),
            min_size=1,
            max_size=4,
        ),
        lost=st.booleans(),
    )
    def worker_works(self, data: st.DataObject, actions: list[str], lost: bool) -> None:
        for action in actions:
            getattr(self, action)(data.draw, lost)

    @rule(
        data=st.data(),
        action=st.sampled_from(
            ["post", "post", "upload", "begin", "begin", "post_later", "post_later", "abandon"]
        ),
        lost=st.booleans(),
    )
    def client_posts(self, data: st.DataObject, action: str, lost: bool) -> None:
        getattr(self, action)(data.draw, lost)

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(),
        action=st.sampled_from(["cancel", "cancel", "delete", "look_at_a_job", "list_jobs"]),
        lost=st.booleans(),
    )
    def client_asks(self, data: st.DataObject, action: str, lost: bool) -> None:
        getattr(self, action)(data.draw, lost)

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(),
        action=st.sampled_from(["take_webhooks", "sent_webhook", "sent_webhook"]),
        lost=st.booleans(),
    )
    def sender_acts(self, data: st.DataObject, action: str, lost: bool) -> None:
        getattr(self, action)(data.draw, lost)

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(),
        action=st.sampled_from(
            [
                "take_due",
                "take_due",
                "publishing_failed",
                "expire_jobs",
                "take_unused_input",
                "remove_input",
                "find_inputs",
                "sweep_prefix",
            ]
        ),
        lost=st.booleans(),
    )
    def somebody_tidies(self, data: st.DataObject, action: str, lost: bool) -> None:
        getattr(self, action)(data.draw, lost)

    @precondition(lambda self: self.disasters)
    @rule(
        data=st.data(),
        action=st.sampled_from(["save", "save", "load", "wipe", "recover", "recover"]),
        lost=st.booleans(),
    )
    def redis_is_lost(self, data: st.DataObject, action: str, lost: bool) -> None:
        getattr(self, action)(data.draw, lost)

    # -- time, and what is lost -----------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Redis's own clock ends nothing meanwhile: what would end is removed, the rest kept on."""
        before = set(self.model.kept_until())
        self.model.advance(seconds)
        kept_until = self.model.kept_until()
        with self.service.redis.pipeline() as pipe:
            pipe.set(CLOCK_KEY, self.model.now)
            for key in before - kept_until.keys():
                pipe.delete(key)
            for key, until in kept_until.items():
                pipe.pexpire(key, int((until - self.model.now + DAY) * 1000))
            pipe.execute()

    def save(self, draw: Draw, lost: bool) -> None:
        """Redis writes its file."""
        self.service.save()
        self.saved = self.model.save(), set(self.bucket)

    def load(self, draw: Draw, lost: bool) -> None:
        """Redis comes back from its file: what happened since then is lost, and nobody knows."""
        if self.saved is None:
            return
        self.service.load()
        model, bucket = self.saved
        self.model.load(model)
        self.bucket |= bucket  # nothing was removed from S3 in the second that is lost at most
        self.forget_what_was_begun()
        self.pass_time(0)

    def wipe(self, draw: Draw, lost: bool) -> None:
        """Everything is lost but what lies in S3, from which some jobs are restored at once."""
        self.service.clear(self.model.now)
        self.model.clear()
        self.forget_what_was_begun()
        self.pass_time(60)
        for job_id in draw(st.sets(st.sampled_from([*self.requests] or self.ids))):
            self.restore(job_id, self.ends.get(job_id), lost)

    def forget_what_was_begun(self) -> None:
        """Nobody is within a request or a removal when an outage is over: these take seconds."""
        self.uploads.clear()
        self.removals.clear()
        self.fences.clear()
        self.final.clear()

    def recover(self, draw: Draw, lost: bool) -> None:
        """Somebody recovers, though there may be nothing to recover."""
        job_id = draw(st.sampled_from([*reversed(self.requests)] or self.ids))
        knows_its_end = draw(st.booleans())
        self.restore(job_id, self.ends.get(job_id) if knows_its_end else None, lost)

    def restore(self, job_id: str, end: JobEnd | None, lost: bool) -> None:
        request = self.requests.get(job_id)
        if request is None or not self.are_in_s3(request.inputs):
            return
        checkpoints = [] if end else [checkpoint_of(job_id, "1-found", step) for step in (2, 1)]
        self.call(
            lost,
            lambda: self.records.restore(request, end, checkpoints),
            lambda: self.model.restore(request, end, checkpoints),
            same_answer=False,  # that it is there
        )

    def are_in_s3(self, inputs: Inputs) -> bool:
        """And stay there."""
        digests = digests_of(inputs)
        return digests <= self.bucket and not digests & self.model.deleting.keys()

    # -- clients --------------------------------------------------------------------------------

    def touch(self, inputs: Inputs, lost: bool) -> bool:
        digests = sorted(digests_of(inputs))
        known = self.call(
            lost,
            lambda: self.garbage.touch_inputs(digests),
            lambda: self.model.touch_inputs(digests),
            same_answer=False,  # by then they are known
        )
        if known is None:
            return False
        self.bucket |= set(digests)  # stored, where they were not there
        return True

    def upload(self, draw: Draw, lost: bool) -> None:
        inputs = draw(INPUTS)
        if self.touch(inputs, lost):
            self.uploads.append((inputs, self.model.now))

    def post(self, draw: Draw, lost: bool) -> None:
        inputs = draw(INPUTS)
        if len(self.model.jobs) < MOST_JOBS and self.touch(inputs, lost):
            self.create(inputs, draw(REQUESTS), None, None, draw(RUNNING_LIMITS), lost)

    def post_later(self, draw: Draw, lost: bool) -> None:
        """A while after the inputs were touched, but not too late; perhaps with a ticket."""
        since = self.model.now - POSTING_SECONDS
        self.uploads = [(inputs, at) for inputs, at in self.uploads if at > since]
        if self.uploads and len(self.model.jobs) < MOST_JOBS:
            inputs, _ = draw(st.sampled_from(self.uploads[::-1]))
            ticket = draw(st.sampled_from([*self.tickets[::-1], None]))
            limit = draw(st.none() | st.integers(0, 2))
            self.create(inputs, draw(REQUESTS), ticket, limit, draw(RUNNING_LIMITS), lost)

    def create(
        self,
        inputs: Inputs,
        fields: dict[str, Any],
        ticket: Ticket | None,
        limit: int | None,
        running_limit: int | None,
        lost: bool,
    ) -> None:
        fields = {"inputs": inputs} | fields | ({"owner": ticket.owner} if ticket else {})
        request = job_request(id=self.new_id(), **fields)
        refusal = self.call(
            lost,
            lambda: self.records.create(
                request, ticket, max_unfinished_jobs=limit, max_running_jobs=running_limit
            ),
            lambda: self.model.create(request, ticket, limit, running_limit),
        )
        if refusal is None:
            self.ids.append(request.id)
            self.requests[request.id] = StoredRequest(
                **dict(request),
                created_at=datetime.fromtimestamp(self.model.now, UTC),
                idempotency=ticket and ticket.idempotency,
            )

    def begin(self, draw: Draw, lost: bool) -> None:
        """With a new ticket, or with one that was drawn long ago."""
        owner, key = draw(st.sampled_from(OWNERS)), draw(st.sampled_from(["k1", "k2"]))
        new = Ticket.draw(owner, key, draw(st.sampled_from(["r1", "r1", "r2"])))
        ticket = draw(st.sampled_from([new, new, *self.tickets]))

        def begin() -> str | None:
            try:
                return self.service.keys.begin(ticket)
            except KeyReused:
                return "mismatch"
            except InFlight:
                return "in_flight"

        if self.call(lost, begin, lambda: self.model.begin(ticket)) is None:
            self.tickets.append(ticket)

    def abandon(self, draw: Draw, lost: bool) -> None:
        if self.tickets:
            ticket = draw(st.sampled_from(self.tickets[::-1]))
            self.call(
                lost,
                lambda: self.service.keys.abandon(ticket),
                lambda: self.model.abandon(ticket),
            )

    def cancel(self, draw: Draw, lost: bool) -> None:
        job_id = self.some_job(draw)
        self.call(lost, lambda: self.records.cancel(job_id), lambda: self.model.cancel(job_id))

    def delete(self, draw: Draw, lost: bool) -> None:
        job_id = self.some_job(draw)
        self.call(
            lost,
            lambda: self.records.delete(job_id),
            lambda: self.model.delete(job_id),
            same_answer=False,  # there is no such job any more
        )

    def look_at_a_job(self, draw: Draw, lost: bool) -> None:
        job_id = self.some_job(draw)
        self.records.want_preview(job_id)
        self.model.want_preview(job_id)
        found, job = self.records.get(job_id), self.model.jobs.get(job_id)
        gone, _ = self.model.gone.get(job_id, (None, None))
        assert self.records.owner_of_gone(job_id) == gone
        wishes = self.records.wishes(job_id)
        assert wishes.preview
        assert wishes.cancel == bool(job and job.cancel_requested_at)
        assert (found is None) == (job is None)
        if found and job:
            record, position = found
            assert (record.owner, record.status) == (job.request.owner, job.status)
            assert record.end == job.end
            assert record.checkpoints == job.checkpoints
            assert len(record.history) == len(job.history)
            queue = self.model.queue()
            assert position == (queue.index(job_id) if job_id in queue else None)

    def list_jobs(self, draw: Draw, lost: bool) -> None:
        owner = draw(st.sampled_from(OWNERS))
        wanted = draw(st.frozensets(st.sampled_from(JobStatus), min_size=1))
        limit = draw(st.integers(1, 3))
        before: str | None = None
        while True:
            page = self.records.page(owner, wanted, limit, before)
            assert page == self.model.page(owner, wanted, limit, before)
            if not page:
                break
            before = page[-1]
        most = draw(st.none() | st.integers(0, 2))
        refusal = self.records.refusal(owner, max_unfinished_jobs=most)
        assert refusal == self.model.refusal(owner, most)

    # -- workers --------------------------------------------------------------------------------

    def claim(self, draw: Draw, lost: bool) -> None:
        unfinished = [job.request.id for job in self.model.unfinished()]
        seldom = draw(st.sampled_from([False, False, False, True]))
        job_id = (
            self.some_job(draw) if seldom or not unfinished else draw(st.sampled_from(unfinished))
        )
        worker, claim = draw(st.sampled_from(WORKERS)), new_claim()
        assert self.records.is_free(job_id) == self.model.is_free(job_id)
        lease = self.call(
            lost,
            lambda: self.records.claim(job_id, worker, claim),
            lambda: self.model.claim(job_id, worker, claim),
            same_answer=False,  # a job that this has ended is finished
        )
        if isinstance(lease, Lease):
            before = self.database[names.record(job_id)]
            if before["status"] == JobStatus.QUEUED:
                running = names.index(before["owner"], JobStatus.RUNNING)
                limit = self.service.redis.hget(names.RUNNING_LIMITS, before["owner"])
                assert limit is None or self.service.redis.zcard(running) <= int(limit)
            assert lease.token not in self.tokens
            self.tokens.add(lease.token)
            self.leases.append(lease)

    def claim_again(self, draw: Draw, lost: bool) -> None:
        """A worker that had no answer asks again after a while; its lease begins anew."""
        lease = self.some_lease(draw)
        if self.model.is_held(lease):
            worker = draw(st.sampled_from(WORKERS))
            again = self.call(
                lost,
                lambda: self.records.claim(lease.job_id, worker, lease.claim),
                lambda: self.model.claim(lease.job_id, worker, lease.claim),
            )
            assert again == lease

    def renew(self, draw: Draw, lost: bool) -> None:
        lease = self.some_lease(draw)
        self.call(lost, lambda: self.records.renew(lease), lambda: self.model.renew(lease))

    def checkpoint(self, draw: Draw, lost: bool) -> None:
        lease = self.some_lease(draw)
        made = checkpoint_of(lease.job_id, lease.token, draw(st.integers(1, 4)))
        self.call(
            lost,
            lambda: self.records.checkpoint(lease, made),
            lambda: self.model.checkpoint(lease, made),
            same_answer=False,  # nothing is dropped any more
        )

    def resumed(self, draw: Draw, lost: bool) -> None:
        lease = self.some_lease(draw)
        self.call(
            lost, lambda: self.records.resumed(lease, 5), lambda: self.model.resumed(lease, 5)
        )

    def finish(self, draw: Draw, lost: bool) -> None:
        self.finish_as(draw(st.sampled_from(sorted(TERMINAL))), self.some_lease(draw), lost)

    def finish_too(self, draw: Draw, lost: bool) -> None:
        """What has ended is finished once more, as it was: by who did it, or who had lost it."""
        jobs = self.model.jobs
        ended = [
            (jobs[lease.job_id].status, lease)
            for lease in reversed(self.leases)
            if lease.job_id in jobs and jobs[lease.job_id].status in TERMINAL
        ]
        if ended:
            self.finish_as(*draw(st.sampled_from(ended)), lost)

    def finish_as(self, status: JobStatus, lease: Lease, lost: bool) -> None:
        output = output_of(lease)
        calls: dict[JobStatus, tuple[Callable[[], bool], StoredOutput | JobError | None]] = {
            JobStatus.SUCCEEDED: (lambda: self.records.succeed(lease, output), output),
            JobStatus.FAILED: (lambda: self.records.fail(lease, ERROR), ERROR),
            JobStatus.CANCELED: (lambda: self.records.stop(lease), None),
        }
        call, end = calls[status]
        self.call(lost, call, lambda: self.model.finish(lease, end))

    def done(self, draw: Draw, lost: bool) -> None:
        """A worker that has ended a job, or given it back, sends messages to others."""
        job_id = self.some_lease(draw).job_id
        self.call(
            lost, lambda: self.records.called_up(job_id), lambda: self.model.called_up(job_id)
        )

    def release(self, draw: Draw, lost: bool) -> None:
        lease = self.some_lease(draw)
        unreachable = draw(st.sampled_from([None, UNREACHABLE]))
        self.call(
            lost,
            lambda: self.records.release(lease, unreachable),
            lambda: self.model.release(lease, unreachable),
        )

    def take_due(self, draw: Draw, lost: bool) -> None:
        limit = draw(st.integers(1, 4))
        taken = self.call(
            lost,
            lambda: self.records.take_due(limit),
            lambda: self.model.take_due(limit),
            same_answer=False,
            no_effect=False,  # the next are taken
        )
        self.taken = taken or self.taken

    def publishing_failed(self, draw: Draw, lost: bool) -> None:
        """Perhaps a while after the jobs were taken."""
        self.records.due_at_once(self.taken)
        self.model.due_at_once(self.taken)

    # -- webhooks -------------------------------------------------------------------------------

    def take_webhooks(self, draw: Draw, lost: bool) -> None:
        limit = draw(st.integers(1, 3))
        self.sendings += self.call(
            lost,
            lambda: [(job.id, job.webhook_attempts + 1) for job in self.service.outbox.take(limit)],
            lambda: self.model.take_rows(limit),
            same_answer=False,
            no_effect=False,
        )

    def sent_webhook(self, draw: Draw, lost: bool) -> None:
        if not self.sendings:
            return
        job_id, attempt = draw(st.sampled_from(self.sendings[::-1]))
        error, again = draw(
            st.sampled_from([(None, None), ("no answer", 5.0), ("no answer", 300.0), ("no", None)])
        )
        outbox = self.service.outbox
        self.call(
            lost,
            lambda: (
                outbox.failed(job_id, attempt, error, again)
                if error
                else outbox.delivered(job_id, attempt)
            ),
            lambda: self.model.webhook_sent(job_id, attempt, error, again),
        )

    # -- sweepers -------------------------------------------------------------------------------

    def expire_jobs(self, draw: Draw, lost: bool) -> None:
        limit = draw(st.integers(1, 3))
        self.call(
            lost,
            lambda: self.garbage.expire_jobs(limit),
            lambda: self.model.expire_jobs(limit),
            same_answer=False,
            no_effect=False,
        )

    def take_unused_input(self, draw: Draw, lost: bool) -> None:
        def predict() -> Removal | None:
            number = str(self.service.redis.sent[-1])
            digest = self.model.take_unused_input(number)
            return Removal(digest, number) if digest else None

        removal = self.call(
            lost, self.garbage.take_unused_input, predict, same_answer=False, no_effect=False
        )
        if removal:
            assert not self.model.uses()[removal.digest]
            self.removals.append((removal, self.model.now))

    def remove_input(self, draw: Draw, lost: bool) -> None:
        """Sweepers watch the clock; some are lost before they can say that they removed it."""
        if not self.removals:
            return
        taken = draw(st.sampled_from(self.removals))
        removal, at = taken
        self.removals.remove(taken)
        if self.model.now < at + REMOVING_SECONDS:
            self.bucket.discard(removal.digest)
        if draw(st.booleans()):
            self.call(
                lost,
                lambda: self.garbage.removed_input(removal),
                lambda: self.model.removed_input(removal),
                same_answer=False,  # it is not being removed any more
            )

    def find_inputs(self, draw: Draw, lost: bool) -> None:
        found = sorted(draw(st.sets(st.sampled_from(DIGESTS))) & self.bucket)
        self.call(
            lost,
            lambda: self.garbage.found_inputs(found),
            lambda: self.model.found_inputs(found),
        )

    def sweep_prefix(self, draw: Draw, lost: bool) -> None:
        prefix = self.call(
            lost,
            self.garbage.take_prefix,
            lambda: self.model.take_prefix(),
            same_answer=False,
            no_effect=False,
        )
        if prefix is None:
            return
        _, job_id, what = prefix.split("/", 2)
        job = self.model.jobs.get(job_id)
        assert job is None or (what == "checkpoints/" and job.status.is_terminal)
        if not what:
            self.requests.pop(job_id, None)
        if draw(st.booleans()):
            self.garbage.found_empty(prefix)
            self.model.found_empty(prefix)

    # -- what holds at any time -----------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        self.the_database_is_as_predicted()
        self.what_is_promised_holds()

    def the_database_is_as_predicted(self) -> None:
        database, kept_seconds = self.service.database()
        assert_same(database, self.model.database())
        kept_until = self.model.kept_until()
        assert kept_seconds.keys() == kept_until.keys()
        for key, until in kept_until.items():
            early = (until - self.model.now - kept_seconds[key]) % DAY
            assert early < 30 or early > DAY - 1  # Redis's own clock has gone on for a while
        self.database = database

    def what_is_promised_holds(self) -> None:
        """Said of the database itself, so that a model that is wrong in the same way is found."""
        records = {
            job_id: self.database[names.record(job_id)]
            for job_id in self.ids
            if names.record(job_id) in self.database
        }
        for job_id, record in records.items():
            status = JobStatus(record["status"])
            indexes = {
                status
                for owner in OWNERS
                for status in JobStatus
                if job_id in self.database.get(names.index(owner, status), {})
            }
            assert indexes == {status}
            assert record["fence"] >= self.fences.get(job_id, 0)
            self.fences[job_id] = record["fence"]
            assert record["attempt"] <= LIMITS["max_attempts"]
            assert ("output" in record) == (status == JobStatus.SUCCEEDED)
            assert ("error" in record) == (status == JobStatus.FAILED)
            lies_in = {
                key
                for key in (names.QUEUE, names.DUE, names.LEASES, names.EXPIRY)
                if job_id in self.database.get(key, {})
            }
            expected = LIES_IN.get(status, {names.EXPIRY})
            if self.has_to_wait(job_id, record["owner"]):
                assert expected == LIES_IN[JobStatus.QUEUED]
                assert lies_in in (expected, expected - {names.DUE})
            else:
                assert lies_in == expected
            if status.is_terminal:
                end = (status, record["finished_at"], record.get("output"), record.get("error"))
                assert self.final.setdefault(job_id, end) == end
                self.ends[job_id] = self.model.jobs[job_id].end
                told = record.keys() & {"webhook_delivered_at", "webhook_error"}
                waits = job_id in self.database.get(names.OUTBOX, {})
                assert "webhook" not in record or told or waits
            else:
                assert job_id not in self.final
                assert digests_of(Inputs(**record["inputs"])) <= self.bucket
        for job_id in self.final.keys() - records.keys():
            del self.final[job_id]  # forgotten; it may be restored

    def has_to_wait(self, job_id: str, owner: str) -> bool:
        """Whether a job was held back, and enough of its owner run, or go before it."""
        scores = self.database.get(names.held_back(owner), {})
        if job_id not in scores:
            return False
        before = sorted(scores, key=lambda other: (scores[other], other)).index(job_id)
        running = len(self.database.get(names.index(owner, JobStatus.RUNNING), {}))
        limit: float = self.database.get(names.RUNNING_LIMITS, {})[owner]
        return running + before >= limit


# -- tests --------------------------------------------------------------------------------------


@pytest.fixture
def make_service(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Service]]:
    """Makes a service whose scripts read the test's clock, and are changed as is said."""
    url = settings.redis_url.get_secret_value()
    with LossyRedis.from_url(url, decode_responses=True) as client:

        def make(*changes: tuple[str, str]) -> Service:
            original, met = scripts.source, set()

            def source(name: str) -> str:
                text = original(name)
                for old, new in (SHORT_HISTORY, *changes):
                    if old in text:
                        met.add(old)
                        text = text.replace(old, new)
                return text

            monkeypatch.setattr(scripts, "CLOCK", CLOCK)
            monkeypatch.setattr(scripts, "source", source)
            service = Service(client, settings.model_copy(update=LIMITS))
            assert met == {old for old, _ in (SHORT_HISTORY, *changes)}
            return service

        yield make
        client.flushall()


def run(service: Service, **options: Any) -> None:
    factory: Any = partial(Impasto, service)  # its type says that it must be a class
    run_state_machine_as_test(
        factory,
        settings=hypothesis.settings(
            deadline=None,
            stateful_step_count=80,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


def test_whatever_happens_redis_is_as_the_model_says(make_service: Callable[..., Service]) -> None:
    run(make_service(), max_examples=150)


# What a tired programmer might write instead. That it is found shows that the test above can fail.
MISTAKES = {
    "a stale lease counts": (
        "return status == 'running' and is_last",
        "return status == 'running'",
    ),
    "a stale lease is renewed": (
        "if not holds(ARGV[1], ARGV[2]) then\n  return 'lost'",
        "if false then\n  return 'lost'",
    ),
    "a live lease is taken": ("if lease_until > at then", "if false then"),
    "a claim that is asked again is busy": (
        "if record[5] == ARGV[3] then -- asked",
        "if false then -- asked",
    ),
    "one attempt too many": (
        "if tonumber(record[3]) >= tonumber(ARGV[5]) then",
        "if tonumber(record[3]) > tonumber(ARGV[5]) then",
    ),
    "an ended job waits": (
        "redis.call('ZREM', QUEUE, id)\n  redis.call('ZREM', DUE, id)\n  redis.call('ZREM', LEASES",
        "redis.call('ZREM', DUE, id)\n  redis.call('ZREM', LEASES",
    ),
    "nobody is told of the end": (
        "redis.call('ZADD', OUTBOX, at, id)\n  end\n  if old[5]",
        "end\n  if old[5]",
    ),
    "a finish that is told again is refused": ("return 1 -- told again", "return 0 -- told again"),
    "a stale worker hears that its finish counts": (
        "if status == ARGV[3] and is_last then\n  return 1",
        "if status == ARGV[3] then\n  return 1",
    ),
    "a release costs an attempt": (
        "'HINCRBY', record_of(id), 'attempt', -1",
        "'HINCRBY', record_of(id), 'attempt', 0",
    ),
    "a create that is sent again": (
        "if redis.call('EXISTS', record_of(id)) == 1 then\n  return 'created'",
        "if false then\n  return 'created'",
    ),
    "one unfinished job too many": (
        "if tonumber(redis.call('HGET', UNFINISHED, owner) or 0) >= tonumber(most_unfinished)",
        "if tonumber(redis.call('HGET', UNFINISHED, owner) or 0) > tonumber(most_unfinished)",
    ),
    "an unfinished job is deleted": (
        "if status == 'queued' or status == 'running' then\n  return 'unfinished'",
        "if false then\n  return 'unfinished'",
    ),
    "a due job comes at once again": ("redis.call('ZADD', set, at + wait(queued_at), id)", ""),
    "nobody counts an owner's running jobs": ("if before < tonumber(limit) then", "if true then"),
    "one running job too many": (
        "if before < tonumber(limit) then",
        "if before <= tonumber(limit) then",
    ),
    "a job whose worker is lost is held back by itself": (
        "if status == 'queued' and hold_back(",
        "if hold_back(",
    ),
    "nobody is called up when a job ends": (
        "redis.call('ZREM', held_back_of(old[1]), id)\n  call_up(old[1], at)",
        "redis.call('ZREM', held_back_of(old[1]), id)",
    ),
    "an ended job stays among those held back": (
        "redis.call('ZREM', held_back_of(old[1]), id)\n  call_up(old[1], at)",
        "call_up(old[1], at)",
    ),
    "a job that runs stays among those held back": (
        "redis.call('ZREM', held_back, id)\n    return false",
        "return false",
    ),
    "a job that is held back gets messages": (
        "redis.call('ZREM', DUE, id)\n  return true",
        "return true",
    ),
    "a job that was begun is overtaken when it is given back": (
        "redis.call('ZADD', held_back_of(record[2]), turn_of(record[3], true), id)",
        "",
    ),
    "priorities do not count among those held back": (
        "return begun and -1 or RANKS[priority]",
        "return 0",
    ),
    "nobody is called up when the limit goes": (
        "end\ncall_up(owner, at)\nenqueue(",
        "end\nenqueue(",
    ),
    "a limit outlasts the jobs": ("redis.call('HDEL', RUNNING_LIMITS, old[1])", ""),
    "an input that is used twice counts twice": ("and not seen[sha256] then", "then"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_script_is_found(make_service: Callable[..., Service], mistake: str) -> None:
    service = make_service(MISTAKES[mistake])
    with pytest.raises((AssertionError, redis.ResponseError)):
        run(
            service,
            max_examples=1500,  # far fewer are needed
            phases=[Phase.generate],
            database=None,
            report_multiple_bugs=False,
        )
