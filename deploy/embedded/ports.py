"""Free ports on loopback."""

import random
import socket

from deploy.embedded.process import StartError

PREFERRED_PORT = 8080
# Below the ports that the kernel hands out by itself, also after SeaweedFS has added its offset.
FIRST_PORT = 12_000
LAST_PORT = 21_999
GRPC_OFFSET = 10_000


def listen(port: int | None) -> socket.socket:
    """A socket that listens on `port` of loopback, or on the first free one from 8080.

    Raises:
        StartError: somebody else listens on that port.
    """
    wanted = range(PREFERRED_PORT, PREFERRED_PORT + 1000) if port is None else [port]
    for candidate in wanted:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen()
        except OSError:
            listener.close()
        else:
            return listener
    raise StartError(f"port {wanted[0]} is in use: name another one with --port, or none")


def is_free(port: int) -> bool:
    """Whether nothing listens on `port` of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different ports p of which p and p + GRPC_OFFSET are free.

    Drawn at random, so that two stacks that start together do not pick the same.
    """
    found: list[int] = []
    candidates = random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT + 1), 1000)
    for port in candidates:
        if is_free(port) and is_free(port + GRPC_OFFSET):
            found.append(port)
        if len(found) == count:
            return found
    raise StartError(f"no {count} free ports between {FIRST_PORT} and {LAST_PORT}")
