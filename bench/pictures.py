"""Pictures to measure with: the samples, and real ones that are no part of the project."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
OTHERS = Path(__file__).resolve().parents[2] / "shared" / "images"
PHOTOGRAPH, PAINTING = SAMPLES / "harbor.jpg", SAMPLES / "swirl.jpg"


def read(path: Path, shape: tuple[int, int]) -> Tensor:
    """The picture resampled to `shape`, height and width: (3, H, W) in [0, 1]."""
    height, width = shape
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous() / 255


def shape_at(path: Path, size: int) -> tuple[int, int]:
    """Height and width of the picture with a long side of `size`."""
    with Image.open(path) as image:
        factor = size / max(image.size)
        return round(image.height * factor), round(image.width * factor)


def landscape(size: int) -> tuple[int, int]:
    """Height and width of a picture of 4:3 with a long side of `size`."""
    return size * 3 // 4, size
