"""What is left to do of a request that was answered, since a server was away while it was.

It is done when the server is back. A process that ends forgets it: nothing depends on it, for the
sweep removes what is left over and idempotency keys run out.
"""

import queue
import threading
import time
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from shared.storage import STORAGE_ERRORS

PAUSE_SECONDS = 1.0
GIVE_UP_SECONDS = 600.0
log = structlog.get_logger(__name__)

Task = Callable[[], None]


class Afterwards:
    """Does things once in a thread of its own, in their order, and again until they work."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Task, float]] = queue.SimpleQueue()
        self._begun = threading.Lock()

    def now_or_later(self, task: Task) -> None:
        """Do `task`; if a server is away, later."""
        try:
            task()
        except (RedisError, *STORAGE_ERRORS):
            self.later(task)

    def later(self, task: Task) -> None:
        """Do `task` without anybody waiting for it."""
        self._tasks.put((task, time.monotonic() + GIVE_UP_SECONDS))
        if self._begun.acquire(blocking=False):  # not before: a server forks
            threading.Thread(target=self._work, name="afterwards", daemon=True).start()

    def _work(self) -> None:
        while True:
            task, give_up_at = self._tasks.get()
            try:
                task()
            except (RedisError, *STORAGE_ERRORS) as error:
                if time.monotonic() > give_up_at:
                    log.warning("given up", task=repr(task), error=repr(error))
                    continue
                self._tasks.put((task, give_up_at))
                time.sleep(PAUSE_SECONDS)
            except Exception:
                log.exception("internal error", task=repr(task))
