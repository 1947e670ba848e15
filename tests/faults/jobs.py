"""The jobs that faults are injected into: small, and long enough to be interrupted."""

from typing import Any

SMALL: dict[str, Any] = {"size": 64, "steps": 8}
# Some seconds, on a machine that does other things too.
LASTS: dict[str, Any] = {"size": 64, "steps": 100}
LONG: dict[str, Any] = {"size": 64, "steps": 5000}
