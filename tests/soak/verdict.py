"""Whether every promise was kept: looks at every record, object, webhook and counter."""

import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shared import names
from shared.jobs import ErrorCode, JobRecord, JobStatus
from shared.storage import INPUTS, input_key, job_prefix
from tests.faults.invariants import check_job
from tests.faults.rig import Rig
from tests.soak.book import Book
from tests.soak.journal import Journal
from tests.soak.memory import Memory
from tests.soak.receiver import Receiver, Told

# Beyond what a part takes at the start: all kinds of jobs, and measuring the speed with a second
# network while there is nothing to do.
ALLOWANCE_BYTES = {"worker": 600 * 2**20, "api": 150 * 2**20}
# What is usual in the last third of a run beyond what was in its first.
GROWTH_BYTES = 150 * 2**20
# Removed beside jobs' own work, by one worker at a time.
SWEEP_SECONDS = 180.0
POLL_SECONDS = 0.3


@dataclass
class Figures:
    """What was found in the records."""

    records: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    resumed_jobs: int = 0
    resumed_pictures: int = 0  # that are the same as those of runs that nothing interrupted
    webhooks: int = 0
    stale_results: int = 0  # which workers without a lease have left, and nobody sees


def all_records(rig: Rig) -> list[JobRecord]:
    """Every record that there is, oldest first."""
    pattern = names.record("*").replace("{", "[{]").replace("}", "[}]")
    ids = sorted(
        key[key.index("{") + 1 : -1]
        for key in rig.redis.scan_iter(match=pattern, count=1000)
        if key.endswith("}")
    )
    return [record for record, _ in rig.records.get_many(ids)]


class Verdict:
    """Writes what it finds into the journal. The faults are over, and all jobs have ended."""

    def __init__(
        self, rig: Rig, book: Book, receiver: Receiver, memory: Memory, journal: Journal
    ) -> None:
        self.figures = Figures()
        self._rig = rig
        self._book = book
        self._receiver = receiver
        self._memory = memory
        self._journal = journal

    def look(self, *, counters: dict[str, int] | None) -> None:
        """Look at everything.

        Args:
            counters: what the scripts have counted since the first job; None if that is lost.
        """
        records = all_records(self._rig)
        self.figures.records = len(records)
        self._each(records)
        self._none_lost(records)
        self._one_for_each_key(records)
        self._pictures(records)
        self._webhooks(records)
        self._counts(records, counters)
        self._redis_holds_no_work()
        self._swept(records)
        self._memory_is_bounded()

    def _violation(self, promise: str, **values: Any) -> None:
        self._journal.violation(promise, **values)

    def _each(self, records: list[JobRecord]) -> None:
        for record in records:
            self._journal.write(
                "record",
                job=record.id,
                status=record.status,
                code=record.error.code if record.error else None,
                attempt=record.attempt,
                history=[
                    f"{line.at:%H:%M:%S.%f} {line.event} {line.fence} {line.detail}"
                    for line in record.history
                ],
            )
            try:
                check_job(self._rig, record)
            except AssertionError as error:
                self._violation("every job ends once, as is said", job=record.id, found=str(error))
            end = record.error.code if record.error else record.status
            self.figures.ends[end] += 1
            self.figures.attempts[record.attempt] += 1
            self.figures.resumed_jobs += any(line.event == "resumed" for line in record.history)
            self._history(record)
            self._has_the_end_it_may_have(record)

    def _history(self, record: JobRecord) -> None:
        if record.status not in (record.history[-1].event, restored_as(record)):
            self._violation("nothing happens after the end", job=record.id)
        held: int | None = None
        for line in record.history:
            if line.event == "claimed":
                if held is not None:
                    self._violation("one worker at a time holds a job", job=record.id)
                held = line.fence
            elif line.event in ("lost", "released", "restored"):
                held = None

    def _has_the_end_it_may_have(self, record: JobRecord) -> None:
        order = self._book.accepted.get(record.id) or self._book.orders.get(_key(record))
        if order is None:
            self._violation("every job was asked for", job=record.id)
            return
        told = self._book.ended.get(record.id, record.status)
        if told != record.status:
            self._violation("an end is the end", job=record.id, before=told, status=record.status)
        if record.error is not None and not order.kind.may_fail_as(record.error.code):
            if record.error.code == ErrorCode.DEADLINE_EXCEEDED and self._took_long(record):
                return  # a slow machine, and workers that were cut off
            self._violation(
                "a job fails for a reason of its own",
                job=record.id,
                kind=order.kind.name,
                code=record.error.code,
                said=record.error.message,
            )
        is_known = restored_as(record) is None  # S3 keeps how a job ended, and not its history
        if record.error is not None and record.error.code == ErrorCode.MAX_ATTEMPTS:
            # A job that is given back for want of S3 may have lost an attempt as well.
            lost = sum(line.event in ("lost", "released") for line in record.history)
            if lost < self._rig.settings.max_attempts and is_known:
                self._violation("max_attempts means lost workers", job=record.id, lost=lost)
        if record.status == JobStatus.SUCCEEDED and order.kind.must_fail_as is not None:
            self._violation("what must fail fails", job=record.id, kind=order.kind.name)
        if record.status == JobStatus.CANCELED and record.cancel_requested_at is None and is_known:
            self._violation("only what is cancelled is canceled", job=record.id)

    def _took_long(self, record: JobRecord) -> bool:
        if record.finished_at is None or record.started_at is None:
            return False
        seconds = (record.finished_at - record.started_at).total_seconds()
        return seconds >= self._rig.settings.max_run_seconds

    def _none_lost(self, records: list[JobRecord]) -> None:
        there = {record.id for record in records}
        for job_id in self._book.accepted:
            gone = job_id in self._book.deleted
            if job_id not in there and not gone and self._rig.records.owner_of_gone(job_id) is None:
                self.figures.lost += 1
                self._violation("no accepted job is lost", job=job_id)
            if job_id in there and gone:
                self._violation("a deleted job is gone", job=job_id)

    def _one_for_each_key(self, records: list[JobRecord]) -> None:
        made = Counter(_key(record) for record in records if record.retried_from is None)
        for key, number in made.items():
            if number > 1:
                self._violation("a key makes one job", key=key, jobs=number)

    def _pictures(self, records: list[JobRecord]) -> None:
        """Count the resumed pictures that were compared; `check` has compared them."""
        straight, resumed = set(), []
        for record in records:
            if record.status == JobStatus.SUCCEEDED:
                if was_interrupted(record):
                    resumed.append(asked(record))
                else:
                    straight.add(asked(record))
        self.figures.resumed_pictures = sum(each in straight for each in resumed)

    def _webhooks(self, records: list[JobRecord]) -> None:
        for record in records:
            told = self._receiver.jobs.get(record.id, Told())
            if record.webhook is None:
                if told.ids:
                    self._violation("only who asks is told", job=record.id)
                continue
            self.figures.webhooks += 1
            if told.taken == 0 or record.webhook_delivered_at is None:
                self._violation(
                    "every end is told", job=record.id, taken=told.taken, error=record.webhook_error
                )
            if record.id in self._book.forgotten:
                continue
            if told.ids != {f"{record.id}:{record.status}"}:
                self._violation("a webhook has one id", job=record.id, ids=sorted(told.ids))
            if len(told.bodies) > 1 and restored_as(record) is None:
                self._violation("a webhook always says the same", job=record.id)

    def _counts(self, records: list[JobRecord], counters: dict[str, int] | None) -> None:
        redis = self._rig.redis
        statuses = Counter(record.status.value for record in records)
        said = {
            status: int(number)
            for status, number in redis.hgetall(names.STATUSES).items()
            if int(number)
        }
        if said != dict(statuses):
            self._violation("statuses are counted", said=said, found=statuses)
        if unfinished := redis.hgetall(names.UNFINISHED):
            self._violation("unfinished jobs are counted", said=unfinished)
        used = Counter(itertools.chain.from_iterable(map(inputs_of, records)))
        counted = {key: int(number) for key, number in redis.hgetall(names.INPUT_USES).items()}
        if counted != used:
            self._violation("uses of inputs are counted", said=counted, found=used)
        if counters is None:
            return
        made = counters.get("created", 0) - counters.get("deleted", 0)
        if made != len(records):
            self._violation("jobs are counted", created_less_deleted=made, found=len(records))
        ends = ("succeeded", "canceled", *(key for key in counters if key.startswith("failed:")))
        ended = sum(counters.get(end, 0) for end in ends)
        if ended != counters.get("created", 0):
            self._violation("a job ends once", created=counters.get("created", 0), ended=ended)

    def _redis_holds_no_work(self) -> None:
        for key in (names.QUEUE, names.DUE, names.LEASES, names.OUTBOX):
            if left := self._rig.redis.zrange(key, 0, -1):
                self._violation("nothing waits when all is over", where=key, left=left)

    def _swept(self, records: list[JobRecord]) -> None:
        """Let the times pass after which things are removed, and see that just these are."""
        redis, storage = self._rig.redis, self._rig.storage
        until = time.monotonic() + SWEEP_SECONDS
        while True:
            left = 0
            for key in (names.GARBAGE, names.UNUSED_INPUTS):
                members = redis.zrange(key, 0, -1)
                if members:
                    redis.zadd(key, dict.fromkeys(members, 0), xx=True)
                left += len(members)
            if not left:
                break
            if time.monotonic() > until:
                self._violation("what nobody needs is removed", left=left)
                break
            time.sleep(POLL_SECONDS)
        used = {input_key(sha256) for record in records for sha256 in inputs_of(record)}
        kept = set(storage.keys(INPUTS))
        if missing := used - kept:
            self._violation("inputs stay as long as they are used", missing=sorted(missing))
        if unused := kept - used:
            self._violation("inputs go that nobody uses", unused=sorted(unused))
        for job_id in self._book.deleted:
            if objects := list(storage.keys(job_prefix(job_id))):
                self._violation("a deleted job leaves nothing", job=job_id, objects=objects)
        for record in records:
            keys = list(storage.keys(job_prefix(record.id)))
            if checkpoints := [key for key in keys if "/checkpoints/" in key]:
                self._violation("checkpoints go with the end", job=record.id, left=checkpoints)
            results = {key for key in keys if "/result." in key}
            self.figures.stale_results += len(results) - (record.output is not None)

    def _memory_is_bounded(self) -> None:
        memory = self._memory
        for name in memory.names:
            kind = name.partition("-")[0]
            allowed: float = memory.at_start(name) + ALLOWANCE_BYTES[kind]
            bounds = [(float(memory.most(name)), allowed)]
            if memory.is_long:
                first, last = memory.usual(name, 0, 1 / 3), memory.usual(name, 2 / 3, 1)
                bounds.append((last, first + GROWTH_BYTES))
            for found, limit in bounds:
                if found > limit:
                    self._violation("memory does not grow", process=name, found=found, limit=limit)


def asked(record: JobRecord) -> str:
    """What has to give the same picture."""
    return f"{record.params.model_dump_json()} {record.inputs.model_dump_json()}"


def was_interrupted(record: JobRecord) -> bool:
    """Whether its picture was painted from a checkpoint."""
    return any(line.event == "resumed" for line in record.history)


def restored_as(record: JobRecord) -> str | None:
    """The status that a job got back after Redis was lost, if nothing has happened since."""
    last = record.history[-1]
    return last.detail if last.event == "restored" else None


def inputs_of(record: JobRecord) -> set[str]:
    """SHA-256 of its input files."""
    inputs = record.inputs
    return {each for each in (inputs.content, inputs.init, *inputs.styles, *inputs.masks) if each}


def _key(record: JobRecord) -> str:
    return str(record.metadata.get("key", ""))
