"""VGG-19 (Simonyan & Zisserman, arXiv 1409.1556) as a straight line, and the way back through it.

The layers carry the paper's names: `convN_M` is a convolution's output, `reluN_M` what its ReLU
makes of it, `poolN` the pooling that ends a block. The weights are constants and the picture is the
only variable, so no autograd tape is needed: the backward pass walks the line in reverse.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from shared.network import CHEAP, LINE
from shared.parameters import LAYER_NAMES, Parameters
from worker.engine.activations import unit_activations
from worker.engine.cache import TargetCache
from worker.engine.convolution import Convolution, exact_convolutions, picture_in_parts
from worker.engine.errors import InvalidInput
from worker.engine.hardware import device_name, resolve_device, resolve_precision
from worker.engine.memory import keep_freed_memory
from worker.engine.pooling import Pooled, Pooling
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


class VGG19:
    """The network on one device. Loaded once, shared by many runs; see `Network` for the work
    itself."""

    def __init__(
        self, weights: Weights, device: str = "auto", *, target_cache_bytes: int = 0
    ) -> None:
        """`device` is auto, cpu, cuda or cuda:N.

        Up to `target_cache_bytes` of targets are kept for later runs with the same images.

        Raises:
            DeviceError: there is no such device.
        """
        self.name = weights.name
        self.sha256 = weights.sha256
        self.device = resolve_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.targets = TargetCache(target_cache_bytes)
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
        way back: the same numbers, and much less memory where there is no way back. Where there is
        one, the first block alone takes about as much as keeping them all.

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
        weights = unit_activations(self._weights) if activations == "unit" else self._weights
        return {
            name: Convolution.prepare(
                kernel, bias, self.device, dtype, of_picture=name == "conv1_1"
            )
            for name, (kernel, bias) in weights.convolutions.items()
        }


@dataclass
class Block:
    """The convolutions between two poolings, as one pass went through them."""

    input: Tensor  # (1, C, H, W), what the first of them took
    outputs: dict[str, Tensor]  # name -> (1, C, H, W), of ReLUs and of layers that are read
    pooled: Pooled | None = None  # from the last of them; None in the last block

    def forget(self, names: Iterable[str]) -> None:
        """Do not keep the outputs of these names."""
        for name in names:
            self.outputs.pop(name, None)


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
        x = picture_in_parts((picture.unsqueeze(0) - self._mean) / self._std, self._dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        blocks: list[Block] = []
        with exact_convolutions():
            for names in self._blocks:
                block = Block(x, {})
                self._run(names, block)
                for name in names:
                    if name in self.layers:
                        read(name, _matrix(block.outputs[name]))
                x = self._pool(names, block)
                if self._recompute:
                    block.forget(names)
                    block.pooled = None
                blocks.append(block)
        return blocks

    @torch.no_grad()
    def backward(self, blocks: list[Block], inject: Inject) -> Tensor:
        """Gradient by the picture, (3, H, W) float32. `blocks` are used up.

        `inject` is called at every layer that is read, from the deepest to the first, with the
        gradient that has arrived there; it adds the gradient of that layer's own losses.
        """
        gradient = torch.empty(0)
        with exact_convolutions():
            for names in reversed(self._blocks):
                block = blocks.pop()
                if self._recompute:
                    self._run(names, block)
                    self._pool(names, block)
                if block.pooled is None:  # the last block: nothing has arrived yet
                    gradient = torch.zeros_like(block.outputs[names[-1]])
                else:
                    # What was pooled is zero where all is that it comes from: no gradient there
                    _mask_relu(gradient, block.pooled.features)
                    gradient = self._pooling.backward(gradient, block.pooled)
                    block.pooled = None
                for name in reversed(names):
                    if name == CHEAP[-1] and name not in block.outputs:
                        self._run(CHEAP, block)
                    if name in self.layers:
                        inject(name, _matrix(block.outputs[name]), _matrix(gradient))
                    if name.startswith("conv"):
                        convolution = self._convolutions[name]
                        gradient = convolution.backward(gradient, self._padding_of(name))
                    elif name in block.outputs:  # else it was masked where it was pooled
                        _mask_relu(gradient, block.outputs.pop(name))
        return (gradient.float() / self._std).squeeze(0).contiguous()

    def _run(self, names: Sequence[str], block: Block) -> None:
        """Fill the outputs of `block`."""
        x = block.input
        for name in names:
            if name.startswith("conv"):
                # What follows a convolution is its ReLU, or nothing after a layer that is read
                relu = name not in self.layers
                convolution = self._convolutions[name]
                x = convolution.forward(x, self._padding_of(name), relu=relu)
            elif "conv" + name[4:] in self.layers:
                x = x.relu()
            if name.startswith("relu") or name in self.layers:
                block.outputs[name] = x

    def _pool(self, names: Sequence[str], block: Block) -> Tensor:
        """What the block after `block` takes; the last block's own output, after which nothing is
        pooled. What the way back can do without is forgotten."""
        last = names[-1]
        if names is self._blocks[-1]:
            return block.outputs[last]
        block.pooled = self._pooling.forward(block.outputs[last])
        if last not in self.layers and self._pooling.kind != "average":
            # The way back through this ReLU is that through the pooling: nothing where it is zero
            del block.outputs[last]
        block.forget(CHEAP)
        return block.pooled.features

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
