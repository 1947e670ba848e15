"""The proxy breaks the network as it says, and mends it again."""

import contextlib
import hashlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from shared.settings import Settings
from tests.faults.proxy import Moment, Proxy

SOON = 5.0


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65_536):
                self.server.seen += data  # type: ignore[attr-defined]
                self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    seen = b""


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[Proxy]:
    with Proxy(echo.server_address) as proxy:
        yield proxy


@contextlib.contextmanager
def connected(proxy: Proxy, seconds: float = SOON) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), timeout=seconds) as connection:
        yield connection


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def exchange(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return receive(connection, len(data))


def ask(proxy: Proxy) -> bytes:
    with connected(proxy) as connection:
        connection.sendall(b"anybody there?")
        if not (answer := connection.recv(100)):
            raise ConnectionResetError
        return answer


def is_cut(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"still there?")
        while connection.recv(100):
            pass
    except ConnectionError:
        return True
    return False


def test_everything_goes_through_unchanged(proxy: Proxy) -> None:
    data = b"".join(hashlib.sha256(bytes([n % 256])).digest() for n in range(30_000))
    received = bytearray()
    with connected(proxy) as connection:
        reading = threading.Thread(target=lambda: received.extend(receive(connection, len(data))))
        reading.start()
        connection.sendall(data)
        reading.join(SOON)
    assert bytes(received) == data


def test_an_end_that_one_side_announces_reaches_the_other(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"all")
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 3) == b"all"
        assert connection.recv(1) == b""


def test_a_server_that_is_refused_is_back_under_the_same_port(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        assert exchange(connection, b"before") == b"before"
        proxy.refuse()
        assert is_cut(connection)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), timeout=SOON)
    proxy.pass_on()
    with connected(proxy) as connection:
        assert exchange(connection, b"after") == b"after"


def test_a_reset_cuts_what_is_there_and_nothing_else(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        assert exchange(connection, b"before") == b"before"
        proxy.reset()
        assert is_cut(connection)
    with connected(proxy) as connection:
        assert exchange(connection, b"after") == b"after"


def test_what_is_held_arrives_late(proxy: Proxy, echo: EchoServer) -> None:
    with connected(proxy, 0.3) as old:
        assert exchange(old, b"before") == b"before"
        proxy.hold()
        old.sendall(b"late")
        with pytest.raises(TimeoutError):
            old.recv(4)
        with connected(proxy, 0.3) as new, pytest.raises(TimeoutError):
            exchange(new, b"new")
        assert echo.seen == b"before"

        proxy.pass_on()
        old.settimeout(SOON)
        assert receive(old, 4) == b"late"


def test_a_black_hole_swallows_and_what_met_it_is_cut_afterwards(
    proxy: Proxy, echo: EchoServer
) -> None:
    with connected(proxy, 0.3) as old, connected(proxy) as quiet:
        assert exchange(old, b"before") == b"before"
        assert exchange(quiet, b"!") == b"!"
        proxy.black_hole()
        with connected(proxy, 0.3) as new:
            for connection in (old, new):
                with pytest.raises(TimeoutError):
                    exchange(connection, b"swallowed")
            proxy.pass_on()
            assert is_cut(old)
            assert is_cut(new)
        assert exchange(quiet, b"lost nothing") == b"lost nothing"
    assert b"swallowed" not in echo.seen


def test_a_slow_network_takes_its_time(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        proxy.slow(delay_seconds=0.2)
        started = time.monotonic()
        assert exchange(connection, b"there and back") == b"there and back"
        assert 0.4 <= time.monotonic() - started < SOON

        proxy.slow(bytes_per_second=1000)
        started = time.monotonic()
        assert exchange(connection, bytes(300)) == bytes(300)
        assert 0.6 <= time.monotonic() - started < SOON


def test_a_slow_network_that_is_mended_brings_at_once_what_was_under_way(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        proxy.slow(delay_seconds=60)
        connection.sendall(b"soon")
        time.sleep(0.1)
        proxy.pass_on()
        assert receive(connection, 4) == b"soon"


def test_a_client_of_a_server_that_is_down_is_cut() -> None:
    with socket.socket() as place:  # bound and not listening: nothing answers there
        place.bind(("127.0.0.1", 0))
        with Proxy(place.getsockname()) as proxy, pytest.raises(ConnectionError):
            ask(proxy)


@pytest.mark.parametrize(
    ("moment", "server_has_it", "client_has_it"),
    [
        (Moment.REQUEST_LOST, False, False),
        (Moment.ANSWER_LOST, True, False),
        (Moment.AFTER, True, True),
    ],
)
def test_a_server_dies_at_a_chosen_place_of_a_conversation(
    proxy: Proxy, echo: EchoServer, moment: Moment, server_has_it: bool, client_has_it: bool
) -> None:
    death = proxy.when(b"PUT", b"picture", do=proxy.refuse, moment=moment)
    with connected(proxy) as connection:
        assert exchange(connection, b"PUT preview") == b"PUT preview"
        assert not death.happened
        connection.sendall(b"PUT picture")
        death.wait(SOON)
        received = b""
        with contextlib.suppress(ConnectionError):
            received = receive(connection, 11)
    assert (b"PUT picture" in echo.seen) == server_has_it
    assert (received == b"PUT picture") == client_has_it


def test_what_happens_at_a_request_happens_once_and_tells_its_errors(proxy: Proxy) -> None:
    def fail() -> None:
        raise ValueError("as planned")

    trigger = proxy.when(b"now", do=fail, moment=Moment.BEFORE)
    with connected(proxy) as connection:
        assert exchange(connection, b"now") == b"now"
        assert exchange(connection, b"now") == b"now"
    with pytest.raises(ValueError, match="as planned"):
        trigger.wait(SOON)
    with pytest.raises(TimeoutError):
        proxy.when(b"never", moment=Moment.BEFORE).wait(0.01)


def test_requests_and_answers_can_be_changed_until_it_is_mended(
    proxy: Proxy, echo: EchoServer
) -> None:
    proxy.change_requests(lambda piece: piece.replace(b"key", b"KEY"))
    proxy.change_answers(lambda piece: piece.replace(b"value", b"VALUE"))
    with connected(proxy) as connection:
        assert exchange(connection, b"key=value") == b"KEY=VALUE"
        assert echo.seen == b"KEY=value"
        proxy.mend()
        assert exchange(connection, b"key=value") == b"key=value"


def test_a_client_of_redis_is_the_only_one_who_notices(
    settings: Settings, valkey: redis.Redis
) -> None:
    url = settings.redis_url.get_secret_value()
    port = valkey.connection_pool.connection_kwargs["port"]
    with Proxy(("127.0.0.1", port)) as proxy:
        through = url.replace(str(port), str(proxy.port))
        with redis.Redis.from_url(through, socket_timeout=0.5, retry=None) as client:
            assert client.ping()
            (address,) = proxy.addresses
            assert address in [one["addr"] for one in valkey.client_list()]

            proxy.refuse()
            with pytest.raises(redis.ConnectionError):
                client.ping()
            assert valkey.ping()

            proxy.black_hole()
            with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
                client.set("key", "swallowed")
            assert valkey.get("key") is None

            proxy.pass_on()
            death = proxy.when(b"SET", b"stored", moment=Moment.ANSWER_LOST)
            with pytest.raises(redis.ConnectionError):
                client.set("key", "stored")
            death.wait(SOON)
            assert valkey.get("key") == "stored"

            assert client.ping()
            (address,) = proxy.addresses
            assert valkey.client_kill_filter(addr=address) == 1
            assert address not in [one["addr"] for one in valkey.client_list()]
