"""What ends a run before its time, and what holds it up.

Interrupted
├── Canceled        somebody asked for the end of the job
├── LeaseLost       another worker has the job; nothing may be written any more
├── Overdue         the job ran longer than it may
├── ShuttingDown    this worker is going; another one takes the job
└── Unreachable     this worker does not reach S3; perhaps another one does
"""

import ctypes
import math
import multiprocessing
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from shared.messaging import AWAY
from shared.records import Wishes
from shared.storage import STORAGE_ERRORS, StorageCorrupt
from worker.errand import Errand
from worker.heartbeat import Hold
from worker.pace import Interval

WISHES_INTERVAL_SECONDS = 0.25
# Of the time since the last look. So long an answer is waited for, to count before the next step: a
# long one can afford any usual answer, short ones come soon.
WISHES_SHARE = 0.005
LOOK_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 15.0
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Interrupted(Exception):
    """The run was stopped between two steps."""


class Canceled(Interrupted):
    """Somebody asked for the end of the job."""


class LeaseLost(Interrupted):
    """Another worker has the job; nothing may be written any more."""


class Overdue(Interrupted):
    """The job ran longer than it may."""


class ShuttingDown(Interrupted):
    """This worker is going; another one takes the job."""


class Unreachable(Interrupted):
    """This worker does not reach S3; perhaps another one does."""


class Flag(Protocol):
    """`threading.Event` is one, and `SharedFlag`."""

    def is_set(self) -> bool:
        """Whether somebody raised it."""


class SharedFlag:
    """A flag that a process raises for its children, made before they are.

    Without a lock, unlike `multiprocessing.Event`: a child that is killed while it holds one would
    leave it taken, and the parent and all children after it waiting for ever.
    """

    def __init__(self) -> None:
        self._byte = multiprocessing.RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        """Raise it."""
        self._byte.value = True

    def is_set(self) -> bool:
        """Whether it was raised."""
        return self._byte.value


class Stops:
    """Asked between two steps, and wherever a job waits."""

    def __init__(
        self,
        hold: Hold,
        shutting_down: Flag,
        wishes: Callable[[], Wishes],
        patience_seconds: float,
    ) -> None:
        """
        Args:
            hold: the job.
            shutting_down: raised when the worker is going.
            wishes: asks what somebody wants of the job.
            patience_seconds: how long a server may be away until the job is given back.
        """
        self.preview_wanted = False
        self._patience_seconds = patience_seconds
        self._hold = hold
        self._shutting_down = shutting_down
        self._wishes = wishes
        self._look = Interval(WISHES_INTERVAL_SECONDS)
        self._looked = time.monotonic()
        self._asked: Errand[Wishes] | None = None

    def check(self) -> None:
        """Return if the job may go on; wait as long as nobody can say whether it is still ours.

        Raises:
            Interrupted: it may not.
        """
        hold = self._hold
        hold.stepped()
        if not hold.is_certain and not hold.lost.is_set():
            log.warning("the lease could not be renewed; the job pauses")
            while not hold.is_certain and not hold.lost.wait(LOOK_SECONDS):
                hold.stepped()
                if self._shutting_down.is_set():
                    raise ShuttingDown
            if not hold.lost.is_set():
                log.info("the lease is renewed; the job goes on")
        if hold.lost.is_set():
            raise LeaseLost
        if hold.overdue.is_set():
            raise Overdue
        if self._shutting_down.is_set():  # before anybody is asked, who may not answer
            raise ShuttingDown
        self._look_at_wishes()

    def _look_at_wishes(self) -> None:
        """They are asked in a thread of its own: a Redis that is slow, far away or gone holds no
        step up, and is asked again when it has answered."""
        self._hear()
        if self._asked is None and self._look.is_due():
            try:
                self._asked = Errand(self._wishes)
            except RuntimeError as error:  # others take threads, too
                log.warning("nobody asked what is wished", error=repr(error))
                return
            self._asked.wait(WISHES_SHARE * (time.monotonic() - self._looked))
            self._hear()
        self._looked = time.monotonic()

    def _hear(self) -> None:
        if self._asked is None or not self._asked.is_done:
            return
        asked, self._asked = self._asked, None
        wishes = asked.result()
        self.preview_wanted = wishes.preview
        if wishes.cancel:
            raise Canceled

    def stepped(self, seconds: float | None) -> None:
        """Note how long a step takes."""
        self._hold.step_seconds = seconds

    def wait_for(self, action: Callable[[], T]) -> T:
        """What `action` returns. It runs in a thread, so that the job can be stopped meanwhile.

        Raises:
            Interrupted: the job may not go on; `action` is left to itself.
        """
        errand = Errand(action)
        while not errand.wait(LOOK_SECONDS):
            self.check()
        return errand.result()

    def with_storage(self, action: Callable[[], T]) -> T:
        """What `action` returns, which needs S3, however often it is tried.

        Raises:
            Interrupted: the job may not go on, or has waited long enough: it may be this worker's
                clock, keys or network.
        """
        until = time.monotonic() + self._patience_seconds
        return self._through_outages(action, (*STORAGE_ERRORS, StorageCorrupt), "S3", until)

    def with_redis(self, action: Callable[[], T]) -> T:
        """What `action` returns, which needs Redis, however often it is tried.

        Raises:
            Interrupted: the job may not go on.
        """
        return self._through_outages(action, AWAY, "Redis", math.inf)

    def _through_outages(
        self,
        action: Callable[[], T],
        outages: tuple[type[Exception], ...],
        server: str,
        until: float,
    ) -> T:
        pause = 0.5
        while True:
            try:
                return self.wait_for(action)
            except outages as error:
                log.warning(f"{server} is away; the job waits", error=repr(error))
            if time.monotonic() > until:
                raise Unreachable(server)
            again = time.monotonic() + pause
            while time.monotonic() < again:
                self._hold.lost.wait(LOOK_SECONDS)
                self.check()
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def tell(self, action: Callable[[], T]) -> T:
        """What `action` returns, which tells Redis how the job ended: nothing else ends it now.

        Raises:
            LeaseLost: somebody else has the job.
            ShuttingDown: Redis is away, and this worker cannot wait for it.
        """
        while True:
            try:
                return action()
            except AWAY as error:
                log.warning("Redis is away; the end of the job waits", error=repr(error))
            if self._shutting_down.is_set():
                raise ShuttingDown
            if self._hold.lost.wait(1.0):
                raise LeaseLost
            self._hold.stepped()
