"""What there is, what fits, and jobs that cannot fit refused before any work."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shared.footprint import Images
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, memory, stylization
from worker.engine.errors import OutOfMemory

CPU = torch.device("cpu")
IMAGES = Images((3000, 4000), [(800, 600)])


def test_available_memory_is_that_of_the_machine_or_less() -> None:
    pages = Path("/proc/meminfo").read_text()
    total = int(re.search(r"MemTotal: +(\d+)", pages).group(1)) * 1024
    assert 0 < memory.available_bytes(CPU) < total


def test_a_limit_of_the_process_counts() -> None:
    script = (
        "import resource, torch\n"
        "from worker.engine import memory\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {100 * 2**20},) * 2)\n"
        "print(memory.available_bytes(torch.device('cpu')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert 80 * 2**20 < int(done.stdout) <= 100 * 2**20
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize(
    "names",
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
    ids=["version 2", "version 1"],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, names: tuple[str, str, str]) -> None:
    limit, used, reclaimable = names
    (tmp_path / limit).write_text("1000000\n")
    (tmp_path / used).write_text("700000\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\n{reclaimable} 100000\n")
    assert list(memory._control_group_bytes(tmp_path)) == [400_000]


def test_a_container_without_limit_has_what_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("inactive_file 0\n")
    assert list(memory._control_group_bytes(tmp_path)) == []


def largest(parameters: Parameters, available: int) -> int:
    said = memory.what_fits(parameters, IMAGES, "float32", CPU, available)
    return int(re.search(r"with these parameters size (\d+) fits$", said).group(1))


def test_the_sentence_names_the_picture_what_it_takes_what_there_is_and_what_fits() -> None:
    said = memory.what_fits(Parameters(size=4096), IMAGES, "float32", CPU, 8_000_000_000)
    assert re.fullmatch(
        r"too little memory for a picture of 4096 x 3072 px: it takes about \d+ GB and there are"
        r" 8 GB; with these parameters size \d+ fits",
        said,
    )


def test_the_size_that_fits_does_and_the_next_does_not() -> None:
    parameters = Parameters(size=4096)
    available = 6_000_000_000
    size = largest(parameters, available)
    assert size % 32 == 0

    def needed(size: int) -> int:
        smaller = parameters.model_copy(update={"size": size})
        return memory.needed_bytes(smaller, IMAGES, "float32", CPU, recompute=True)

    assert needed(size) <= available < needed(size + 32)


def test_a_size_is_named_that_is_smaller_than_the_one_that_failed() -> None:
    # It failed although the estimate says that there is plenty
    assert largest(Parameters(size=512), 10**12) < 512


def test_it_is_said_when_nothing_fits() -> None:
    said = memory.what_fits(Parameters(size=512), IMAGES, "float32", CPU, 1_000_000)
    assert said.endswith("no size fits")


def test_a_picture_that_clearly_does_not_fit_is_refused_before_any_work(
    vgg: VGG19, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stylization, "available_bytes", lambda _: 200_000_000)
    with pytest.raises(OutOfMemory, match=r"4096 x 3072 px.* with these parameters size \d+ fits"):
        Stylization(vgg, content, [style], Parameters(size=4096, init="noise"))


def test_where_only_less_memory_fits_the_run_takes_less_and_paints_the_same(
    vgg: VGG19, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = Parameters(size=64, steps=2, pyramid=None, precision="float32")
    images = Images((48, 64), [(56, 50)])
    needed = [
        memory.needed_bytes(parameters, images, "float32", CPU, recompute=recompute)
        for recompute in (True, False)
    ]
    pictures = []
    for available in (10**12, sum(needed) // 2):
        monkeypatch.setattr(stylization, "available_bytes", lambda _, known=available: known)
        run = Stylization(vgg, content, [style], parameters)
        for _ in run:
            pass
        pictures.append(run.picture())
    assert memory.has_to_recompute(parameters, images, "float32", CPU, sum(needed) // 2)
    assert not memory.has_to_recompute(parameters, images, "float32", CPU, needed[1])
    assert torch.equal(*pictures)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how much is held is Linux's")
def test_what_earlier_work_has_left_is_given_back_where_it_is_needed(
    vgg: VGG19, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine has malloc keep what is freed, and what is kept counts as taken."""
    parameters = Parameters(size=64, steps=2, pyramid=None, precision="float32")
    images = Images((48, 64), [(56, 50)])
    needed = memory.needed_bytes(parameters, images, "float32", CPU, recompute=False)
    machine = resident_bytes() + needed + 100_000_000
    monkeypatch.setattr(stylization, "available_bytes", lambda _: machine - resident_bytes())
    tensors = [torch.ones(2**20) for _ in range(80)]  # of 4 MB
    del tensors
    assert machine - resident_bytes() < needed
    assert not Stylization(vgg, content, [style], parameters)._recompute


def resident_bytes() -> int:
    """Memory that this process holds, as the machine sees it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
