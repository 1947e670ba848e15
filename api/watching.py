"""Watching jobs for whoever follows them: one thread reads them all, however many follow.

A stream of events, or a request that waits for the end of a job, takes a place. There are so many,
apart from the threads that answer everything else: followers never keep a poll from its answer. Nor
are they all told at the same moment: they have their turns, and polls are answered in between.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import structlog
from redis.exceptions import RedisError

from api.display import Display, Shown
from shared.errors import TooMany, Unavailable
from shared.jobs import ANONYMOUS, JobStatus
from shared.records import JobRecords
from shared.settings import Settings

REFRESH_SECONDS = 0.5  # workers report no more often
TURNS = 10  # in this time, each for a part of the watches
BREATH_SECONDS = 0.01  # between two turns at least
PREVIEW_WISH_SECONDS = 10.0  # a wish lasts for three times as long
log = structlog.get_logger(__name__)


class Watch:
    """The newest that is known of one job."""

    def __init__(self, watching: "Watching", job_id: str, owner: str) -> None:
        self.job_id = job_id
        self.owner = owner
        self._watching = watching
        self._job: Shown | None = None
        self._told: Shown | None = None  # what `news` has returned
        self._is_news = threading.Event()
        self._wished_at = float("-inf")
        self.is_over = False  # there is no such job any more, or the server is going

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def news(self, seconds: float) -> Shown | None:
        """The job when it has changed since the last call; None if it has not for so long."""
        if not self._is_news.wait(seconds):
            return None
        self._is_news.clear()
        told, self._told = self._told, self._job
        return None if told is self._job else self._job

    def tell(self, job: Shown | None, *, is_over: bool = False) -> None:
        """Wake whoever waits, if this is new."""
        if is_over:
            self.is_over = True
            self._is_news.set()  # what was news and is not read yet stays so
        elif job != self._job:
            self._job = job
            self._is_news.set()

    def wishes_preview(self, now: float) -> bool:
        """Whether its job runs, and nothing was wished a moment ago. Asking is wishing."""
        runs = self._job is not None and self._job.status == JobStatus.RUNNING
        if not runs or now - self._wished_at < PREVIEW_WISH_SECONDS:
            return False
        self._wished_at = now
        return True

    def close(self) -> None:
        """Give the place back. Twice is as good as once."""
        self._watching.leave(self)


class Watching:
    """All jobs that are followed through this process."""

    def __init__(self, records: JobRecords, display: Display, settings: Settings) -> None:
        self._records = records
        self._display = display
        self._settings = settings
        self._turns: list[set[Watch]] = [set() for _ in range(TURNS)]
        self._places: Counter[str] = Counter()  # that an owner has
        self._lock = threading.Lock()
        self._somebody_follows = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    @property
    def count(self) -> int:
        """How many follow a job at this moment."""
        return sum(map(len, self._turns))

    def watch(self, job_id: str, owner: str) -> Watch:
        """Take a place.

        Raises:
            Unavailable: there is none, or the server is going.
            TooMany: its owner has as many as one may have.
        """
        limit = self._settings.max_streams
        # Without keys all are one owner, and nobody is to be protected from another.
        own_limit = limit if owner == ANONYMOUS else self._settings.max_key_streams
        with self._lock:
            if self._is_closing or self.count >= limit:
                raise Unavailable(f"{limit:,} follow their jobs already: poll, or try again")
            if self._places[owner] >= own_limit:
                raise TooMany(f"you follow {own_limit:,} jobs, as many as you may: poll instead")
            if self._thread is None:  # not before: a server forks
                thread = threading.Thread(target=self._work, name="watching", daemon=True)
                thread.start()
                self._thread = thread
            watch = Watch(self, job_id, owner)
            min(self._turns, key=len).add(watch)
            self._places[owner] += 1
            self._somebody_follows.set()
        return watch

    def leave(self, watch: Watch) -> None:
        """Give a place back."""
        with self._lock:
            turn = next((turn for turn in self._turns if watch in turn), None)
            if turn is None:
                return
            turn.remove(watch)
            self._places[watch.owner] -= 1
            if not self._places[watch.owner]:
                del self._places[watch.owner]
            if not self.count:
                self._somebody_follows.clear()

    def close(self) -> None:
        """Let all streams end soon, since the server is going. A signal handler may call it."""
        self._is_closing = True

    def _work(self) -> None:
        for number in itertools.cycle(range(TURNS)):
            self._somebody_follows.wait()
            started = time.monotonic()
            with self._lock:
                watches = list(self._turns[number])
            if self._is_closing:
                for watch in watches:
                    watch.tell(None, is_over=True)
            elif watches:
                with _outlasting_redis():
                    self._look(watches)
                    self._wish(watches)
            time.sleep(max(BREATH_SECONDS, REFRESH_SECONDS / TURNS - time.monotonic() + started))

    def _look(self, watches: list[Watch]) -> None:
        """Tell followers what is new."""
        jobs = self._show({watch.job_id for watch in watches})
        for watch in watches:
            job = jobs.get(watch.job_id)
            watch.tell(job, is_over=job is None)

    def _show(self, job_ids: set[str]) -> dict[str, Shown]:
        """Those jobs that are there. One that cannot be shown is none, and hides no other."""
        try:
            return self._display.show_many(list(job_ids))
        except RedisError:
            raise
        except Exception:
            if len(job_ids) == 1:
                log.exception("a job cannot be shown", job_ids=job_ids)
                return {}
        return {job_id: job for each in job_ids for job_id, job in self._show({each}).items()}

    def _wish(self, watches: list[Watch]) -> None:
        """Ask for previews of those jobs that run, unless that was done a moment ago."""
        now = time.monotonic()
        due = [watch for watch in watches if watch.wishes_preview(now)]
        if due:
            self._records.want_preview(*{watch.job_id for watch in due})


@contextmanager
def _outlasting_redis() -> Iterator[None]:
    try:
        yield
    except RedisError as error:  # the streams stay open: it may be back before they end
        log.warning("jobs not watched", error=repr(error))
        time.sleep(REFRESH_SECONDS)
    except Exception:  # this thread is everybody's
        log.exception("internal error")
