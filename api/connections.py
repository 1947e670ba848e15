"""Connections of clients that are slow, or say nothing: none has a thread for longer than a while.

gunicorn gives a connection a thread when it is accepted, waits in it for each byte for ever, and
lets go of a client in the thread that serves all others. Here a connection gets its thread with
its first byte, has to send and to read at a pace, and is let go of in its own thread. Where all
threads are taken, whoever has not said within a moment what he wants gives his back.
"""

import errno
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

import structlog
from gunicorn.workers.gthread import TConn, ThreadWorker

FIRST_BYTE_SECONDS = 10.0
# For the headers, and for whatever comes in between; then it goes by the bytes.
GRACE_SECONDS = 15.0
# For the headers, while others wait for a thread.
HURRIED_SECONDS = 1.0
MIN_BYTES_PER_SECOND = 16_000
# That are received at a time. gunicorn would take 1 MB, and copy what is left of it for each 64 kB
# that are read.
RECEIVED_BYTES = 256 * 1024
# However steadily it comes: 64 MB at 1 Mbit/s.
MAX_REQUEST_SECONDS = 600.0
# The machine has no descriptor, or no memory, for one more.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
EXHAUSTED_SECONDS = 0.1
MAX_DESCRIPTORS = 65_536
log = structlog.get_logger(__name__)


def allow_descriptors() -> None:
    """Let this process have as many connections as the machine allows; many give it 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class TooSlow(TimeoutError):
    """The client did not send or read fast enough."""

    def __init__(self, what: str) -> None:
        # gunicorn takes this number for a client that went away, which is no error of ours.
        super().__init__(errno.ECONNRESET, f"the client {what} too slowly")


class PacedSocket(socket.socket):
    """A client's socket, whose other side has to keep a pace."""

    _began_at = 0.0
    _received = 0

    def begin(self) -> None:
        """The time of a new request begins."""
        self._began_at = time.monotonic()
        self._received = 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """What has come.

        Raises:
            TooSlow: the request as a whole takes too long.
        """
        paced = GRACE_SECONDS + self._received / MIN_BYTES_PER_SECOND
        until = self._began_at + min(paced, MAX_REQUEST_SECONDS)
        with self._waiting(until, "sends"):
            data = super().recv(min(size, RECEIVED_BYTES), flags)
        self._received += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of it.

        Raises:
            TooSlow: it is not read in time.
        """
        left = memoryview(data).cast("B")
        began_at, sent = time.monotonic(), 0
        while left:
            with self._waiting(began_at + GRACE_SECONDS + sent / MIN_BYTES_PER_SECOND, "reads"):
                count = super().send(left, flags)
            left = left[count:]
            sent += count

    @contextmanager
    def _waiting(self, until: float, does: str) -> Iterator[None]:
        """Wait for the client, for which gunicorn may have set a time, and otherwise until then."""
        allowed = self.gettimeout()
        left = min(until - time.monotonic(), GRACE_SECONDS)
        if allowed is not None and allowed < left:
            yield
            return
        if left <= 0:
            raise TooSlow(does)
        self.settimeout(left)
        try:
            yield
        except TimeoutError:
            raise TooSlow(does) from None
        finally:
            self.settimeout(allowed)


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection that is closed once."""

    _is_closed = False

    def close(self, graceful: bool = False) -> None:
        """Let go of the client, gracefully: wait until it has read what was sent."""
        if not self._is_closed:
            self._is_closed = True
            self.sock.begin()  # for what it has still to say, and nobody will hear
            super().close(graceful)


class PacedWorker(ThreadWorker):  # type: ignore[misc]  # as above
    """A process of the API that no slow client can keep from answering the others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._requests = 0  # that have a thread, or wait for one
        # Those whose headers are being read, and since when: the first is the slowest.
        self._headers_since: dict[Connection, float] = {}

    def accept(self, listener: socket.socket) -> None:
        """Wait for the first byte of a new connection, without a thread."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:  # it waits in the kernel's queue, and others go on
                log.warning("no connection taken", error=repr(error))
                time.sleep(EXHAUSTED_SECONDS)
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        paced = PacedSocket(fileno=accepted.detach())
        connection = Connection(self.cfg, paced, address, listener.getsockname())
        connection.timeout = time.monotonic() + FIRST_BYTE_SECONDS
        self.nr_conns += 1
        self.pending_conns.append(connection)
        heard = partial(self.on_pending_socket_readable, connection)
        self.poller.register(paced, EVENT_READ, heard)

    def enqueue_req(self, conn: Connection) -> None:
        """Have a thread answer."""
        self._requests += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """Its thread has answered, or given up."""
        self._requests -= 1
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Let go of whoever says nothing, or says it slowly while others wait; each second."""
        super().murder_pending()
        if self._requests <= self.cfg.threads:
            return
        hurried = time.monotonic() - HURRIED_SECONDS
        for conn, since in self._headers_since.copy().items():
            if since < hurried and self._headers_since.pop(conn, 0.0):
                with suppress(OSError):  # it has gone by itself
                    conn.sock.shutdown(socket.SHUT_RDWR)  # which its thread sees as an end

    def handle(self, conn: Connection) -> Any:
        """Answer a request, in a thread of its own."""
        conn.sock.begin()
        self._headers_since[conn] = time.monotonic()
        try:
            keep = super().handle(conn)
        finally:
            self._headers_since.pop(conn, None)
        if keep is False:
            conn.close(graceful=True)
        return keep

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Answer a request whose headers have come."""
        self._headers_since.pop(conn, None)
        return super().handle_request(req, conn)
