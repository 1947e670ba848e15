"""Decoding uploads in turn, so that hostile pictures cannot take all memory.

Files wait on disk for a seat, and those that have one for the memory that their picture takes.
"""

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shared.errors import Unavailable
from shared.images import Room

# Files whose bytes are in memory. Pillow decodes without Python's lock: one for each core.
SEATS = min(max(2, os.cpu_count() or 1), 8)
# One picture may take more, when it is alone: a WebP of 50 megapixels takes 800 MB.
MEMORY_BYTES = 512 * 2**20
PATIENCE_SECONDS = 15.0
# mallopt(3): from which size on a block of memory is mapped by itself, and how large such are.
M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 4 * 2**20


def give_large_blocks_back() -> None:
    """Have memory of large files go back to the system when it is freed, if this is glibc.

    It would adapt to what it sees otherwise, and keep as much as the largest file for each thread.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


class DecodingRoom:
    """So many seats, and so much memory for all of them."""

    def __init__(
        self,
        seats: int = SEATS,
        memory_bytes: int = MEMORY_BYTES,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._seats = threading.BoundedSemaphore(seats)
        self._memory_bytes = memory_bytes
        self._patience_seconds = patience_seconds
        self._free_bytes = memory_bytes
        self._freed = threading.Condition()
        self._next = threading.Lock()  # whom the others, whose pictures are smaller, do not pass

    @contextmanager
    def seat(self) -> Iterator[Room]:
        """Wait for a turn to read a file into memory; what is given waits until it can be decoded.

        Raises:
            Unavailable: it takes too long. The same is raised by what is given.
        """
        until = time.monotonic() + self._patience_seconds
        if not self._seats.acquire(timeout=self._patience_seconds):
            raise _busy()
        try:
            yield lambda size_bytes: self._memory(size_bytes, until)
        finally:
            self._seats.release()

    @contextmanager
    def _memory(self, size_bytes: int, until: float) -> Iterator[None]:
        taken = min(size_bytes, self._memory_bytes)
        if not self._next.acquire(timeout=max(0.0, until - time.monotonic())):
            raise _busy()
        try:
            with self._freed:
                left = until - time.monotonic()
                if not self._freed.wait_for(lambda: self._free_bytes >= taken, max(0.0, left)):
                    raise _busy()
                self._free_bytes -= taken
        finally:
            self._next.release()
        try:
            yield
        finally:
            with self._freed:
                self._free_bytes += taken
                self._freed.notify_all()


def _busy() -> Unavailable:
    return Unavailable("too many pictures are being decoded: try again")
