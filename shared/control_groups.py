"""The control groups above this process: Linux's limits for a container, in version 2 and 1."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def folders(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """The folders in which limits of `controller`, such as cpu or memory, may stand.

    In a container the group of the container is the root.
    """
    yield root
    yield root / controller
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        folder = top / path.lstrip("/")
        while folder != top and top in folder.parents:
            yield folder
            folder = folder.parent
