"""VGG-19 (Simonyan & Zisserman, arXiv 1409.1556) as names and numbers, without PyTorch.

The layers carry the paper's names: `convN_M` is a convolution's output, `reluN_M` what its ReLU
makes of it, `poolN` the pooling that ends a block.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.parameters import CONVS_PER_BLOCK

# conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, ... relu5_4
LINE = tuple(
    name
    for block, count in enumerate(CONVS_PER_BLOCK, start=1)
    for name in (
        *(f"{kind}{block}_{index}" for index in range(1, count + 1) for kind in ("conv", "relu")),
        f"pool{block}",
    )
)[:-1]

# A fifth of all activations, from so few channels that it costs less than a hundredth of a step to
# compute them again on the way back rather than keep them.
CHEAP = LINE[:2]

# Of every convolution of a block.
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class Convolution:
    """A 3 x 3 convolution, by its numbers."""

    name: str
    inputs: int  # channels
    outputs: int

    @property
    def weights(self) -> int:
        """Numbers in the kernel."""
        return 9 * self.inputs * self.outputs


def convolutions(layers: Iterable[str]) -> Iterator[Convolution]:
    """The convolutions that computing `layers` takes, first to last."""
    deepest = max(LINE.index(layer) for layer in layers)
    inputs = 3
    for name in LINE[: deepest + 1]:
        if name.startswith("conv"):
            yield Convolution(name, inputs, channels_at(name))
            inputs = channels_at(name)


def channels_at(layer: str) -> int:
    """Channels of `layer`."""
    return CHANNELS_PER_BLOCK[block_of(layer) - 1]


def block_of(layer: str) -> int:
    """The block that `layer` is in, from 1."""
    return int(layer[4])


def shape_at(layer: str, height: int, width: int) -> tuple[int, int]:
    """Height and width of `layer` for a picture of this size."""
    pools = block_of(layer) - 1
    return height >> pools, width >> pools


def smallest_side(layers: Iterable[str]) -> int:
    """Shortest side of a picture, px, at which the deepest of `layers` has at least one
    position."""
    return 1 << max(block_of(layer) - 1 for layer in layers)
