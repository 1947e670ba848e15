"""The folder in which a stack keeps its data and logs; one stack at a time uses it."""

import fcntl
from pathlib import Path
from typing import Self

from deploy.embedded.process import StartError


class FolderInUse(StartError):
    """Another stack uses the folder."""


class DataFolder:
    """A folder under an exclusive lock. The lock goes when this process does, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises `StartError` when another stack uses the folder, or it cannot be written."""
        self.path = path
        self.logs = path / "logs"
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self._lock = (path / "lock").open("w")
        except OSError as error:
            raise StartError(f"cannot use the folder {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise FolderInUse(
                f"another Impasto uses {path}: name another folder with --data"
            ) from None

    @classmethod
    def first_free(cls, root: Path) -> Self:
        """The first of `root/1`, `root/2`, ... that no running stack uses."""
        for number in range(1, 100):
            try:
                return cls(root / str(number))
            except FolderInUse:
                continue
        raise StartError(f"all data folders under {root} are in use")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()
