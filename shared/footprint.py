"""The memory that painting a picture takes, counted from its shapes.

Follows `worker/engine`: what a run holds all the time, and the largest moment of going forward and
back through the network. The network's own weights are not counted: a worker has them loaded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from shared.levels import Level, Shape
from shared.network import (
    LINE,
    block_of,
    channels_at,
    convolutions,
    shape_at,
)
from shared.parameters import CONVS_PER_BLOCK, Parameters

BYTES_PER_VALUE = {"float32": 4, "bfloat16": 2}
FLOAT32 = 4
# Of one picture, RGB in float32.
BYTES_PER_PIXEL = 3 * FLOAT32
# What the allocator and the libraries hold on top of what was asked for.
SLACK = 1.08
# Work of an optimiser, and of the total variation, that is alive at the same time, in pictures.
STEP_PICTURES = 8
# Matrices of C x C: target and slope of a style at a layer; and while it is being computed.
MATRICES_HELD = {"gram": 2, "wasserstein": 4}
MATRICES_MOMENT = {"gram": 6, "wasserstein": 10}


@dataclass(frozen=True)
class Images:
    """The shapes, height and width in px, of what is painted from."""

    content: Shape | None
    styles: Sequence[Shape]
    masked: bool = False  # whether there is a mask for each style


def peak_bytes(
    parameters: Parameters,
    levels: Sequence[Level],
    images: Images,
    precision: str,
    *,
    recompute: bool = False,
    images_on_device: bool = True,
) -> int:
    """The memory of a run at its largest moment, bytes.

    Args:
        parameters: what is painted.
        levels: as `shared.levels.plan_levels` gives them.
        images: what it is painted from.
        precision: float32 or bfloat16.
        recompute: whether activations are computed again rather than kept.
        images_on_device: whether the images as they were given lie in the same memory, as they do
            when a CPU paints.
    """
    given = 0
    if images_on_device:
        shapes = [*([images.content] if images.content else []), *images.styles]
        given = BYTES_PER_PIXEL * sum(map(_area, shapes))
        if images.masked and images.content is not None:
            given += FLOAT32 * _area(images.content) * len(images.styles)
    level_bytes = (
        _level_bytes(parameters, level, images, BYTES_PER_VALUE[precision], recompute)
        for level in levels
    )
    return round(SLACK * (given + max(level_bytes)))


def _level_bytes(
    parameters: Parameters, level: Level, images: Images, value_bytes: int, recompute: bool
) -> int:
    """The memory at one level, at its largest moment."""
    content_layers = parameters.content_layer_weights
    style_layers = parameters.style_layer_weights
    shape = (level.height, level.width)
    regions = len(images.styles) if images.masked else 1
    held = _stage_bytes(parameters, level)
    moments = []

    targets = BYTES_PER_PIXEL * _area(shape) if content_layers else 0
    styles = [level.style_shape(style, parameters) for style in images.styles]
    if style_layers:
        targets += BYTES_PER_PIXEL * sum(map(_area, styles))
        targets += FLOAT32 * _area(shape) * regions if images.masked else 0
    of_content = value_bytes * sum(_values_at(layer, shape) for layer in content_layers)
    of_style = FLOAT32 * sum(channels_at(layer) ** 2 for layer in style_layers)
    if content_layers:
        target = _Walk(content_layers, shape, value_bytes, recompute=recompute)
        moments.append(targets + of_content + target.forward({}))
    if style_layers:
        extra = _style_extra(style_layers, value_bytes, masked=False)
        for style in styles:
            target = _Walk(style_layers, style, value_bytes, recompute=recompute)
            moments.append(targets + of_content + target.forward(extra))

    of_style *= regions * MATRICES_HELD[parameters.style_loss]
    extra = _style_extra(style_layers, value_bytes, masked=images.masked)
    for layer in content_layers:
        extra[layer] = max(extra.get(layer, 0), FLOAT32 + (FLOAT32 if value_bytes < 4 else 0))
    walk = _Walk({**content_layers, **style_layers}, shape, value_bytes, recompute=recompute)
    of_matrices = FLOAT32 * MATRICES_MOMENT[parameters.style_loss] * max(
        (channels_at(layer) ** 2 for layer in style_layers), default=0
    )
    moments.append(of_content + of_style + of_matrices + walk.there_and_back(extra, parameters))
    moments.append(of_content + of_style + STEP_PICTURES * BYTES_PER_PIXEL * _area(shape))
    return held + max(moments)


def _stage_bytes(parameters: Parameters, level: Level) -> int:
    """What a level holds from its first step to its last, apart from its targets."""
    pictures = 3  # the iterate, and the last one at which all was well, with its average
    pictures += 1 if parameters.average else 0
    if parameters.optimizer == "adam":
        pictures += 2
    else:
        pictures += 2 * min(parameters.history_size, level.steps)
    return pictures * BYTES_PER_PIXEL * level.height * level.width


def _style_extra(
    layers: Iterable[str], value_bytes: int, *, masked: bool
) -> dict[str, int]:
    """Bytes for each value of a layer that reading its style takes for a moment."""
    extra = FLOAT32 if value_bytes < FLOAT32 else 0  # statistics are float32
    return dict.fromkeys(layers, extra + (FLOAT32 if masked else 0))


class _Walk:
    """The way through the network and back, with what is alive at every moment."""

    def __init__(
        self, layers: Iterable[str], shape: Shape, value_bytes: int, *, recompute: bool
    ) -> None:
        self._layers = set(layers)
        self._shape = shape
        self._value_bytes = value_bytes
        self._recompute = recompute
        deepest = max(map(LINE.index, self._layers))
        names = [name for name in LINE[: deepest + 1] if not name.startswith("pool")]
        self._blocks = [
            [name for name in names if block_of(name) == number]
            for number in range(1, block_of(names[-1]) + 1)
        ]
        self._live = 0
        self._peak = 0

    def forward(self, extra: Mapping[str, int]) -> int:
        """The largest moment of going forward, bytes; `extra` is that of reading each layer, by
        value."""
        self._live = 3 * BYTES_PER_PIXEL * _area(self._shape)  # the picture, and it normalised
        for names in self._blocks:
            if block_of(names[0]) > 1:
                self._take(self._input_bytes(names))
            outputs = self._fill(names)
            for name in names:
                self._moment(extra.get(name, 0) * _values_at(name, self._shape))
            if self._recompute:
                self._live -= outputs
        return self._peak

    def there_and_back(self, extra: Mapping[str, int], parameters: Parameters) -> int:
        """The largest moment of going forward and back."""
        self.forward(extra)
        gradient = 0
        for names in reversed(self._blocks):
            outputs = self._fill(names) if self._recompute else self._outputs(names)
            first = self._bytes_at(names[-1])
            if gradient and parameters.pooling == "max":
                pooled = gradient // self._value_bytes
                self._moment(first + pooled * (self._value_bytes + 8))  # indices are int64
            elif gradient:
                self._moment(3 * first)
            self._live += first - gradient
            gradient = first
            for name in reversed(names):
                self._moment(extra.get(name, 0) * _values_at(name, self._shape))
                if name.startswith("relu"):
                    continue
                before = self._gradient_before(name)
                self._moment(before)
                # The caller holds the block's first gradient until the block is done
                self._live += before - (gradient if gradient != first else 0)
                gradient = before
            self._live -= outputs
        return self._peak

    def _fill(self, names: Sequence[str]) -> int:
        """Compute a block; what its outputs take."""
        for name in names:
            if name == "conv1_1" and self._value_bytes < FLOAT32:
                self._moment(FLOAT32 * _values_at(name, self._shape) + self._bytes_at(name))
            if name.startswith("conv") or self._is_read_before(name):
                self._take(self._bytes_at(name))
        return self._outputs(names)

    def _outputs(self, names: Sequence[str]) -> int:
        return sum(
            self._bytes_at(name)
            for name in names
            if name.startswith("conv") or self._is_read_before(name)
        )

    def _is_read_before(self, relu: str) -> bool:
        """Whether the ReLU may not work in place, since its convolution is read."""
        return relu.startswith("relu") and relu.replace("relu", "conv") in self._layers

    def _gradient_before(self, convolution: str) -> int:
        inputs = {c.name: c.inputs for c in convolutions([convolution])}[convolution]
        return inputs * _area(shape_at(convolution, *self._shape)) * self._value_bytes

    def _input_bytes(self, names: Sequence[str]) -> int:
        return self._gradient_before(names[0])

    def _bytes_at(self, layer: str) -> int:
        return _values_at(layer, self._shape) * self._value_bytes

    def _take(self, size: int) -> None:
        self._live += size
        self._peak = max(self._peak, self._live)

    def _moment(self, size: int) -> None:
        self._peak = max(self._peak, self._live + size)


def _values_at(layer: str, shape: Shape) -> int:
    return channels_at(layer) * _area(shape_at(layer, *shape))


def _area(shape: Shape) -> int:
    height, width = shape
    return height * width
