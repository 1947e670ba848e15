"""The cores that this process may use, and how workers that have the same cores divide them.

What counts is what may be used: not the machine's cores, but those of the process's affinity, and
no more of them than the processor time that its control groups allow. A container that is limited
to two cores sees all sixty-four of its machine, and would start as many threads.
"""

import hashlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared import control_groups

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PROCESSORS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Cores:
    """Cores of this machine.

    Attributes:
        count: how many there are to use, at least one.
        pool: the same for all processes of a machine, in whatever container, that have the same
            cores: those on which the same processes may run, or whose time the same limit counts.
    """

    count: int
    pool: str

    @classmethod
    def usable(cls, groups: Path = control_groups.ROOT) -> Self:
        """Those that this process may use."""
        processors = _processors()
        count = len({_core(number) for number in processors})
        pool = [_machine(), *map(str, processors)]
        limit, group = min(_limits(groups), default=(math.inf, None))
        if limit < count:
            # A part of a core is a core: threads that are stopped for a part of the time do more
            # work than one thread fewer.
            count = max(1, math.ceil(limit))
            pool.append(str(group))
        return cls(count, hashlib.sha256("\n".join(pool).encode()).hexdigest()[:16])

    def share(self, workers: int) -> int:
        """Threads for each of so many workers that have the same cores."""
        return max(1, self.count // max(1, workers))


def _processors() -> list[int]:
    """Numbers of the processors on which this process may run."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _core(processor: int) -> str:
    """What tells the core of a processor from others. Some are two processors, by turns, and do no
    more arithmetic for it."""
    siblings = PROCESSORS / f"cpu{processor}" / "topology" / "thread_siblings_list"
    try:
        return siblings.read_text().strip()
    except OSError:  # no Linux, or a sandbox that does not tell
        return str(processor)


def _machine() -> str:
    """What tells this machine from others, and is the same in all its containers."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:  # no Linux, where there are no containers either
        return os.uname().nodename


def _limits(root: Path) -> Iterator[tuple[float, int]]:
    """The cores' worth of time that each control group above this process allows, in version 2 and
    in version 1, and which group it is."""
    for folder in control_groups.folders("cpu", root):
        try:
            if (folder / "cpu.max").exists():
                quota, period = map(float, (folder / "cpu.max").read_text().split())
            else:
                quota = float((folder / "cpu.cfs_quota_us").read_text())
                period = float((folder / "cpu.cfs_period_us").read_text())
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
        if quota > 0 and period > 0:  # -1: no limit
            yield quota / period, folder.stat().st_ino
