"""The memory that painting a picture takes, counted from its shapes.

Follows `worker/engine`: what a run holds all the time, and the largest moment of going forward and
back through the network. The network's own weights are not counted: a worker has them loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.levels import Level, Shape
from shared.network import (
    CHEAP,
    LINE,
    block_of,
    channels_at,
    convolutions,
    shape_at,
)
from shared.parameters import Parameters

BYTES_PER_VALUE = {"float32": 4, "bfloat16": 2}
FLOAT32 = 4
# Of one picture, RGB in float32.
BYTES_PER_PIXEL = 3 * FLOAT32
# Of a pooling's maximum.
INDEX_BYTES = 8
# What the allocator and the libraries take on top of what is alive, once and in proportion: fitted
# to the peaks that `python -m bench estimate` measures. That of a GPU has not been measured.
BASE_BYTES = 15_000_000
GPU_SLACK = 1.2
# On a CPU, what is freed stays in a heap that gets gaps: as a worker sets its malloc up, and half
# as much again elsewhere.
CPU_SLACK = {"float32": 1.1, "bfloat16": 1.4}
# Many small matrices that come and go make more gaps.
GAPS = {"gram": 1.0, "wasserstein": 1.5}
# A need this far above what there is is no matter of the estimate's precision. What exceeds it by
# less is tried.
CLEARLY = 1.25
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

    @property
    def bytes(self) -> int:
        """What they take themselves, masks apart, in the memory of the CPU."""
        shapes = [*([self.content] if self.content else []), *self.styles]
        return BYTES_PER_PIXEL * sum(map(_area, shapes))


def peak_bytes(
    parameters: Parameters,
    levels: Sequence[Level],
    images: Images,
    precision: str,
    *,
    on_cpu: bool,
    recompute: bool = False,
) -> int:
    """The memory of a run at its largest moment, bytes, on top of the images as they were given.

    Args:
        parameters: what is painted.
        levels: as `shared.levels.plan_levels` gives them.
        images: what it is painted from.
        precision: float32 or bfloat16.
        recompute: whether activations are computed again rather than kept.
        on_cpu: whether a CPU paints, whose allocator is another than a GPU's.
    """
    value_bytes = BYTES_PER_VALUE[precision]
    slack = CPU_SLACK[precision] * GAPS[parameters.style_loss] if on_cpu else GPU_SLACK
    return BASE_BYTES + max(
        _held_bytes(parameters, level, images, value_bytes)
        + round(slack * _moment_bytes(parameters, level, images, value_bytes, recompute=recompute))
        for level in levels
    )


def _held_bytes(parameters: Parameters, level: Level, images: Images, value_bytes: int) -> int:
    """What a level holds from its first step to its last."""
    shape = (level.height, level.width)
    pictures = 3  # the iterate, and the last one at which all was well, with its average
    pictures += 1 if parameters.average else 0
    if parameters.optimizer == "adam":
        pictures += 2
    else:
        pictures += 2 * min(parameters.history_size, level.steps)
    matrices = MATRICES_HELD[parameters.style_loss] * (len(images.styles) if images.masked else 1)
    return (
        pictures * BYTES_PER_PIXEL * _area(shape)
        + value_bytes * sum(_values_at(layer, shape) for layer in parameters.content_layer_weights)
        + matrices * FLOAT32 * sum(channels_at(la) ** 2 for la in parameters.style_layer_weights)
    )


def _moment_bytes(
    parameters: Parameters, level: Level, images: Images, value_bytes: int, *, recompute: bool
) -> int:
    """What the largest moment of a level takes on top of what is held."""
    content_layers = parameters.content_layer_weights
    style_layers = parameters.style_layer_weights
    shape = (level.height, level.width)
    styles = [level.style_shape(style, parameters) for style in images.styles]
    extra_back = dict.fromkeys(style_layers, 2 * FLOAT32 if images.masked else 0)
    difference = FLOAT32 if value_bytes == FLOAT32 else 2 * FLOAT32
    extra = dict.fromkeys(content_layers, difference)
    for layer in content_layers:
        extra_back[layer] = max(extra_back.get(layer, 0), difference)
    matrix = max((FLOAT32 * channels_at(layer) ** 2 for layer in style_layers), default=0)
    walk = _Walk({**content_layers, **style_layers}, shape, value_bytes, recompute=recompute)
    evaluation = walk.there_and_back(extra, extra_back, parameters.pooling)
    evaluation += MATRICES_MOMENT[parameters.style_loss] * matrix

    resized = BYTES_PER_PIXEL * sum(map(_area, [shape, *styles]))
    resized += FLOAT32 * _area(shape) * len(styles) if images.masked else 0
    looks = [_Walk(content_layers, shape, value_bytes, recompute=True)] if content_layers else []
    if style_layers:
        looks += [_Walk(style_layers, style, value_bytes, recompute=True) for style in styles]
    targets = resized + max(look.forward({}) for look in looks)

    return max(evaluation, targets, STEP_PICTURES * BYTES_PER_PIXEL * _area(shape))


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
                self._take(self._input_bytes(names[0]))
            self._take(self._outputs(names))
            for name in names:
                self._moment(extra.get(name, 0) * _values_at(name, self._shape))
            if names is not self._blocks[-1]:
                self._moment(self._pooled_values(names) * (self._value_bytes + INDEX_BYTES))
            self._live += self._kept(names) - self._outputs(names)
        return self._peak

    def there_and_back(
        self, extra: Mapping[str, int], extra_back: Mapping[str, int], pooling: str
    ) -> int:
        """The largest moment of going forward and back; `extra_back` is that of going back from
        each layer, by value."""
        self.forward(extra)
        gradient = 0
        for names in reversed(self._blocks):
            if self._recompute:
                self._take(self._outputs(names) - self._kept(names))
            first = self._bytes_at(names[-1])
            # A maximum goes to its place at once, or through a map of where maxima are
            self._moment(first if pooling == "max" else 2 * first)
            self._live += first - gradient
            gradient = first
            for name in reversed(names):
                if not self._recompute and name in CHEAP:
                    self._moment(self._bytes_at(name) + gradient)
                self._moment(extra_back.get(name, 0) * _values_at(name, self._shape))
                if name.startswith("conv"):
                    after = self._input_bytes(name)
                    self._take(after)
                    self._live -= gradient
                    gradient = after
            self._live -= self._outputs(names) if self._recompute else self._kept(names)
            if block_of(names[0]) > 1:
                self._live -= self._input_bytes(names[0])
        return self._peak

    def _outputs(self, names: Sequence[str]) -> int:
        """What the outputs of a block take; a ReLU works in place."""
        return sum(
            self._bytes_at(name)
            for name in names
            if name.startswith("conv") or self._is_read_before(name)
        )

    def _kept(self, names: Sequence[str]) -> int:
        """What of them is kept for the way back."""
        if self._recompute:
            return 0
        if names is self._blocks[-1]:
            return self._outputs(names)
        return self._outputs([name for name in names if name not in CHEAP])

    def _pooled_values(self, names: Sequence[str]) -> int:
        return _values_at(names[-1], self._shape) // 4

    def _is_read_before(self, relu: str) -> bool:
        """Whether the ReLU may not work in place, since its convolution is read."""
        return relu.startswith("relu") and relu.replace("relu", "conv") in self._layers

    def _input_bytes(self, convolution: str) -> int:
        """What a convolution takes in."""
        (*_, found) = convolutions([convolution])
        return found.inputs * _area(shape_at(convolution, *self._shape)) * self._value_bytes

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
