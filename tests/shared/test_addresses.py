"""Only addresses of the public internet are let through, however they are written."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.addresses import MAX_LOOKUPS, is_permitted, look_up
from shared.errors import Unavailable
from tests.shared.strategies import patient

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
PRIVATE = [
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "fdff::1",
    "::ffff:127.0.0.1",
    "64:ff9b::192.168.1.1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0.0.0.0",
    "::ffff:169.254.169.254",
    "::ffff:0:8.8.8.8",
    "64:ff9b::169.254.169.254",
    "64:ff9b::224.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::7f00:1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_the_public_internet_is_permitted(text: str) -> None:
    assert is_permitted(ip_address(text), allow_private=False)
    assert is_permitted(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", PRIVATE)
def test_ones_own_network_is_permitted_only_on_request(text: str) -> None:
    assert not is_permitted(ip_address(text), allow_private=False)
    assert is_permitted(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", NEVER)
def test_metadata_multicast_and_what_is_reserved_are_never_permitted(text: str) -> None:
    assert not is_permitted(ip_address(text), allow_private=False)
    assert not is_permitted(ip_address(text), allow_private=True)


# Special in the registries of IANA, but global for Python: anycast of the IETF, and 6to4 relays.
REGISTERED = [
    *ipaddress.ip_network("192.0.0.0/24"),
    *ipaddress.ip_network("192.88.99.0/24"),
]

addresses_4 = st.ip_addresses(v=4)  # Hypothesis favours the special ones
addresses_6 = st.ip_addresses(v=6)


@patient
@given(st.one_of(addresses_4, addresses_6))
@example(IPv4Address("192.0.0.170"))
def test_what_python_knows_not_to_be_global_is_refused(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        permitted = is_permitted(address, allow_private=False)
        wrapping = getattr(address, "ipv4_mapped", None) or int(address) >> 32 == 0x64FF9B << 64
        assert not permitted or wrapping


@patient
@given(addresses_4)
def test_an_address_that_is_wrapped_is_no_better_than_itself(address: IPv4Address) -> None:
    permitted = is_permitted(address, allow_private=False)
    number = int(address)
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_permitted(ip_address(wrapped), allow_private=False) == permitted
    for wrapper in (
        number,  # ::a.b.c.d, deprecated
        (0xFFFF << 48) + number,  # ::ffff:0:a.b.c.d, SIIT
        (0x2002 << 112) + (number << 80) + 1,  # 6to4
        (0x2001 << 112) + (number ^ 0xFFFF_FFFF),  # Teredo
        (0x64FF9B0001 << 80) + number,  # local NAT64
    ):
        assert not is_permitted(IPv6Address(wrapper), allow_private=False)


@patient
@given(addresses_4)
def test_every_address_is_permitted_or_special(address: IPv4Address) -> None:
    """Nobody's receiver is refused for nothing."""
    if not is_permitted(address, allow_private=False):
        special = not address.is_global or address.is_multicast or address.is_reserved
        assert special or address in REGISTERED


class Hanging:
    """A resolver that answers nobody before `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, name: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(name)
        self.go.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 0))]


def test_a_name_has_all_its_addresses_each_once() -> None:
    found = look_up("localhost", 5)
    assert ip_address("127.0.0.1") in found
    assert len(set(found)) == len(found)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    hanging = Hanging()
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    yield hanging
    hanging.go.set()
    for thread in threading.enumerate():
        if thread.name == "lookup":
            thread.join(timeout=5)


def test_a_look_up_ends_in_time(hanging: Hanging) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        look_up("slow.example", 0.2)
    assert time.monotonic() - began < 5
    assert hanging.asked == ["slow.example"]


def test_names_that_are_never_found_cost_a_bounded_number_of_threads(hanging: Hanging) -> None:
    for number in range(MAX_LOOKUPS):
        with pytest.raises(TimeoutError):
            look_up(f"{number}.example", 0.01)
    with pytest.raises(Unavailable):
        look_up("one-too-many.example", 0.01)
    assert len(hanging.asked) == MAX_LOOKUPS

    hanging.go.set()
    assert look_up("afterwards.example", 5) == [ip_address("8.8.8.8")]
