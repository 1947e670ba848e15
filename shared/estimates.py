"""What a job will take, before it runs: from its parameters, its images' shapes and a speed.

The arithmetic is here, where the API has it too; a worker measures its speed when it is idle
(`worker/engine/speed.py`) and registers it.

Painting is counted in six kinds of work, and a speed is what each costs. Every evaluation of the
losses goes through the network and back, in convolutions whose time has three parts: their
operations; the values that they, the ReLUs and the poolings write; and their kernels, which are
brought into place whatever the size of the picture. Products of float32 matrices, for the
statistics of styles, passes of the optimiser over its pictures, and the calls of PyTorch come on
top.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from pydantic import BaseModel, ConfigDict, Field

from shared.footprint import BYTES_PER_PIXEL, CLEARLY, Images, peak_bytes
from shared.levels import Level, Shape, plan_levels
from shared.network import channels_at, convolutions, shape_at
from shared.parameters import Parameters

# Calls of PyTorch that do little work themselves.
CALLS_PER_CONVOLUTION = 3
CALLS_PER_READING = 20
CALLS_PER_STEP = {"adam": 15, "lbfgs": 60}
# Passes over a picture: of an optimiser besides its history, and of the total variation.
PASSES_PER_STEP = 20
PASSES_PER_VARIATION = 30
# Of resampling, over the larger of the two pictures.
PASSES_PER_RESIZE = 6
# Matrix products of a Newton-Schulz square root, and around one in a Wasserstein distance and its
# gradient.
PRODUCTS_PER_ROOT = 36
PRODUCTS_PER_WASSERSTEIN = 78
# Evaluations of a step that searches along its direction: where it starts, and mostly one more.
EVALUATIONS_PER_SEARCH = 2.1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class NetworkSpeed(_Model):
    """How fast a device goes through VGG-19 in one precision."""

    seconds_per_flop: float = Field(ge=0, description="Of a convolution.")
    seconds_per_value: float = Field(ge=0, description="That a layer writes.")
    seconds_per_weight: float = Field(ge=0, description="Of a kernel, at any size of picture.")


class Speed(_Model):
    """How fast a worker paints; measured when it is idle."""

    float32: NetworkSpeed
    bfloat16: NetworkSpeed
    seconds_per_product_flop: float = Field(ge=0, description="Of float32 matrices.")
    seconds_per_byte: float = Field(ge=0, description="That the optimiser reads.")
    seconds_per_call: float = Field(ge=0, description="Of PyTorch, whatever it does.")


class LevelEstimate(_Model):
    """What one level of the pyramid will take."""

    width_px: int
    height_px: int
    steps: int
    seconds: float


class Estimate(_Model):
    """What a job will take. A rule that stops it early makes it less."""

    steps: int = Field(description="At most.")
    seconds: float = Field(description="To paint, without the way through queue and storage.")
    memory_bytes: int = Field(description="Of the device at its largest moment, beside VGG-19.")
    levels: list[LevelEstimate] = Field(description="Coarsest first.")


@dataclass(frozen=True)
class Plan:
    """What a job will do on devices of one kind, before their speed is known."""

    parameters: Parameters
    precision: str
    levels: list[Level]
    works: "list[Work]"  # of each level, with what comes before its first step
    delivery: "Work"
    memory_bytes: int  # at the largest moment, beside VGG-19
    least_bytes: int  # what it does with when memory is short

    def at(self, speed: Speed) -> Estimate:
        """What it takes on a worker of this speed."""
        network: NetworkSpeed = getattr(speed, self.precision)
        levels = [
            LevelEstimate(
                width_px=level.width,
                height_px=level.height,
                steps=level.steps,
                seconds=work.seconds(network, speed),
            )
            for level, work in zip(self.levels, self.works, strict=True)
        ]
        total = sum(level.seconds for level in levels)
        if self.parameters.deadline_seconds is not None:
            total = min(total, self.parameters.deadline_seconds)
        return Estimate(
            steps=sum(level.steps for level in levels),
            seconds=total + self.delivery.seconds(network, speed),
            memory_bytes=self.memory_bytes,
            levels=levels,
        )

    def fits(self, available_bytes: int) -> bool:
        """Whether a worker with so much memory paints it, or at least tries to."""
        return self.least_bytes <= CLEARLY * available_bytes


def plan(
    parameters: Parameters,
    content: Shape | None,
    styles: Sequence[Shape],
    *,
    precision: str,
    masked: bool = False,
    on_cpu: bool = True,
) -> Plan:
    """What a job will do.

    Args:
        parameters: what is painted.
        content: height and width of the content image as it is given, px; what the parameters do
            not use is ignored.
        styles: those of the style images.
        precision: what `auto` means on the worker.
        masked: whether each style has a mask.
        on_cpu: whether its device is a CPU.

    Raises:
        InvalidInput: an image is too small for these parameters.
    """
    content = content if parameters.uses_content else None
    styles = list(styles) if parameters.uses_styles else []
    images = Images(content, styles, masked and bool(styles))
    levels = plan_levels(content, styles, parameters)
    if parameters.precision != "auto":
        precision = parameters.precision
    given = images.bytes if on_cpu else 0

    def memory_bytes(*, recompute: bool) -> int:
        return given + peak_bytes(
            parameters, levels, images, precision, on_cpu=on_cpu, recompute=recompute
        )

    return Plan(
        parameters=parameters,
        precision=precision,
        levels=levels,
        works=[
            _preparation(parameters, level, images) + _steps(parameters, level, images)
            for level in levels
        ],
        delivery=_delivery(parameters, levels[-1], images),
        memory_bytes=memory_bytes(recompute=False),
        least_bytes=memory_bytes(recompute=True),
    )


def estimate(
    parameters: Parameters,
    content: Shape | None,
    styles: Sequence[Shape],
    *,
    speed: Speed,
    precision: str,
    masked: bool = False,
    on_cpu: bool = True,
) -> Estimate:
    """What a job will take on a worker of this speed; the arguments are those of `plan`."""
    return plan(parameters, content, styles, precision=precision, masked=masked, on_cpu=on_cpu).at(
        speed
    )


@dataclass(frozen=True)
class Work:
    """Amounts of the kinds of work."""

    flops: float = 0  # of convolutions
    values: float = 0
    weights: float = 0
    calls: float = 0
    product_flops: float = 0
    bytes: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )

    def __mul__(self, times: float) -> "Work":
        return Work(*(getattr(self, field.name) * times for field in fields(self)))

    def seconds(self, network: NetworkSpeed, speed: Speed) -> float:
        """How long it takes."""
        return (
            self.flops * network.seconds_per_flop
            + self.values * network.seconds_per_value
            + self.weights * network.seconds_per_weight
            + self.calls * speed.seconds_per_call
            + self.product_flops * speed.seconds_per_product_flop
            + self.bytes * speed.seconds_per_byte
        )


def network_pass(layers: Iterable[str], shape: Shape) -> Work:
    """One way through the network, forward or back, with a picture of this height and width."""
    work = Work()
    for convolution in convolutions(layers):
        positions = _positions(convolution.name, shape)
        work += Work(
            flops=2 * convolution.weights * positions,
            values=convolution.outputs * positions,
            weights=convolution.weights,
            calls=CALLS_PER_CONVOLUTION,
        )
    return work


def _steps(parameters: Parameters, level: Level, images: Images) -> Work:
    """All steps of a level."""
    evaluations = float(level.steps)
    if parameters.optimizer == "lbfgs" and parameters.line_search == "strong-wolfe":
        evaluations *= EVALUATIONS_PER_SEARCH
    evaluation = _evaluation(parameters, level, images)
    return evaluation * evaluations + _optimizer(parameters, level)


def _evaluation(parameters: Parameters, level: Level, images: Images) -> Work:
    """The losses of a picture and their gradient."""
    shape = (level.height, level.width)
    layers = _layers(parameters)
    work = network_pass(layers, shape) * 2 + _reading(parameters, shape, images) * 2
    if parameters.tv_weight:
        work += Work(bytes=PASSES_PER_VARIATION * _picture_bytes(shape))
    return work


def _reading(parameters: Parameters, shape: Shape, images: Images) -> Work:
    """Taking the losses at the layers, or going back from them."""
    regions = len(images.styles) if images.masked else 1
    work = Work()
    for layer in parameters.content_layer_weights:
        work += Work(values=channels_at(layer) * _positions(layer, shape), calls=CALLS_PER_READING)
    for layer in parameters.style_layer_weights:
        work += _statistics(layer, shape) * regions
        if parameters.style_loss == "wasserstein":
            flops = PRODUCTS_PER_WASSERSTEIN * _product(layer) / 2  # there and back together
            work += Work(product_flops=flops, calls=PRODUCTS_PER_WASSERSTEIN / 2) * regions
    return work


def _statistics(layer: str, shape: Shape) -> Work:
    """Collecting the statistics of a style at a layer, or going back from them."""
    positions, channels = _positions(layer, shape), channels_at(layer)
    return Work(
        values=channels * positions,
        product_flops=2 * positions * channels**2,
        calls=CALLS_PER_READING,
    )


def _product(layer: str) -> float:
    """Operations of a product of two matrices of C x C."""
    return 2.0 * channels_at(layer) ** 3


def _optimizer(parameters: Parameters, level: Level) -> Work:
    """What the optimiser does besides evaluations, in all steps of a level."""
    picture = _picture_bytes((level.height, level.width))
    passes = float(PASSES_PER_STEP * level.steps)
    if parameters.optimizer == "lbfgs":
        size = parameters.history_size
        pairs = sum(min(step, size) for step in range(level.steps))
        passes += 4 * pairs  # of s and y, for the products and for the direction
    return Work(bytes=passes * picture, calls=level.steps * CALLS_PER_STEP[parameters.optimizer])


def _preparation(parameters: Parameters, level: Level, images: Images) -> Work:
    """Images brought to the size of a level, and what the picture is compared with there."""
    work = Work()
    shape = (level.height, level.width)
    if images.content is not None:
        work += _resize(images.content, shape)
    if parameters.content_layer_weights:
        work += network_pass(parameters.content_layer_weights, shape)
    for style in images.styles:
        at_level = level.style_shape(style, parameters)
        work += _resize(style, at_level)
        if parameters.style_layer_weights:
            work += network_pass(parameters.style_layer_weights, at_level)
        for layer in parameters.style_layer_weights:
            work += _statistics(layer, at_level)
            if parameters.style_loss == "wasserstein":
                work += Work(product_flops=PRODUCTS_PER_ROOT * _product(layer))
    return work


def _delivery(parameters: Parameters, level: Level, images: Images) -> Work:
    """The finished picture, and its losses in the precision of the run."""
    shape = (level.height, level.width)
    work = network_pass(_layers(parameters), shape) + _reading(parameters, shape, images)
    return work + Work(bytes=PASSES_PER_STEP * _picture_bytes(shape))


def _resize(source: Shape, target: Shape) -> Work:
    if source == target:
        return Work()
    return Work(bytes=PASSES_PER_RESIZE * max(map(_picture_bytes, (source, target))))


def _layers(parameters: Parameters) -> Mapping[str, float]:
    return {**parameters.content_layer_weights, **parameters.style_layer_weights}


def _positions(layer: str, shape: Shape) -> int:
    height, width = shape_at(layer, *shape)
    return height * width


def _picture_bytes(shape: Shape) -> int:
    height, width = shape
    return BYTES_PER_PIXEL * height * width


class SecondsRange(BaseModel):
    """How long painting takes, without the wait for a worker."""

    low: float = Field(description="On the fastest of the workers.")
    high: float = Field(description="On the slowest.")


class JobEstimate(BaseModel):
    """What a job would take on the workers that are up."""

    steps: int = Field(description="Optimiser steps, at most.")
    width_px: int = Field(description="Width of the result, px.")
    height_px: int = Field(description="Height of the result, px.")
    memory_bytes: int = Field(
        description="Of the device at its largest moment, on the worker that takes the most."
    )
    seconds: SecondsRange | None = Field(
        description="Over the workers that can paint it; null if none of them knows its speed yet."
    )
    workers: int = Field(description="Workers that are up.")
    able: int = Field(description="Of these, those with enough memory, as far as it is known.")
    waiting_jobs: int = Field(
        description="Jobs that would be before this one, if its priority is normal."
    )
