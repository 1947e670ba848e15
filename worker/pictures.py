"""Pictures as Pillow knows them, and as the engine does."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) float32 in [0, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).to(torch.float32).div_(255)


def to_image(picture: Tensor) -> Image.Image:
    """(H, W, 3) uint8 as a picture."""
    return Image.fromarray(picture.cpu().numpy())
