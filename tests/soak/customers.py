"""Customers of the API: each a thread that posts jobs and changes its mind, whatever is broken."""

import heapq
import itertools
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from client import ApiProblem, ClientError, Impasto, ServiceUnreachable
from shared.jobs import Job, JobList, JobStatus, Priority
from tests.conftest import picture_bytes
from tests.soak.book import Book, Order
from tests.soak.journal import Journal
from tests.soak.kinds import Kind, draw

CUSTOMERS = 3
PAUSE_SECONDS = 3.0  # of each customer between two orders, on average
LONGEST_PAUSE_SECONDS = 12.0
MOST_UNFINISHED = 14
LOOK_SECONDS = 0.2
WATCH_SECONDS = 1.0
# Refusals that say what is so, and those that say that something is away.
ABOUT_THE_JOB = {404: "unknown", 409: "conflict", 410: "gone"}
AWAY = frozenset({503})
TRIED_AGAIN = frozenset({"post", "retry"})  # by the client itself, for up to some minutes

T = TypeVar("T")


@dataclass(order=True)
class _Plan:
    at: float
    number: int
    do: Callable[[], object] = field(compare=False)


class Shop:
    """What all customers share. `pause` keeps them from asking for anything for a while."""

    def __init__(
        self, url: str, folder: Path, book: Book, journal: Journal, *, webhook: str, seed: str
    ) -> None:
        self.url = url
        self.book = book
        self.journal = journal
        self.webhook = webhook
        self._folder = folder
        self._stopping = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._watching = threading.Lock()
        self.customers = [
            _Customer(self, Random(f"{seed} customer {number}"))
            for number in range(1, CUSTOMERS + 1)
        ]
        self._threads = [
            threading.Thread(target=work, name=work.__qualname__)
            for work in (self._watch, *(customer.serve for customer in self.customers))
        ]

    def open(self) -> None:
        """Let them come."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Take no more orders, and wait for those that are being placed."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def pause(self) -> None:
        """Let nobody ask for anything until `resume`."""
        for lock in self._locks:
            lock.acquire()

    def resume(self) -> None:
        """Go on after a `pause`."""
        for lock in self._locks:
            lock.release()

    @property
    def _locks(self) -> list[threading.Lock]:
        return [self._watching, *(customer.busy for customer in self.customers)]

    @property
    def is_closing(self) -> bool:
        """Whether it is time to go."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, or until it is time to go; returns whether it is."""
        return self._stopping.wait(seconds)

    def picture(self, name: str) -> Path:
        """A picture file; a name ends with its number, and each number has its own size."""
        path = self._folder / f"{name}.png"
        with self._lock:
            if not path.exists():
                number = int(name.rpartition("-")[2])
                size = 64 + number % 40, 56 + number // 40 % 40
                path.write_bytes(picture_bytes(name, *size))
        return path

    def unique(self) -> Path:
        """A picture that nobody else has."""
        with self._lock:
            number = next(self._numbers)
        return self.picture(f"only-{number}")

    def ask(self, what: str, question: Callable[[], T], job_id: str = "") -> T | None:
        """Ask the API, judge a refusal, and return the answer or None."""
        started = time.monotonic() if what not in TRIED_AGAIN else math.inf
        try:
            answer = question()
        except ServiceUnreachable as error:
            self.journal.write("unanswered", question=what, job=job_id, said=str(error))
            self.book.count("unanswered", time.monotonic() - started)
            return None
        except ApiProblem as problem:
            self._judge(what, problem, job_id)
            self.book.count(f"{problem.status} {problem.code}", time.monotonic() - started)
            return None
        self.book.count(what, time.monotonic() - started)
        return answer

    def _judge(self, what: str, problem: ApiProblem, job_id: str) -> None:
        said = {
            "question": what,
            "job": job_id,
            "status": problem.status,
            "code": problem.code,
            "detail": str(problem),
        }
        if problem.status in AWAY:
            if problem.retry_after_seconds is None:
                self.journal.violation("a 503 says when to come again", **said)
        elif problem.status not in ABOUT_THE_JOB:
            self.journal.violation("the API answers what it documents", **said)
        elif problem.status in (404, 410) and not self._may_be_gone(job_id):
            self.journal.violation("no accepted job is lost", **said)
        self.journal.write("refused", **said)

    def _may_be_gone(self, job_id: str) -> bool:
        return job_id in self.book.deleted or any(
            job_id in customer.deleting for customer in self.customers
        )

    def _watch(self) -> None:
        """Look at the newest jobs again and again, as the page does."""
        with Impasto(self.url, timeout_seconds=30) as impasto:
            while not self.wait(WATCH_SECONDS):
                with self._watching:
                    asked = time.monotonic()
                    found: JobList | None = self.ask("list", lambda: impasto.jobs(limit=100))
                    for job in found.jobs if found else []:
                        self.book.told(job, asked)


class _Customer:
    def __init__(self, shop: Shop, random: Random) -> None:
        self.busy = threading.Lock()
        self.deleting: set[str] = set()
        self._shop = shop
        self._random = random
        self._plans: list[_Plan] = []
        self._numbers = itertools.count()

    def serve(self) -> None:
        """Place orders and carry out plans until the shop closes."""
        with Impasto(self._shop.url, timeout_seconds=30) as self._impasto:
            self._later(self._random.uniform(0, PAUSE_SECONDS), self._order)
            while not self._shop.wait(LOOK_SECONDS):
                while self._plans and self._plans[0].at <= time.monotonic():
                    with self.busy:
                        if self._shop.is_closing:
                            return
                        heapq.heappop(self._plans).do()

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        plan = _Plan(time.monotonic() + seconds, next(self._numbers), do)
        heapq.heappush(self._plans, plan)

    def _order(self) -> None:
        pause = self._random.expovariate(1 / PAUSE_SECONDS)
        self._later(min(LONGEST_PAUSE_SECONDS, pause), self._order)
        if len(self._shop.book.unfinished) >= MOST_UNFINISHED:
            return
        order = self._draw()
        self._shop.book.order(order)
        priority = self._random.choice(list(Priority))
        job = self._post(order, priority)
        if job is not None:
            self._make_plans(order, priority, job)

    def _draw(self) -> Order:
        random, shop = self._random, self._shop
        kind: Kind = draw(random)
        content = style = None
        if kind.has_content:
            only = random.random() < 0.25
            content = shop.unique() if only else shop.picture(f"content-{random.randint(1, 2)}")
        if kind.has_style:
            style = shop.picture("style-1")
        return Order(
            key=f"soak-{random.getrandbits(96):024x}",
            kind=kind,
            content=content,
            styles=[style] if style else [],
            has_webhook=random.random() < 0.4,
        )

    def _post(self, order: Order, priority: Priority) -> Job | None:
        """Post it: often once, sometimes several times at once, all with one key."""
        times = self._random.choice([1, 1, 1, 2, 4])
        if times == 1:
            return self._post_once(self._impasto, order, priority)
        jobs: list[Job] = []

        def post() -> None:
            with Impasto(self._shop.url, timeout_seconds=30) as impasto:
                job = self._post_once(impasto, order, priority)
                if job is not None:
                    jobs.append(job)

        threads = [threading.Thread(target=post) for _ in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return jobs[0] if jobs else None

    def _post_once(self, impasto: Impasto, order: Order, priority: Priority) -> Job | None:
        values: dict[str, Any] = {"webhook": self._shop.webhook} if order.has_webhook else {}

        def post() -> Job:
            return impasto.submit(
                order.content,
                order.styles,
                priority=priority,
                metadata={"key": order.key},
                idempotency_key=order.key,
                **values,
                **order.kind.params,
            )

        asked = time.monotonic()
        job = self._shop.ask("post", post)
        if job is not None:
            self._shop.journal.write("accepted", job=job.id, key=order.key, kind=order.kind.name)
            self._shop.book.accept(order.key, order, job, asked)
        return job

    def _make_plans(self, order: Order, priority: Priority, job: Job) -> None:
        random = self._random
        if order.kind.endless or random.random() < 0.12:
            seconds = random.choice([random.uniform(0, 1), random.uniform(0, 12)])
            for _ in range(random.choice([1, 1, 2])):  # and sometimes the other button too
                self._later(seconds, lambda: self._cancel(job.id))
        if random.random() < 0.15:
            again = random.uniform(0.5, 20)
            self._later(again, lambda: self._post_once(self._impasto, order, priority))
        if random.random() < 0.1:
            self._later(random.uniform(5, 25), lambda: self._retry(order, job.id))
        if random.random() < 0.2:
            self._later(random.uniform(10, 40), lambda: self._delete(job.id))

    def _cancel(self, job_id: str) -> None:
        asked = time.monotonic()
        job = self._shop.ask("cancel", lambda: self._impasto.cancel(job_id), job_id)
        self._shop.journal.write("cancel", job=job_id, status=job.status if job else None)
        if job is not None:
            self._shop.book.told(job, asked)

    def _retry(self, order: Order, job_id: str) -> None:
        key = f"retry-{secrets.token_hex(12)}"
        asked = time.monotonic()
        job = self._shop.ask(
            "retry", lambda: self._impasto.retry(job_id, idempotency_key=key), job_id
        )
        if job is not None:
            self._shop.journal.write("retried", job=job.id, of=job_id)
            self._shop.book.accept(key, order, job, asked)

    def _delete(self, job_id: str) -> None:
        """Delete it if it has ended, and else try again; an answer may be lost."""
        asked = time.monotonic()
        job = self._shop.ask("look", lambda: self._impasto.job(job_id), job_id)
        if job is not None:
            self._shop.book.told(job, asked)
        if job is None or not job.status.is_terminal:
            if job_id not in self._shop.book.deleted:
                self._later(self._random.uniform(5, 20), lambda: self._delete(job_id))
            return
        if job.status == JobStatus.FAILED and job.error and job.error.code == "internal":
            return  # it is looked at in the end
        self.deleting.add(job_id)
        try:
            self._impasto.delete(job_id)
        except ApiProblem as problem:
            if problem.status != 410:  # deleted by a request whose answer was lost
                self._later(self._random.uniform(5, 20), lambda: self._delete(job_id))
                return
        except ClientError:
            self._later(self._random.uniform(5, 20), lambda: self._delete(job_id))
            return
        self._shop.journal.write("deleted", job=job_id)
        self._shop.book.count("delete", 0)
        self._shop.book.delete(job_id)
