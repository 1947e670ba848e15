"""Ctrl-C, SIGTERM and a closed terminal: each ends the system in order."""

import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

_requested = threading.Event()


def install() -> None:
    """Turn the signals that ask for the end into KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def check() -> None:
    """Raise KeyboardInterrupt if one was asked for but got lost.

    Python drops an exception that reaches a finalizer, and a signal may come during one.
    """
    if _requested.is_set():
        raise KeyboardInterrupt


def _unraisable(dropped: "sys.UnraisableHookArgs") -> None:
    """Say nothing of an interrupt that was dropped, since `check` raises it again."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    _requested.set()
    raise KeyboardInterrupt
