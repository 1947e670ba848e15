"""Workers on one machine do not fight for its cores."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis
import torch

from shared.cores import Cores
from shared.settings import Settings
from shared.workers import Worker, WorkerRegistry
from tests.shared.test_workers import worker
from worker.threads import Threads, use_threads

CORES = Cores(count=8, pool="some")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    use_threads(before)


@pytest.fixture
def registry(valkey: redis.Redis) -> WorkerRegistry:
    return WorkerRegistry(valkey, Settings())


def on(name: str, cores: str = "some") -> Worker:
    return worker(name).model_copy(update={"cores": cores})


def test_a_worker_alone_has_all_cores_and_two_divide_them(registry: WorkerRegistry) -> None:
    threads = Threads(Settings(), CORES, registry)
    registry.announce(on("a"))
    assert threads.take() == torch.get_num_threads() == 8
    registry.announce(on("b"))
    registry.announce(on("c", cores="others"))
    assert threads.take() == torch.get_num_threads() == 4
    registry.withdraw(on("b"))
    assert threads.take() == torch.get_num_threads() == 8


def test_what_the_settings_say_goes(registry: WorkerRegistry) -> None:
    registry.announce(on("a"))
    assert Threads(Settings(threads=3), CORES, registry).take() == 3
    assert torch.get_num_threads() == 3


def test_every_library_that_computes_keeps_to_it() -> None:
    """One thread does not use the time of two, whatever PyTorch and libvips do."""
    script = """
import time
from worker.threads import use_threads
import numpy, pyvips, torch
use_threads(1)
picture = torch.rand(1, 64, 128, 128)
photograph = pyvips.Image.new_from_array(numpy.zeros((1000, 1000, 3), numpy.uint8))
started, used = time.perf_counter(), time.process_time()
while time.perf_counter() - started < 1:
    for dtype in (torch.float32, torch.bfloat16):
        torch.nn.functional.conv2d(picture.to(dtype), torch.rand(64, 64, 3, 3, dtype=dtype))
    (torch.rand(512, 512) @ torch.rand(512, 512)).exp().sum()
    torch.linalg.eigh(torch.eye(128))
    photograph.gaussblur(2).pngsave_buffer()
print((time.process_time() - used) / (time.perf_counter() - started))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(done.stdout) < 1.3
