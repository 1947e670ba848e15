"""What is kept from one run to the next, within bounds."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from torch import Tensor

from worker.engine.losses import Statistics

Target = Tensor | Statistics


class TargetCache:
    """Targets that were computed before; those not used for longest go when there are too many.

    Belongs to one network, on whose device they lie, and to one thread. What is kept is shared by
    all who ask for it: nobody may change it.
    """

    def __init__(self, limit_bytes: int) -> None:
        """At most `limit_bytes` are kept; of 0, nothing is."""
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._targets: OrderedDict[Hashable, Target] = OrderedDict()  # last used last

    def get(self, key: Hashable) -> Any:
        """The target that was kept under `key`; None where there is none any more."""
        target = self._targets.get(key)
        if target is not None:
            self._targets.move_to_end(key)
        return target

    def add(self, key: Hashable, target: Target) -> None:
        """Keep `target` under a `key` that is not there, unless it alone is too large."""
        size = size_bytes(target)
        if size > self.limit_bytes:
            return
        while self.bytes + size > self.limit_bytes:
            _, oldest = self._targets.popitem(last=False)
            self.bytes -= size_bytes(oldest)
        self._targets[key] = target
        self.bytes += size

    def clear(self) -> None:
        """Forget everything."""
        self._targets.clear()
        self.bytes = 0


def size_bytes(target: Target) -> int:
    """The memory that `target` keeps from being used otherwise."""
    tensors = [target] if isinstance(target, Tensor) else vars(target).values()
    return sum(t.untyped_storage().nbytes() for t in tensors if isinstance(t, Tensor))
