"""Resident memory of the processes of the system, over the time of a run."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.faults.rig import Part

GROUP, PAGES = 2, 21  # of /proc/<pid>/stat, counted after the name of the command
LONG_SECONDS = 600.0


class Memory:
    """Looks now and then; remembers the largest process of each part."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[float, int]]] = defaultdict(list)  # when, bytes
        self._started = time.monotonic()

    def look(self, parts: Iterable[Part]) -> None:
        """Note what the processes of these parts take now."""
        groups = {part.process.pid: part.name for part in parts}
        largest: dict[str, int] = {}
        for group, size in _processes():
            if group in groups:
                largest[groups[group]] = max(largest.get(groups[group], 0), size)
        for name, size in largest.items():
            self._seen[name].append((time.monotonic() - self._started, size))

    @property
    def names(self) -> list[str]:
        """The parts that were seen."""
        return sorted(self._seen)

    @property
    def is_long(self) -> bool:
        """Whether it looked for so long that growth would show."""
        return self._seconds > LONG_SECONDS

    def at_start(self, name: str) -> int:
        """What a part took when it was looked at first, bytes."""
        return self._seen[name][0][1]

    def most(self, name: str) -> int:
        """The most that a part took, bytes."""
        return max(size for _, size in self._seen[name])

    def usual(self, name: str, begin: float, end: float) -> float:
        """The median of what a part took from one share of the time to another, bytes."""
        span = self._seconds
        found = [size for at, size in self._seen[name] if begin * span <= at <= end * span]
        return statistics.median(found) if found else 0.0

    @property
    def _seconds(self) -> float:
        return max((seen[-1][0] for seen in self._seen.values()), default=0.0)


def _processes() -> Iterable[tuple[int, int]]:
    """Group and resident bytes of every process of this machine."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(fields[GROUP]), int(fields[PAGES]) * os.sysconf("SC_PAGE_SIZE")
