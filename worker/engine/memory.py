"""How much memory there is and a picture takes, and what to do when there is too little."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from shared import control_groups
from shared.errors import InvalidInput
from shared.footprint import CLEARLY, Images, peak_bytes
from shared.levels import plan_levels
from shared.parameters import MIN_SIZE_PX, Parameters
from worker.engine.errors import OutOfMemory

STATM = Path("/proc/self/statm")
SIZE_STEP_PX = 32

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8

# What PyTorch's RuntimeError says of it: on a CPU, and where oneDNN, for its code, or a library of
# CUDA wanted memory.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "could not create a primitive",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had too little memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        text in str(error) for text in OUT_OF_MEMORY
    )


def keep_freed_memory() -> None:
    """Have malloc keep what is freed, to hand it out again, until `release_memory`.

    By default glibc maps every tensor of more than 32 MB anew, and the kernel fills it with zeros
    page by page: a quarter of a step at 1024 px. PyTorch's allocator of a GPU keeps it by itself.
    Holds for the whole process.
    """
    _malloc("mallopt", M_MMAP_MAX, 0)
    _malloc("mallopt", M_ARENA_MAX, 1)  # those of other threads do not keep
    _malloc("mallopt", M_TRIM_THRESHOLD, -1)


def release_memory(device: torch.device) -> None:
    """Give back what nobody uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        _malloc("malloc_trim", 0)


def taken_bytes(device: torch.device) -> int | None:
    """Memory that this process takes: of its GPU, or of the machine. None where it is not told."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    if not STATM.exists():
        return None
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


def available_bytes(device: torch.device) -> int:
    """Memory that can still be had on `device`.

    On a GPU also what PyTorch keeps in its cache; on a CPU the least of what the machine has, what
    the process's control groups allow, and its own limit of addresses. Where nobody knows, a number
    that nothing exceeds.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    return min([sys.maxsize, *_machine_bytes(), *_control_group_bytes(), *_address_bytes()])


def needed_bytes(
    parameters: Parameters,
    images: Images,
    precision: str,
    device: torch.device,
    *,
    recompute: bool,
) -> int:
    """What painting takes on `device`, on top of `images` as they were given, which are there
    already.

    Raises:
        InvalidInput: of `shared.errors`; an image is too small for the parameters.
    """
    levels = plan_levels(images.content, images.styles, parameters)
    return peak_bytes(
        parameters, levels, images, precision, on_cpu=device.type == "cpu", recompute=recompute
    )


def has_to_recompute(
    parameters: Parameters, images: Images, precision: str, device: torch.device, available: int
) -> bool:
    """Whether painting fits into `available` bytes only if activations are computed again rather
    than kept.

    To be asked before any work: a CPU hands out memory that it does not have, and when it is used
    the kernel ends the process, so that no error ever comes. What exceeds the memory by less than a
    quarter even so is tried; the estimate may be wrong by that.

    Raises:
        OutOfMemory: the picture clearly does not fit. The message says what would.
    """
    least = needed_bytes(parameters, images, precision, device, recompute=True)
    if least > CLEARLY * available:
        raise OutOfMemory(what_fits(parameters, images, precision, device, available))
    return needed_bytes(parameters, images, precision, device, recompute=False) > available


def what_fits(
    parameters: Parameters, images: Images, precision: str, device: torch.device, available: int
) -> str:
    """A sentence for somebody whose picture did not fit into `available` bytes: what it takes, what
    there was before it began, and the largest size that would have fitted, all else as it is."""
    needed = needed_bytes(parameters, images, precision, device, recompute=True)
    level = plan_levels(images.content, images.styles, parameters)[-1]
    sentence = (
        f"too little memory for a picture of {level.width} x {level.height} px: it takes about"
        f" {_gigabytes(needed)} and there are {_gigabytes(available)}"
    )
    # What did not fit although it should have takes more than was thought
    size = _largest_size(
        parameters, images, precision, device, min(available, round(needed / CLEARLY))
    )
    if size is None:
        return f"{sentence}; with these parameters and images no size fits"
    return f"{sentence}; with these parameters size {size} fits"


def _largest_size(
    parameters: Parameters, images: Images, precision: str, device: torch.device, available: int
) -> int | None:
    """The largest multiple of SIZE_STEP_PX below the size that was asked for that fits."""
    below = (parameters.size - 1) // SIZE_STEP_PX * SIZE_STEP_PX
    for size in range(below, MIN_SIZE_PX - 1, -SIZE_STEP_PX):
        smaller = parameters.model_copy(update={"size": size})
        try:
            needed = needed_bytes(smaller, images, precision, device, recompute=True)
        except InvalidInput:
            return None  # an image would be too small, and smaller yet at any smaller size
        if needed <= available:
            return size
    return None


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"


def _malloc(function: str, *arguments: int) -> None:
    """Call a function that glibc's malloc has beside the standard ones; nothing elsewhere."""
    if hasattr(libc := ctypes.CDLL(None), function):
        getattr(libc, function)(*arguments)


def _machine_bytes() -> Iterator[int]:
    """Memory that the machine can give without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    except OSError:  # no Linux
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _control_group_bytes(root: Path = control_groups.ROOT) -> Iterator[int]:
    """What each control group above this process leaves it, in version 2 and in version 1."""
    for folder in control_groups.folders("memory", root):
        for limit, used, reclaimable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                most = int((folder / limit).read_text())
                now = int((folder / used).read_text())
                statistics = (folder / "memory.stat").read_text()
            except (OSError, ValueError):  # there is none, or it says "max"
                continue
            pairs = dict(line.split() for line in statistics.splitlines())
            yield max(0, most - now + int(pairs.get(reclaimable, 0)))


def _address_bytes() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        pages = int(STATM.read_text().split()[0])
    except OSError:  # no Linux
        pages = 0
    yield max(0, limit - pages * resource.getpagesize())
