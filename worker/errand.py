"""Something that is done in a thread of its own, which one may stop waiting for."""

import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """Begins at once. The thread does not hold up the end of the process."""

    def __init__(self, action: Callable[[], T]) -> None:
        self._action = action
        self._done = threading.Event()
        self._value: T
        self._error: BaseException | None = None
        in_context = contextvars.copy_context().run  # what is logged names the job
        threading.Thread(target=in_context, args=(self._run,), daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, but not longer. Whether it has come."""
        return self._done.wait(seconds)

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._done.is_set()

    def result(self) -> T:
        """What came of it, once it is done. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._action()
        except BaseException as error:  # whoever waits has to hear of it
            self._error = error
        finally:
            self._done.set()
