"""The most memory that a piece of work held at a time."""

from pathlib import Path

import torch

from worker.engine.memory import release_memory


def forget_peak(device: torch.device) -> int:
    """Begin a new peak; what is held now, bytes: resident memory, or tensors on a GPU."""
    release_memory(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")
    return _resident_bytes("VmRSS")


def peak_bytes(device: torch.device) -> int:
    """The most that was held since `forget_peak`, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident_bytes("VmHWM")


def _resident_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
