"""Which device computes, and in which arithmetic. The hardware is asked, not its name."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from worker.engine.errors import DeviceError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def resolve_device(name: str) -> torch.device:
    """The device called `name`: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N") from None
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise DeviceError(f"device {name!r} is not supported: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    index = device.index or 0
    if index >= count:
        raise DeviceError(f"there is no device {name!r}: this machine has {count} CUDA devices")
    return torch.device("cuda", index)


def resolve_precision(precision: str, device: torch.device) -> str:
    """A key of `PRECISIONS`: `precision` itself, or for `auto` the one that is faster on `device`.

    `auto` must not depend on timing: two runs on one machine have to give the same picture.
    """
    if precision == "auto":
        return "bfloat16" if has_fast_bfloat16(device) else "float32"
    return precision


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware, rather than by converting to float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.machine().lower() in ("x86_64", "amd64"):
        # oneDNN also takes bfloat16 without these instructions, slower than float32
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def products_of_bfloat16() -> Iterator[None]:
    """Multiply float32 matrices that hold values of bfloat16 in the hardware for those.

    Every product is exact then (TF32, on a GPU, has more digits yet), and sums stay float32: the
    same result as without, in half the time on a CPU. What bfloat16 cannot hold would be rounded.
    """
    kinds: dict[Any, str] = {
        torch.backends.mkldnn.matmul: "bf16",  # type: ignore[attr-defined]
        torch.backends.cuda.matmul: "tf32",
    }
    before = [kind.fp32_precision for kind in kinds]
    for kind, precision in kinds.items():
        kind.fp32_precision = precision
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


def device_name(device: torch.device) -> str:
    """What the device is, in words: a GPU's product name, or the processor's architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
