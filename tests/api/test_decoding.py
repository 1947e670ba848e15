"""Decoding cannot exhaust the API: bounds of each picture, and of as many as come at once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import redis

from api.decoding import PATIENCE_SECONDS, DecodingRoom
from bench.inputs import MAX_BYTES, WORST, check
from shared.errors import Unavailable
from shared.settings import Settings
from tests.api.forms import form
from tests.api.servers import Served, serve
from tests.shared.pictures import picture

AT_ONCE = 16
MAX_API_BYTES = 1_500_000_000
POLL_SECONDS = 20.0  # while both cores decode

# Files of 25 MB with next to no pixels. The first took Pillow from 2 to 17 s and up to 1.1 GB.
FLOODS = [
    "JPEG, empty comments",
    "JPEG, fill bytes",
    "JPEG, escaped junk",
    "JPEG, EXIF of shared bytes",
    "PNG, empty chunks",
    "PNG, unknown chunks",
    "PNG, pixels in empty chunks",
    "TIFF, 3 million strips",
    "TIFF, bare tiles of 4 px",
    "TIFF, tags of shared bytes",
]
# As many pixels as are taken.
LARGEST = [
    "JPEG, progressive CMYK",
    "PNG, RGBA of 16 bits, Paeth",
    "TIFF, LZW, one strip",
    "WebP, lossless",
]


@pytest.mark.parametrize("name", FLOODS)
def test_a_file_of_countless_parts_is_refused_before_they_are_read(name: str) -> None:
    data = WORST[name]()
    assert len(data) <= MAX_BYTES
    cost = check(data)
    assert cost.answer.startswith(("the image has more", "the tags of the image have more"))
    assert cost.seconds < 5  # 0.2 s, where nothing else runs
    assert cost.memory_bytes < 100_000_000


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_pictures_are_checked_in_bounded_time_and_memory(name: str) -> None:
    cost = check(WORST[name]())
    assert cost.answer == "taken"
    assert cost.seconds < 60  # 3 s, where nothing else runs
    assert cost.memory_bytes < 900_000_000


# -- many at once -------------------------------------------------------------------------------


@pytest.fixture
def served(settings: Settings, valkey: redis.Redis, tmp_path: Path) -> Iterator[Served]:
    with serve(settings, tmp_path / "log") as served:
        yield served


def peak_bytes(served: Served) -> int:
    """The most memory that the process that answers has had."""
    parent = served.process.pid
    (worker,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    status = Path(f"/proc/{worker}/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def polled(url: str, futures: list[Future[httpx.Response]]) -> float:
    """How long the slowest of the polls took until all is answered, s."""
    slowest = 0.0
    while not all(future.done() for future in futures):
        began = time.monotonic()
        assert httpx.get(f"{url}/v1/jobs", timeout=60).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.2)
    return slowest


def test_the_worst_pictures_at_once_leave_memory_and_polls_alone(served: Served) -> None:
    worst = [
        WORST[name]()
        for name in (
            "WebP, lossless",
            "JPEG, progressive CMYK",
            "TIFF, LZW, one strip",
            "PNG, RGBA, Paeth",
        )
    ]

    def send(number: int) -> httpx.Response:
        pictures = form(content=worst[number % 4], style=worst[(number + 1) % 4])
        return httpx.post(f"{served.url}/v1/jobs", timeout=120, **pictures)

    with ThreadPoolExecutor(AT_ONCE) as clients:
        futures = [clients.submit(send, number) for number in range(AT_ONCE)]
        slowest = polled(served.url, futures)
    answers = [future.result() for future in futures]
    assert {answer.status_code for answer in answers} <= {202, 503}
    assert any(answer.status_code == 202 for answer in answers)
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    assert peak_bytes(served) < MAX_API_BYTES
    assert slowest < POLL_SECONDS


def test_the_largest_forms_at_once_wait_on_the_disk(served: Served) -> None:
    padded = picture() + bytes(MAX_BYTES - 1_000_000)
    pictures = form(content=padded, style=padded)
    before = peak_bytes(served)

    def send(_: int) -> httpx.Response:
        return httpx.post(f"{served.url}/v1/jobs", timeout=120, **pictures)

    with ThreadPoolExecutor(AT_ONCE) as clients:
        futures = [clients.submit(send, number) for number in range(AT_ONCE)]
        slowest = polled(served.url, futures)
    assert {future.result().status_code for future in futures} <= {202, 503}
    assert peak_bytes(served) - before < AT_ONCE * len(padded) / 2  # a quarter of what came
    assert slowest < POLL_SECONDS


# -- taking turns -------------------------------------------------------------------------------


def decode(room: DecodingRoom, size_bytes: int) -> None:
    with room.seat() as memory, memory(size_bytes):
        pass


def test_no_more_is_decoded_at_once_than_there_is_memory_for() -> None:
    room = DecodingRoom(seats=8, memory_bytes=100, patience_seconds=30)
    lock = threading.Lock()
    used, most = 0, 0

    def take(size_bytes: int) -> None:
        nonlocal used, most
        with room.seat() as memory, memory(size_bytes):
            with lock:
                used += size_bytes
                most = max(most, used)
            time.sleep(0.01)
            with lock:
                used -= size_bytes

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(take, [60, 30, 50, 10, 90, 20, 40, 100] * 4))
    assert 60 <= most <= 100


def test_a_picture_that_takes_more_than_all_memory_is_decoded_alone() -> None:
    room = DecodingRoom(seats=2, memory_bytes=100, patience_seconds=0.1)
    with room.seat() as memory, memory(1000), pytest.raises(Unavailable):
        decode(room, 1)
    decode(room, 1)


def test_a_large_picture_is_not_passed_by_small_ones_for_ever() -> None:
    room = DecodingRoom(seats=3, memory_bytes=100, patience_seconds=30)
    order: list[str] = []

    def take(name: str, size_bytes: int) -> None:
        with room.seat() as memory, memory(size_bytes):
            order.append(name)

    with room.seat() as memory, memory(50):
        large = threading.Thread(target=take, args=("large", 100))
        large.start()
        time.sleep(0.2)
        small = threading.Thread(target=take, args=("small", 10))
        small.start()
        time.sleep(0.2)
        assert order == []
    large.join(30)
    small.join(30)
    assert order == ["large", "small"]


def test_who_waits_too_long_for_a_seat_is_told_to_come_back() -> None:
    room = DecodingRoom(seats=1, memory_bytes=100, patience_seconds=0.1)
    with room.seat(), pytest.raises(Unavailable, match="try again"), room.seat():
        pass
    with room.seat():
        pass
    assert PATIENCE_SECONDS < 60  # which clients and proxies wait at least
