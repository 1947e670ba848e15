"""VGG-19 (Simonyan & Zisserman, arXiv 1409.1556) as a straight line, and the way back through it.

The layers carry the paper's names: `convN_M` is a convolution's output, `reluN_M` what its ReLU
makes of it, `poolN` the pooling that ends a block. The weights are constants and the picture is the
only variable, so no autograd tape is needed: the backward pass walks the line in reverse.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.network import LINE
from shared.parameters import LAYER_NAMES, Parameters
from worker.engine.activations import unit_activations
from worker.engine.errors import InvalidInput
from worker.engine.hardware import device_name, resolve_device, resolve_precision
from worker.engine.pooling import Pooling
from worker.engine.weights import MEAN, STD, Weights

# Looks at one layer: (layer, features as (positions, channels)).
Read = Callable[[str, Tensor], None]
# Adds a loss's gradient at one layer, in place: (layer, features, gradient), both (positions,
# channels).
Inject = Callable[[str, Tensor, Tensor], None]


@dataclass(frozen=True)
class Architecture:
    """In what the network may differ from the one that was trained. Names as in `Parameters`."""

    pooling: str = "max"
    pooling_rescale: bool = False
    padding: str = "zero"
    activations: str = "original"

    @classmethod
    def of(cls, parameters: Parameters) -> "Architecture":
        """What `parameters` ask for."""
        return cls(**{field.name: getattr(parameters, field.name) for field in fields(cls)})


TRAINED = Architecture()


@dataclass(frozen=True)
class Convolution:
    """A 3 x 3 convolution and its adjoint.

    The gradient by the input is a convolution of the gradient by the output, with the kernel
    rotated by 180° and its channels exchanged.
    """

    kernel: Tensor  # (O, I, 3, 3)
    bias: Tensor  # (O,)
    adjoint: Tensor  # (I, O, 3, 3)

    def forward(self, image: Tensor, padding: str = "zero") -> Tensor:
        """(1, I, H, W) -> (1, O, H, W)."""
        if padding == "replicate":
            return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), self.kernel, self.bias)
        return F.conv2d(image, self.kernel, self.bias, padding=1)

    def backward(self, gradient: Tensor, padding: str = "zero") -> Tensor:
        """(1, O, H, W) -> (1, I, H, W)."""
        if padding == "replicate":
            padded = F.conv2d(gradient, self.adjoint, padding=2)
            return _fold_border(_fold_border(padded, 2), 3)
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
        self._convolutions: dict[tuple[str, torch.dtype], dict[str, Convolution]] = {}

    @property
    def device_name(self) -> str:
        """What the device is, in words."""
        return device_name(self.device)

    def precision(self, wanted: str) -> str:
        """The precision that is used here when `wanted` is auto, float32 or bfloat16."""
        return resolve_precision(wanted, self.device)

    def network(
        self,
        layers: Iterable[str],
        dtype: torch.dtype = torch.float32,
        architecture: Architecture = TRAINED,
        *,
        recompute: bool = False,
    ) -> "Network":
        """The network that computes `layers`, and nothing deeper, with activations of type `dtype`.

        With `recompute` it keeps one block's activations at a time, and computes them again on the
        way back: the same numbers with less memory, in a third more time.

        Raises:
            InvalidInput: a layer is unknown.
        """
        key = (architecture.activations, dtype)
        if key not in self._convolutions:
            self._convolutions[key] = self._prepare(*key)
        return Network(
            self._convolutions[key],
            layers,
            dtype,
            self.device,
            architecture,
            recompute=recompute,
        )

    def _prepare(self, activations: str, dtype: torch.dtype) -> dict[str, Convolution]:
        """The weights on the device, in the layout and type in which they are used."""

        def place(tensor: Tensor, dtype: torch.dtype) -> Tensor:
            return tensor.to(self.device, dtype).contiguous(memory_format=torch.channels_last)

        weights = unit_activations(self._weights) if activations == "unit" else self._weights
        prepared = {}
        for name, (kernel, bias) in weights.convolutions.items():
            # Three channels are too few for bfloat16 to pay, and the picture keeps its bits
            forward_dtype = torch.float32 if name == "conv1_1" else dtype
            prepared[name] = Convolution(
                kernel=place(kernel, forward_dtype),
                bias=bias.to(self.device, forward_dtype),
                adjoint=place(kernel.flip(2, 3).transpose(0, 1), dtype),
            )
        return prepared


@dataclass
class Block:
    """The convolutions between two poolings, as one pass went through them."""

    input: Tensor  # (1, C, H, W), what the first of them took
    outputs: dict[str, Tensor]  # name -> (1, C, H, W), of every ReLU and every layer that is read


class Network:
    """VGG-19 cut after the deepest of the layers that are read."""

    def __init__(
        self,
        convolutions: Mapping[str, Convolution],
        layers: Iterable[str],
        dtype: torch.dtype,
        device: torch.device,
        architecture: Architecture,
        *,
        recompute: bool,
    ) -> None:
        self.layers = tuple(sorted(set(layers), key=depth))
        self._dtype = dtype
        self._recompute = recompute
        self._padding = architecture.padding
        self._pooling = Pooling.named(architecture.pooling, rescale=architecture.pooling_rescale)
        self._convolutions = convolutions
        line = LINE[: depth(self.layers[-1]) + 1]
        blocks = [tuple(name for name in line if name[4] == str(number)) for number in range(1, 6)]
        self._blocks = [tuple(n for n in block if n[:4] != "pool") for block in blocks if block]
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

    @torch.no_grad()
    def forward(self, picture: Tensor, read: Read) -> list[Block]:
        """Go through the network with `picture`, (3, H, W) float32 RGB in [0, 1].

        `read` is called at every layer that is read, from the first to the deepest, with its name
        and features. Returns what `backward` needs.
        """
        x = (picture.unsqueeze(0) - self._mean) / self._std
        x = x.contiguous(memory_format=torch.channels_last)
        blocks = []
        with _exact_convolutions():
            for number, names in enumerate(self._blocks):
                x = self._pooling.forward(x) if number else x
                block = Block(x, {})
                x = self._run(names, block)
                for name in names:
                    if name in self.layers:
                        read(name, _matrix(block.outputs[name]))
                if self._recompute:
                    block.outputs = {}
                blocks.append(block)
        return blocks

    @torch.no_grad()
    def backward(self, blocks: list[Block], inject: Inject) -> Tensor:
        """Gradient by the picture, (3, H, W) float32. `blocks` are used up.

        `inject` is called at every layer that is read, from the deepest to the first, with the
        gradient that has arrived there; it adds the gradient of that layer's own losses.
        """
        gradient: Tensor | None = None
        with _exact_convolutions():
            for names in reversed(self._blocks):
                block = blocks.pop()
                if not block.outputs:
                    self._run(names, block)
                last = block.outputs[names[-1]]
                if gradient is None:
                    gradient = torch.zeros_like(last)
                else:
                    gradient = self._pooling.backward(gradient, last)
                gradient = self._back(names, block, gradient, inject)
        if gradient is None:
            raise AssertionError("a network has at least one layer")
        return (gradient.float() / self._std).squeeze(0).contiguous()

    def _run(self, names: Sequence[str], block: Block) -> Tensor:
        """Fill the outputs of `block`, and return the last."""
        x = block.input
        for name in names:
            if name.startswith("conv"):
                x = self._convolutions[name].forward(x, self._padding_of(name)).to(self._dtype)
            else:
                x = x.relu() if "conv" + name[4:] in self.layers else x.relu_()
            if name.startswith("relu") or name in self.layers:
                block.outputs[name] = x
        return x

    def _back(self, names: Sequence[str], block: Block, gradient: Tensor, inject: Inject) -> Tensor:
        """From the gradient by the last output of a block to that by its input."""
        for name in reversed(names):
            if name in self.layers:
                inject(name, _matrix(block.outputs[name]), _matrix(gradient))
            if name.startswith("conv"):
                gradient = self._convolutions[name].backward(gradient, self._padding_of(name))
            else:
                _mask_relu(gradient, block.outputs.pop(name))
        return gradient

    def _padding_of(self, name: str) -> str:
        """Only the first convolution sees the border of the picture itself."""
        return self._padding if name == "conv1_1" else "zero"


def depth(layer: str) -> int:
    """Position of `layer` in the network.

    Raises:
        InvalidInput: there is no such layer; the nearest name is suggested.
    """
    if layer not in LAYER_NAMES:
        near = difflib.get_close_matches(layer, sorted(LAYER_NAMES), n=1, cutoff=0)[0]
        raise InvalidInput(f"unknown layer {layer!r}: did you mean {near!r}?")
    return LINE.index(layer)


def _matrix(output: Tensor) -> Tensor:
    """(1, C, H, W) in channels_last -> (H W, C), the same memory."""
    return output.squeeze(0).permute(1, 2, 0).flatten(0, 1)


def _mask_relu(gradient: Tensor, output: Tensor) -> None:
    """Zero the gradient where the ReLU's output is zero, in place and in one pass."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


def _fold_border(gradient: Tensor, dim: int) -> Tensor:
    """Give the gradient of a repeated border to what was repeated: (..., n + 2, ...) -> n."""
    inner = gradient.narrow(dim, 1, gradient.shape[dim] - 2).clone()
    inner.narrow(dim, 0, 1).add_(gradient.narrow(dim, 0, 1))
    last = inner.shape[dim] - 1
    inner.narrow(dim, last, 1).add_(gradient.narrow(dim, last + 2, 1))
    return inner


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Have cuDNN take float32 at its word (no TF32) and give the same result every time."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield
