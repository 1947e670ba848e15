"""The run itself: start, customers and faults, repair, verdict."""

import contextlib
import heapq
import itertools
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import redis

from client import ApiProblem
from shared import names
from shared.jobs import JobStatus
from shared.storage import end_key, request_key
from tests.faults.rig import Rig
from tests.soak.book import Book
from tests.soak.customers import Shop
from tests.soak.faults import Faults, Poison
from tests.soak.journal import Journal
from tests.soak.memory import Memory
from tests.soak.receiver import SECRET, Receiver
from tests.soak.schedule import Planned, plan
from tests.soak.verdict import Figures, Verdict, all_records, asked, was_interrupted

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "IMPASTO_HEARTBEAT_SECONDS": "0.8",
    "IMPASTO_LEASE_SECONDS": "5",
    "IMPASTO_RECONCILE_INTERVAL_SECONDS": "1",
    "IMPASTO_REPUBLISH_SECONDS": "4",
    "IMPASTO_CHECKPOINT_INTERVAL_SECONDS": "0.5",
    "IMPASTO_MAX_RUN_SECONDS": "90",
    "IMPASTO_UNUSED_INPUT_SECONDS": "20",
    "IMPASTO_WEBHOOK_SECRETS": SECRET,
    "IMPASTO_WEBHOOK_ALLOW_PRIVATE": "true",
    "IMPASTO_WEBHOOK_TIMEOUT_SECONDS": "2",
}
LOOK_SECONDS = 0.2
MEMORY_SECONDS = 3.0
# For the jobs that are left when the faults are over.
DRAIN_SECONDS = 300.0
OUTBOX_SECONDS = 60.0
MOST_REFERENCES = 12
OUTBOX_LOOK_SECONDS = 3.0
WRITTEN_SECONDS = 5.0
# The events of structlog's errors, as the console has them, and the last lines of tracebacks.
LOGGED = re.compile(
    r"(?:\[error\s*\] (.{1,60}?)(?:\s{2,}|$))|^([\w.]+(?:Error|Exception)\b.{0,60})"
)
WIPE_SECONDS = 40  # without faults, around the middle, so that S3 knows what was told


@dataclass(frozen=True)
class State:
    """How far a run is; for whoever watches."""

    phase: str
    seconds_left: float
    accepted: int = 0
    finished: int = 0
    faults: int = 0
    resumes: int = 0
    violations: int = 0


@dataclass(frozen=True)
class Report:
    """What came of it."""

    seed: str
    minutes: float
    workers: int
    wiped: bool
    accepted: int
    figures: Figures
    counters: dict[str, int]
    faults: dict[str, int]
    missed: dict[str, int]
    poison_kills: int
    workers_not_ended: int
    restarts: int
    answers: dict[str, int]
    slowest_answer_seconds: float
    deleted: int
    webhooks_taken: int
    webhooks_refused: int
    memory_bytes: dict[str, int]
    logged: dict[str, int]
    violations: list[dict[str, Any]]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(vars(self), indent=2, default=vars) + "\n")


def run(
    folder: Path,
    *,
    minutes: float,
    seed: str,
    workers: int,
    wipe: bool = False,
    show: Callable[[State], None] = lambda _: None,
) -> Report:
    """Soak for some minutes, and judge. Everything lies in `folder` afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder / "soak.jsonl") as journal:
        journal.write("start", seed=seed, minutes=minutes, workers=workers, wipe=wipe)
        show(State("starting", minutes * 60))
        with (
            Receiver(Random(f"{seed} receiver"), journal) as receiver,
            Rig(folder, workers=workers, environment=ENVIRONMENT) as rig,
        ):
            soak = _Soak(rig, receiver, journal, minutes * 60, seed, show, wipe=wipe)
            report = soak.run()
    report.write(folder / "soak.json")
    return report


class _Soak:
    def __init__(
        self,
        rig: Rig,
        receiver: Receiver,
        journal: Journal,
        seconds: float,
        seed: str,
        show: Callable[[State], None],
        *,
        wipe: bool,
    ) -> None:
        self._rig = rig
        self._receiver = receiver
        self._journal = journal
        self._seconds = seconds
        self._seed = seed
        self._show = show
        self._wipe = wipe
        self._book = Book(journal)
        self._faults = Faults(rig, journal)
        self._poison = Poison(rig, journal)
        self._memory = Memory()
        self._shop = Shop(rig.url, rig.folder, self._book, journal, webhook=receiver.url, seed=seed)
        self._counters: dict[str, int] = {}
        self._restarts = 0
        self._before: dict[str, int] = {}  # what is added to what Redis has counted

    def run(self) -> Report:
        for job_id in self._rig.take_jobs():  # with which the workers were warmed up
            self._rig.client.delete(job_id)
        self._before = {name: -number for name, number in self._count().items()}
        self._memory.look(self._rig.parts)
        self._shop.open()
        try:
            self._break_things()
        finally:
            self._shop.close()
            self._journal.write("repair")
            self._rig.repair()
        self._wait_for_all()
        self._paint_references()
        self._empty_outbox()
        counters = self._count()
        verdict = Verdict(self._rig, self._book, self._receiver, self._memory, self._journal)
        verdict.look(counters=None if self._wipe else counters)
        self._tell("done", 0)
        return self._report(verdict.figures)

    def _break_things(self) -> None:
        """Until the time is over. All in this thread: what it starts lives only as long as it."""
        middle = int(self._seconds / 2)
        calm = range(middle - 10, middle + WIPE_SECONDS) if self._wipe else range(0)
        todo = _Todo()
        for planned in plan(self._seed, self._seconds, [w.name for w in self._rig.workers], calm):
            todo.add(planned.at, partial(self._begin, planned, todo))
        if self._wipe:
            todo.add(middle, self._wipe_redis)
        started = looked = time.monotonic()
        while (passed := time.monotonic() - started) < self._seconds:
            todo.do_until(passed)
            self._poison_some()
            self._supervise()
            if time.monotonic() - looked > MEMORY_SECONDS:
                looked = time.monotonic()
                self._memory.look(self._rig.parts)
            self._tell("soaking", self._seconds - passed)
            time.sleep(LOOK_SECONDS)
        todo.do_until(math.inf)

    def _begin(self, planned: Planned, todo: "_Todo") -> None:
        todo.add(planned.until, self._faults.begin(planned))

    def _poison_some(self) -> None:
        jobs = self._book.unfinished
        self._poison.act([each for each in jobs if self._book.accepted[each].kind.kills])

    def _supervise(self) -> None:
        """Start again what has ended by itself, as a supervisor does."""
        for part in self._rig.parts:
            if not part.process.is_running and part.name not in self._faults.down:
                self._journal.write("started again", part=part.name)
                self._restarts += 1
                part.process.start()

    def _wipe_redis(self) -> None:
        """Lose Redis and its disk, and have S3 tell what there was."""
        self._shop.pause()
        try:
            time.sleep(WRITTEN_SECONDS)
            self._before = self._count()
            book, storage = self._book, self._rig.storage
            ended = [job_id for job_id in book.ended if job_id not in book.deleted]
            lost = [job_id for job_id in ended if not storage.exists(end_key(job_id))]
            lost += [job_id for job_id in book.deleted if storage.exists(request_key(job_id))]
            book.forget(lost)
            self._rig.stop_redis()
            self._rig.wipe_redis()
            self._rig.start_redis()
            said = self._rig.run_command("recover")
            self._journal.write("wiped", recovered=said, forgotten=lost)
        finally:
            self._shop.resume()

    def _wait_for_all(self) -> None:
        """Cancel what would not end, and wait for the rest."""
        left = [record.id for record in all_records(self._rig)]
        for job_id in self._book.unfinished:
            if job_id in left and self._book.accepted[job_id].kind.endless:
                with contextlib.suppress(ApiProblem):  # it has ended just now
                    self._rig.client.cancel(job_id)
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            self._poison_some()
            for record, _ in self._rig.records.get_many(left):
                if record.status.is_terminal:
                    left.remove(record.id)
                    looked = time.monotonic()
                    self._book.told(self._rig.client.job(record.id), looked)
            if not left:
                return
            if time.monotonic() > deadline:
                self._journal.violation("every accepted job ends", left=left)
                return
            self._tell("waiting for the last jobs", 0)
            time.sleep(LOOK_SECONDS)

    def _paint_references(self) -> None:
        """Paint some of the pictures again that were painted from a checkpoint only."""
        succeeded = [
            record for record in all_records(self._rig) if record.status == JobStatus.SUCCEEDED
        ]
        straight = {asked(record) for record in succeeded if not was_interrupted(record)}
        resumed = {
            asked(record): self._book.accepted[record.id]
            for record in succeeded
            if record.id in self._book.accepted and asked(record) not in straight
        }
        posted = []
        for number, order in enumerate(list(resumed.values())[:MOST_REFERENCES]):
            again = replace(order, key=f"reference-{number}", has_webhook=False)
            self._book.order(again)
            job = self._rig.client.submit(
                again.content,
                again.styles,
                metadata={"key": again.key},
                idempotency_key=again.key,
                **again.kind.params,
            )
            self._book.accept(again.key, again, job, time.monotonic())
            posted.append(job.id)
        for number, job_id in enumerate(posted):
            self._tell(f"painting again, {len(posted) - number} left", 0)
            self._rig.wait_for_end(job_id, DRAIN_SECONDS)

    def _empty_outbox(self) -> None:
        """Let the hours pass until each webhook is tried again; now it is taken."""
        self._receiver.behave()
        deadline = time.monotonic() + OUTBOX_SECONDS
        while rows := self._rig.redis.zrange(names.OUTBOX, 0, -1):
            if time.monotonic() > deadline:
                return  # the verdict says so
            self._rig.redis.zadd(names.OUTBOX, dict.fromkeys(rows, 0), xx=True)
            self._tell(f"webhooks, {len(rows)} left", 0)
            time.sleep(OUTBOX_LOOK_SECONDS)

    def _count(self) -> dict[str, int]:
        """What the scripts have counted since the start, also before Redis was wiped."""
        counted = Counter(self._before)
        for name, number in self._rig.redis.hgetall(names.COUNTERS).items():
            counted[name] += int(float(number))
        return dict(counted)

    def _tell(self, phase: str, seconds_left: float) -> None:
        with contextlib.suppress(redis.RedisError):  # it may be away: that is what we are here for
            self._counters = self._count()
        self._show(
            State(
                phase,
                seconds_left,
                accepted=len(self._book.accepted),
                finished=len(self._book.ended),
                faults=self._faults.done.total(),
                resumes=self._counters.get("resumed", 0),
                violations=len(self._journal.violations),
            )
        )

    def _report(self, figures: Figures) -> Report:
        told = self._receiver.jobs.values()
        return Report(
            seed=self._seed,
            minutes=round(self._seconds / 60, 2),
            workers=len(self._rig.workers),
            wiped=self._wipe,
            accepted=len(self._book.accepted),
            figures=figures,
            counters=self._count(),
            faults=dict(self._faults.done.most_common()),
            missed=dict(self._faults.missed.most_common()),
            poison_kills=self._poison.kills,
            workers_not_ended=self._faults.not_ended,
            restarts=self._restarts,
            answers=dict(self._book.answers.most_common()),
            slowest_answer_seconds=round(self._book.slowest_seconds, 2),
            deleted=len(self._book.deleted),
            webhooks_taken=sum(each.taken for each in told),
            webhooks_refused=sum(each.refused for each in told),
            memory_bytes={name: self._memory.most(name) for name in self._memory.names},
            logged=logged(self._rig.logs),
            violations=self._journal.violations,
        )


class _Todo:
    """What is to be done at which time. Ends come before beginnings that were planned for later."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def add(self, at: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._heap, (at, next(self._numbers), do))

    def do_until(self, passed: float) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= passed:
            heapq.heappop(self._heap)[2]()


def logged(logs: Path) -> dict[str, int]:
    """Errors that API and workers have logged, and how often. To be read by a person."""
    found: Counter[str] = Counter()
    for log in [*logs.glob("worker-*.log"), *logs.glob("api.log")]:
        for line in log.read_text(errors="replace").splitlines():
            if match := LOGGED.search(line):
                found[(match[1] or match[2]).strip()] += 1
    return dict(found.most_common())
