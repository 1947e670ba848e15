"""What it was measured on."""

import os
import platform
from pathlib import Path

import torch

import worker.engine.hardware as hardware


def description() -> list[str]:
    """Lines that name the machine and the versions."""
    device = hardware.resolve_device("auto")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    precision = hardware.resolve_precision("auto", device)
    gpu = hardware.device_name(device) if device.type == "cuda" else "no GPU"
    return [
        f"{_processor()}, {torch.get_num_threads()} threads, {memory / 2**30:.0f} GiB, {gpu}",
        f"{platform.platform()}, Python {platform.python_version()}, PyTorch {torch.__version__},"
        f" precision auto = {precision}",
        f"load of the last minute: {os.getloadavg()[0]:.1f}",
    ]


def _processor() -> str:
    """The processor's name and the instructions that decide how fast it is."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux
        return platform.machine()
    pairs = (line.partition(":") for line in lines)
    values = {name.strip(): value.strip() for name, _, value in pairs}
    flags = values.get("flags", "").split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{values.get('model name', platform.machine())} ({' '.join(known)})"
