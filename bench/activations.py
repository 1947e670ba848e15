"""The mean activations of VGG-19 over photographs, as `worker/engine/activations.py` holds them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from bench.pictures import OTHERS, PHOTOGRAPH
from shared.parameters import CONV_NAMES
from worker.engine import VGG19, load_weights

SIZE_PX = 512
PHOTOGRAPHS = (
    PHOTOGRAPH,
    *(OTHERS / f"{name}.jpg" for name in ("tubingen", "golden_gate", "hoovertowernight")),
)


def measure(
    console: Console, photographs: Sequence[Path] = (), weights_name: str = "oxford-q8"
) -> None:
    """Print the table for `photographs`, by default those of PHOTOGRAPHS that are there."""
    photographs = photographs or [path for path in PHOTOGRAPHS if path.is_file()]
    console.print("over " + ", ".join(path.name for path in photographs))
    vgg = VGG19(load_weights(weights_name), "cpu")
    means = torch.stack([mean_activations(vgg, _read(path)) for path in photographs])
    console.print(f'    "{vgg.sha256}": (')
    for mean in means.mean(dim=0).tolist():
        console.print(f"        {mean:.5g},")
    console.print("    ),")
    spread = (means.amax(dim=0) / means.amin(dim=0)).max()
    console.print(f"the largest photograph's over the smallest's: up to {spread:.2f}")


def mean_activations(vgg: VGG19, picture: Tensor) -> Tensor:
    """Mean after the ReLU of each convolution, (16,), for `picture`, (3, H, W) in [0, 1]."""
    network = vgg.network(name.replace("conv", "relu") for name in CONV_NAMES)
    means: list[Tensor] = []
    network.forward(picture, lambda _, features: means.append(features.mean()))
    return torch.stack(means)


def _read(path: Path) -> Tensor:
    """The photograph with a long side of SIZE_PX at most, (3, H, W) in [0, 1]."""
    with Image.open(path) as image:
        image.thumbnail((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)
