"""What a soak did and saw, as it happened."""

import json
import threading
import time
from pathlib import Path
from typing import IO, Any, Self


class Journal:
    """A file of JSON lines, and the violations among them. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.violations: list[dict[str, Any]] = []
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("w", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def write(self, what: str, **values: Any) -> dict[str, Any]:
        """Add a line."""
        line = {"at": round(time.monotonic() - self._started, 3), "what": what, **values}
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(line, default=str) + "\n")
        return line

    def violation(self, what: str, **values: Any) -> None:
        """Add a line about a promise that was broken."""
        line = self.write("violation", promise=what, **values)
        with self._lock:
            self.violations.append(line)
