"""How much memory a picture takes, and what to do when there is too little."""

import gc

import torch

from shared.levels import Level
from shared.parameters import Parameters


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had too little memory."""
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in str(error)  # PyTorch's RuntimeError on a CPU
    )


def release_memory(device: torch.device) -> None:
    """Give back what nobody uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def what_fits(parameters: Parameters, level: Level, device: torch.device) -> str:
    """A sentence for somebody whose picture did not fit at `level`, with the largest size that
    would have."""
    return f"too little memory for a picture of {level.width} x {level.height} px"
