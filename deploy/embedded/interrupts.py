"""Ctrl-C, SIGTERM and a closed terminal: each ends the system in order."""

import signal
import threading
from types import FrameType
from typing import NoReturn

_requested = threading.Event()


def install() -> None:
    """Turn the signals that ask for the end into KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def check() -> None:
    """Raise KeyboardInterrupt if one was asked for but got lost.

    Python prints and drops an exception that reaches a finalizer, and a signal may come during one.
    """
    if _requested.is_set():
        raise KeyboardInterrupt


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    _requested.set()
    raise KeyboardInterrupt
