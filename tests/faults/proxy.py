"""A TCP proxy that breaks the network before a server, for one client of it or for all.

What it does can be changed at any time, for connections that are there and for new ones:

pass_on      every byte goes through
refuse       nobody listens: connections are reset, new ones refused
reset        the present connections are cut, new ones go through
hold         a cable is pulled: nothing goes through, and everything arrives late once it is back
black_hole   a router forgets: bytes vanish, and what met it is cut afterwards
slow         every piece is late, or few bytes go through in a second

`when` acts on what passes by: it looks for a request, and then does something before the server has
it, before the client has its answer, or after. So a server dies at exactly one place of a
conversation.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

PIECE_BYTES = 65_536
ANSWER_SECONDS = 10.0
# Closed so, a connection is reset: what is on its way is lost.
RESET = struct.pack("ii", 1, 0)


class Moment(Enum):
    """Where in a conversation something happens."""

    BEFORE = "the server gets the request afterwards"
    REQUEST_LOST = "the server never gets the request"
    ANSWER_LOST = "the server has done it, and the client never learns"
    AFTER = "the client has the answer"


class _Way(Enum):
    TO_SERVER = 0
    TO_CLIENT = 1


class _Kind(Enum):
    PASS = 0
    REFUSE = 1
    HOLD = 2
    BLACK_HOLE = 3
    SLOW = 4


@dataclass(frozen=True)
class _Mode:
    kind: _Kind
    delay_seconds: float = 0.0
    bytes_per_second: float | None = None

    def seconds(self, size: int) -> float:
        return self.delay_seconds + (size / self.bytes_per_second if self.bytes_per_second else 0.0)


@dataclass(eq=False)
class Trigger:
    """Something that happens once, when a certain request passes by."""

    words: tuple[bytes, ...]
    do: Callable[[], object]
    moment: Moment
    _happened: threading.Event = field(default_factory=threading.Event)
    _error: BaseException | None = None

    @property
    def happened(self) -> bool:
        """Whether it has."""
        return self._happened.is_set()

    def wait(self, seconds: float) -> None:
        """Wait for it. Raises what it raised, or `TimeoutError`."""
        if not self._happened.wait(seconds):
            raise TimeoutError(f"no request with {self.words} passed within {seconds} s")
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            self.do()
        except BaseException as error:
            self._error = error
        finally:
            self._happened.set()


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    has_lost_bytes: bool = False
    armed: list[Trigger] = field(default_factory=list)  # their request has passed

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer is None or writer.transport.is_closing():
                continue
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, RESET
                )
            writer.transport.abort()


class Proxy:
    """Listens on a port of loopback and passes on to `target`. A context manager."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        # Bound, but not listening: the port stays ours while connections are refused.
        self._place = _bound(0)
        self.host, self.port = self._place.getsockname()
        self._mode = _Mode(_Kind.PASS)
        self._connections: set[_Connection] = set()
        self._triggers: list[Trigger] = []
        self._changes: dict[_Way, Callable[[bytes], bytes]] = {}
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut everything, and listen no more. Does nothing the second time."""
        if self._loop.is_closed():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.close()

    # -- what it does to the network --------------------------------------------------------------

    def pass_on(self) -> None:
        """Let everything through, as it should be."""
        self._run(self._set(_Mode(_Kind.PASS)))

    def refuse(self) -> None:
        """Be a server that is not there."""
        self._run(self._set(_Mode(_Kind.REFUSE)))

    def reset(self) -> None:
        """Cut the present connections."""
        self._run(self._cut(list(self._connections)))

    def hold(self) -> None:
        """Pull the cable. What is sent meanwhile arrives when another mode is set."""
        self._run(self._set(_Mode(_Kind.HOLD)))

    def black_hole(self) -> None:
        """Swallow every byte. Connections are taken, and say nothing."""
        self._run(self._set(_Mode(_Kind.BLACK_HOLE)))

    def slow(self, delay_seconds: float = 0.0, bytes_per_second: float | None = None) -> None:
        """Keep every piece of at most 64 KiB for a while, in both directions."""
        self._run(self._set(_Mode(_Kind.SLOW, delay_seconds, bytes_per_second)))

    def when(
        self,
        *words: bytes,
        moment: Moment,
        do: Callable[[], object] = lambda: None,
    ) -> Trigger:
        """Once a request with all these words comes by, call `do`, and wait for it to return.

        The connection is cut if something is lost. A request has to come in one piece, as those up
        to 64 KiB do that are sent at once.
        """
        trigger = Trigger(words, do, moment)
        self._triggers.append(trigger)
        return trigger

    def change_requests(self, change: Callable[[bytes], bytes]) -> None:
        """Send the server something else than the client said."""
        self._changes[_Way.TO_SERVER] = change

    def change_answers(self, change: Callable[[bytes], bytes]) -> None:
        """Tell the client something else than the server said."""
        self._changes[_Way.TO_CLIENT] = change

    def mend(self) -> None:
        """Let everything through unchanged, and forget what was to happen."""
        self._triggers.clear()
        self._changes.clear()
        self.pass_on()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def addresses(self) -> list[str]:
        """Where the server sees the connections come from: `127.0.0.1:41234`."""
        servers = [connection.server for connection in list(self._connections)]
        names = [server.get_extra_info("sockname") for server in servers if server is not None]
        return [f"{host}:{port}" for host, port in names]

    # -- in the thread of the loop ----------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            listener = _bound(self.port)
            listener.listen(128)
            self._server = await asyncio.start_server(self._serve, sock=listener)

    async def _set(self, mode: _Mode) -> None:
        before, self._mode = self._mode, mode
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if mode.kind is _Kind.REFUSE:
            if self._server is not None:
                self._server.close()
                self._server = None
            await self._cut(list(self._connections))
        else:
            await self._listen()
        if before.kind is _Kind.BLACK_HOLE:
            await self._cut([one for one in self._connections if one.has_lost_bytes])

    async def _cut(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.reset()
            self._connections.discard(connection)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut(list(self._connections))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            await self._connect(connection, reader)
        except (OSError, asyncio.CancelledError):
            pass  # one of the two has gone, or we have
        finally:
            connection.reset()
            self._connections.discard(connection)
            self._tasks.discard(task)

    async def _connect(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while self._mode.kind is _Kind.HOLD:
            await self._changed.wait()
        if self._mode.kind is _Kind.BLACK_HOLE:
            connection.has_lost_bytes = True
            await self._changed.wait()
            return
        from_server, connection.server = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as both:
            both.create_task(
                self._pump(connection, _Way.TO_SERVER, reader, connection.server),
            )
            both.create_task(
                self._pump(connection, _Way.TO_CLIENT, from_server, connection.client),
            )

    async def _pump(
        self,
        connection: _Connection,
        way: _Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if await self._act_before(connection, way, piece):
                    break
                if way in self._changes:
                    piece = self._changes[way](piece)
                await self._deliver(connection, piece, writer)
                await self._act_after(connection, way)
            else:
                while self._mode.kind is _Kind.HOLD:
                    await self._changed.wait()
                if self._mode.kind is not _Kind.BLACK_HOLE:
                    writer.write_eof()
                return
        connection.reset()

    async def _deliver(
        self, connection: _Connection, piece: bytes, writer: asyncio.StreamWriter
    ) -> None:
        while self._mode.kind is _Kind.HOLD:
            await self._changed.wait()
        if self._mode.kind is _Kind.SLOW:
            # What is on its way stays slow, but goes at once when the network is mended.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._mode.seconds(len(piece)))
        if self._mode.kind is _Kind.BLACK_HOLE:
            connection.has_lost_bytes = True
            return
        writer.write(piece)
        await writer.drain()

    async def _act_before(self, connection: _Connection, way: _Way, piece: bytes) -> bool:
        """Do what happens before a piece goes on. Whether it is lost."""
        if way is _Way.TO_CLIENT:
            due = _taken(connection.armed, Moment.ANSWER_LOST)
        else:
            found = [one for one in self._triggers if all(word in piece for word in one.words)]
            for trigger in found:
                self._triggers.remove(trigger)
            due = [one for one in found if one.moment in (Moment.BEFORE, Moment.REQUEST_LOST)]
            connection.armed += [one for one in found if one not in due]
        for trigger in due:
            await self._act(trigger)
        return any(one.moment is not Moment.BEFORE for one in due)

    async def _act_after(self, connection: _Connection, way: _Way) -> None:
        if way is _Way.TO_CLIENT:
            for trigger in _taken(connection.armed, Moment.AFTER):
                await self._act(trigger)

    async def _act(self, trigger: Trigger) -> None:
        # In another thread, since it may change the mode here, or talk to a server through us.
        await self._loop.run_in_executor(None, trigger.run)


def _taken(triggers: list[Trigger], moment: Moment) -> list[Trigger]:
    taken = [trigger for trigger in triggers if trigger.moment is moment]
    for trigger in taken:
        triggers.remove(trigger)
    return taken


def _bound(port: int) -> socket.socket:
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", port))
    return place
