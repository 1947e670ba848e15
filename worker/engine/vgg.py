"""VGG-19 (Simonyan & Zisserman, arXiv 1409.1556) as a straight line, and the way back through it.

The layers carry the paper's names: `convN_M` is a convolution's output, `reluN_M` what its ReLU
makes of it, `poolN` the pooling that ends a block. The weights are constants and the picture is the
only variable, so no autograd tape is needed: the backward pass walks the line in reverse.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.parameters import CONVS_PER_BLOCK, LAYER_NAMES
from worker.engine.errors import InvalidInput
from worker.engine.hardware import device_name, resolve_device, resolve_precision
from worker.engine.weights import MEAN, STD, Weights

# conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, ... relu5_4
LINE = tuple(
    name
    for block, count in enumerate(CONVS_PER_BLOCK, start=1)
    for name in (
        *(f"{kind}{block}_{index}" for index in range(1, count + 1) for kind in ("conv", "relu")),
        f"pool{block}",
    )
)[:-1]

# Adds a loss's gradient at one layer, in place: (layer, gradient as (positions, channels)).
Inject = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Convolution:
    """A 3 x 3 convolution and its adjoint.

    The gradient by the input is a convolution of the gradient by the output, with the kernel
    rotated by 180° and its channels exchanged.
    """

    kernel: Tensor  # (O, I, 3, 3)
    bias: Tensor  # (O,)
    adjoint: Tensor  # (I, O, 3, 3)

    def forward(self, image: Tensor) -> Tensor:
        """(1, I, H, W) -> (1, O, H, W)."""
        return F.conv2d(image, self.kernel, self.bias, padding=1)

    def backward(self, gradient: Tensor) -> Tensor:
        """(1, O, H, W) -> (1, I, H, W)."""
        return F.conv2d(gradient, self.adjoint, padding=1)


class VGG19:
    """The network on one device. Loaded once, shared by many runs; see `Network` for the work
    itself."""

    def __init__(self, weights: Weights, device: str = "auto") -> None:
        """`device` is auto, cpu, cuda or cuda:N.

        Raises:
            DeviceError: there is no such device.
        """
        self.name = weights.name
        self.sha256 = weights.sha256
        self.device = resolve_device(device)
        self._weights = weights
        self._convolutions: dict[torch.dtype, dict[str, Convolution]] = {}

    @property
    def device_name(self) -> str:
        """What the device is, in words."""
        return device_name(self.device)

    def precision(self, wanted: str) -> str:
        """The precision that is used here when `wanted` is auto, float32 or bfloat16."""
        return resolve_precision(wanted, self.device)

    def network(self, layers: Iterable[str], dtype: torch.dtype = torch.float32) -> "Network":
        """The network that computes `layers`, and nothing deeper, with activations of type `dtype`.

        Raises:
            InvalidInput: a layer is unknown.
        """
        if dtype not in self._convolutions:
            self._convolutions[dtype] = self._prepare(dtype)
        return Network(self._convolutions[dtype], layers, dtype, self.device)

    def _prepare(self, dtype: torch.dtype) -> dict[str, Convolution]:
        """The weights on the device, in the layout and type in which they are used."""

        def place(tensor: Tensor, dtype: torch.dtype) -> Tensor:
            return tensor.to(self.device, dtype).contiguous(memory_format=torch.channels_last)

        prepared = {}
        for name, (kernel, bias) in self._weights.convolutions.items():
            # Three channels are too few for bfloat16 to pay, and the picture keeps its bits
            forward_dtype = torch.float32 if name == "conv1_1" else dtype
            prepared[name] = Convolution(
                kernel=place(kernel, forward_dtype),
                bias=bias.to(self.device, forward_dtype),
                adjoint=place(kernel.flip(2, 3).transpose(0, 1), dtype),
            )
        return prepared


@dataclass(frozen=True)
class Features:
    """What one forward pass leaves behind: the layers that were asked for, and what going back
    needs."""

    layers: Mapping[str, Tensor]  # name -> (H x W positions, C channels)
    outputs: Mapping[str, Tensor]  # name -> (1, C, H, W), of every ReLU and every layer read
    pooled: Mapping[str, Tensor]  # name -> (1, C, H/2, W/2), index of each maximum


class Network:
    """VGG-19 cut after the deepest of the layers that are read."""

    def __init__(
        self,
        convolutions: Mapping[str, Convolution],
        layers: Iterable[str],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.layers = tuple(sorted(set(layers), key=depth))
        self.dtype = dtype
        self.device = device
        self._convolutions = convolutions
        self._line = LINE[: depth(self.layers[-1]) + 1]
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

    @torch.no_grad()
    def forward(self, picture: Tensor) -> Features:
        """Features of `picture`, (3, H, W) float32 RGB in [0, 1]."""
        outputs: dict[str, Tensor] = {}
        pooled: dict[str, Tensor] = {}
        x = (picture.unsqueeze(0) - self._mean) / self._std
        x = x.contiguous(memory_format=torch.channels_last)
        with _exact_convolutions():
            for name in self._line:
                kind = name[:4]
                if kind == "conv":
                    x = self._convolutions[name].forward(x).to(self.dtype)
                elif kind == "relu":
                    x = x.relu() if "conv" + name[4:] in self.layers else x.relu_()
                else:
                    x, pooled[name] = F.max_pool2d(x, 2, return_indices=True)
                if kind == "relu" or name in self.layers:
                    outputs[name] = x
        return Features({name: _matrix(outputs[name]) for name in self.layers}, outputs, pooled)

    @torch.no_grad()
    def backward(self, features: Features, inject: Inject) -> Tensor:
        """Gradient by the picture, (3, H, W) float32.

        `inject` is called at every layer that is read, from the deepest to the first, with the
        gradient that has arrived there; it adds the gradient of that layer's own losses.
        """
        gradient = torch.zeros_like(features.outputs[self.layers[-1]])
        with _exact_convolutions():
            for name in reversed(self._line):
                kind = name[:4]
                if name in self.layers:
                    inject(name, _matrix(gradient))
                if kind == "conv":
                    gradient = self._convolutions[name].backward(gradient)
                elif kind == "relu":
                    _mask_relu(gradient, features.outputs[name])
                else:
                    gradient = _unpool(
                        gradient, features.outputs[_before(name)], features.pooled[name]
                    )
        return (gradient.float() / self._std).squeeze(0).contiguous()


def depth(layer: str) -> int:
    """Position of `layer` in the network.

    Raises:
        InvalidInput: there is no such layer; the nearest name is suggested.
    """
    if layer not in LAYER_NAMES:
        near = difflib.get_close_matches(layer, sorted(LAYER_NAMES), n=1, cutoff=0)[0]
        raise InvalidInput(f"unknown layer {layer!r}: did you mean {near!r}?")
    return LINE.index(layer)


def smallest_side(layers: Iterable[str]) -> int:
    """Shortest side of a picture, px, at which the deepest of `layers` has at least one
    position."""
    deepest = max(layers, key=depth)
    pools = sum(name.startswith("pool") for name in LINE[: depth(deepest)])
    return int(2**pools)


def _before(name: str) -> str:
    return LINE[LINE.index(name) - 1]


def _matrix(output: Tensor) -> Tensor:
    """(1, C, H, W) in channels_last -> (H W, C), the same memory."""
    return output.squeeze(0).permute(1, 2, 0).flatten(0, 1)


def _mask_relu(gradient: Tensor, output: Tensor) -> None:
    """Zero the gradient where the ReLU's output is zero, in place and in one pass."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


def _unpool(gradient: Tensor, before: Tensor, indices: Tensor) -> Tensor:
    """Send the gradient of a 2 x 2 max-pool back to where each maximum was."""
    unpooled: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        gradient, before, [2, 2], [2, 2], [0, 0], [1, 1], False, indices
    )
    return unpooled


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Have cuDNN take float32 at its word (no TF32) and give the same result every time."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield
