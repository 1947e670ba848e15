"""How many threads this process computes with."""

import pyvips
import structlog
import torch
from redis.exceptions import RedisError

from shared.cores import Cores
from shared.settings import Settings
from shared.workers import WorkerRegistry

log = structlog.get_logger(__name__)


class Threads:
    """What the settings say, or a share of the cores: as many workers as have them divide them.

    Two workers with a thread for every core do not take twice as long as with half of them, but
    several times: threads wait for each other, and for that keep the core from those that they wait
    for.
    """

    def __init__(self, settings: Settings, cores: Cores, registry: WorkerRegistry) -> None:
        self._fixed = settings.threads
        self._cores = cores
        self._registry = registry
        self._workers = 1

    def take(self) -> int:
        """Use as many threads as are ours now, and return how many.

        Not while a picture is painted: their number decides in which order sums are taken.
        """
        if self._fixed is None:
            try:
                self._workers = self._registry.count_on(self._cores.pool)
            except RedisError as error:
                log.warning("workers not counted: as many as before", error=repr(error))
        count = self._fixed or self._cores.share(self._workers)
        use_threads(count)
        return count


def use_threads(count: int) -> None:
    """Have everything that computes here do so with `count` threads."""
    torch.set_num_threads(count)  # its own, oneDNN's and MKL's; those between operations are unused
    pyvips.concurrency_set(count)
