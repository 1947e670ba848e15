"""Which machines a URL of a client may make us connect to.

A request that a server makes for somebody else reaches what that somebody cannot: its own network,
its cloud's metadata (server-side request forgery). So only addresses of the public internet are
let through, judged by tables here and not by `ipaddress.is_global`, whose answers differ between
versions of Python (3.11.7 takes 64:ff9b::127.0.0.1 for global).
"""

import socket
import threading
import time
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from shared.errors import Unavailable

Address = IPv4Address | IPv6Address

MAX_LOOKUPS = 16  # at once: a name server that never answers must not cost a thread per request

_GLOBAL_UNICAST = ip_network("2000::/3")  # all that IANA has opened of IPv6
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is meant

# IANA's registries of special-purpose addresses, without those that are reached like any other.
_SPECIAL = tuple(
    ip_network(network)
    for network in [
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a carrier's customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols of the IETF
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # protocols of the IETF: Teredo, which wraps IPv4, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which wraps IPv4; deprecated
        "3fff::/20",  # documentation
    ]
)
# One's own network. Link-local is not among them: nobody's receiver is there, but metadata is.
_PRIVATE = tuple(
    ip_network(network)
    for network in [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    ]
)

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


def is_permitted(address: Address, *, allow_private: bool) -> bool:
    """Whether a client may make us connect there: the public internet, or also one's own network.

    What only wraps an IPv4 address, mapped or through NAT64, is judged by that address.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = IPv4Address(int(address) & 0xFFFF_FFFF)
    if allow_private and any(address in network for network in _PRIVATE):
        return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _SPECIAL)


def look_up(name: str, timeout_seconds: float) -> list[Address]:
    """All addresses of a host name, as the system's resolver orders them.

    `getaddrinfo` cannot be told to give up, so it runs in a thread that is left behind.

    Raises `TimeoutError`, `OSError` when there is no such name, and `Unavailable` when too many
    others are waiting for their names.
    """
    ends = time.monotonic() + timeout_seconds
    if not _lookups.acquire(timeout=timeout_seconds):
        raise Unavailable("too many host names are being looked up; try again")
    found: Future[list[Address]] = Future()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(ip_address(answer[4][0]) for answer in answers)))
        except Exception as error:  # for whoever waits to raise
            found.set_exception(error)
        finally:
            _lookups.release()

    threading.Thread(target=ask, name="lookup", daemon=True).start()
    return found.result(timeout=max(0.0, ends - time.monotonic()))
