"""What a job asks for: one model for the command line, the API, the worker and the engine.

The defaults of `Parameters` are the preset `default`; every other preset is the set of values in
which it differs (`shared.presets`). A preset is applied before validation, so

    Parameters(preset="neural-style", steps=200)

is the preset with one value overridden, and what it dumps validates to itself.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.presets import PRESETS, PresetName

MIN_SIZE_PX = 32
MAX_SIZE_PX = 4096
MAX_STEPS = 10_000
MAX_STEPS_OF_ALL_LEVELS = 20_000
MAX_ASPECT_RATIO = 32.0

# The default learning rate is for L-BFGS; Adam's steps are of another kind. In pixels of [0, 1].
ADAM_LEARNING_RATE = 0.03
# How much of a pixel's range from 0 to 1 is one unit of a space (0.226: the mean of ImageNet's
# deviations).
UNITS = {"pixels": 1.0, "normalized": 0.226, "bytes": 1 / 255}
# What a learning rate is good for.
RATED = ("optimizer", "space")
# What `quality` multiplies the steps of a preset with.
EFFORT = {"draft": 0.4, "normal": 1.0, "high": 2.5}

# The paper's names: convN_M is read before its ReLU, reluN_M after it.
CONVS_PER_BLOCK = (2, 2, 4, 4, 4)
CONV_NAMES = tuple(
    f"conv{block}_{index}"
    for block, count in enumerate(CONVS_PER_BLOCK, start=1)
    for index in range(1, count + 1)
)
LAYER_NAMES = frozenset(CONV_NAMES) | {name.replace("conv", "relu") for name in CONV_NAMES}

Weight = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
# Names are checked with a sentence of our own; a schema can only list them.
LayerWeights = Annotated[
    dict[str, Weight],
    Field(json_schema_extra={"propertyNames": {"enum": sorted(LAYER_NAMES)}}),
]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Noise(_Strict):
    """What `init=noise` starts from: normal noise, the same for every value."""

    space: Literal["pixels", "normalized"] = Field(
        "normalized",
        description="Where it has mean zero: in pixels (black), or after the network's"
        " normalisation (the mean colour of photographs).",
    )
    scale: float = Field(1.0, ge=0, le=10, description="Its standard deviation there.")


class Pyramid(_Strict):
    """Coarse to fine: the picture is painted small first, then enlarged and painted on."""

    min_size: int = Field(
        128,
        ge=MIN_SIZE_PX,
        le=MAX_SIZE_PX,
        description="Least long side of the coarsest level, px. Above `size` there is one level.",
    )
    factor: float = Field(2.0, ge=1.1, le=4.0, description="Ratio of the sizes of adjacent levels.")
    steps: Annotated[list[Steps], Field(min_length=1, max_length=64)] | None = Field(
        None,
        description="Steps at each level, coarsest first, the last for all that follow; null shares"
        " the `steps` of the run equally.",
    )


class StepDecay(_Strict):
    """Multiplies the learning rate by `factor` after every `every` steps of the run (StepLR)."""

    factor: float = Field(0.8, gt=0, le=1, description="What the learning rate is multiplied by.")
    every: int = Field(50, ge=1, le=MAX_STEPS, description="Steps between two multiplications.")


class Plateau(_Strict):
    """Ends a level when the loss has stopped falling."""

    window: int = Field(20, ge=2, le=MAX_STEPS, description="Steps between two looks at the loss.")
    change: float = Field(
        0.01, gt=0, lt=1, description="The level ends when the loss fell by a smaller share."
    )


class Output(_Strict):
    """How the finished picture is encoded."""

    format: Literal["png", "jpeg", "webp", "tiff"] = Field("png", description="File format.")
    quality: int = Field(
        92, ge=1, le=100, description="Quality of JPEG and WebP; PNG and TIFF are lossless."
    )
    bit_depth: Literal[8, 16] = Field(8, description="Bits per channel; 16 in PNG and TIFF.")
    metadata: bool = Field(
        True, description="Store in the file what reproduces it: parameters, seed, versions."
    )

    @model_validator(mode="after")
    def _depth_fits_format(self) -> Self:
        if self.bit_depth == 16 and self.format not in ("png", "tiff"):
            raise ValueError(f"{self.format} has 8 bits per channel: take png or tiff for 16")
        return self


class Parameters(_Strict):
    """Everything that decides the picture, apart from the images themselves and the weights."""

    preset: PresetName = Field(
        "default", description="A named set of values; any other field overrides it."
    )
    quality: Literal["draft", "normal", "high"] = Field(
        "normal",
        description="Effort: multiplies the steps of the preset"
        f" ({', '.join(f'{name} {factor:g}' for name, factor in EFFORT.items())})"
        " where `steps` does not say.",
    )
    size: int = Field(
        512,
        ge=MIN_SIZE_PX,
        le=MAX_SIZE_PX,
        description="Long side of the result, px. A picture that has it already is not resampled.",
    )
    aspect_ratio: float | None = Field(
        None,
        ge=1 / MAX_ASPECT_RATIO,
        le=MAX_ASPECT_RATIO,
        description="Width over height of a picture without content image; null takes that of the"
        " first style.",
    )
    steps: Steps = Field(
        150,
        description="Optimiser steps, over all levels of the pyramid; `pyramid.steps` goes before.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")

    init: Literal["content", "noise", "style", "gray", "image"] = Field(
        "content",
        description="Where the iterate starts: the content image, noise, noise in the colours of"
        " the style, mid-gray, or an image of its own.",
    )
    noise: Noise = Field(Noise(), description="What init=noise is.")

    content_weight: Weight = Field(
        1.0, description="Weight of the content loss; 0 paints a texture of the style."
    )
    style_weight: Weight = Field(
        5.0,
        description="Weight of the style loss: how strongly to paint; 0 reconstructs the content.",
    )
    tv_weight: Weight = Field(0.0, description="Weight of the total variation: how smooth.")
    content_layers: LayerWeights = Field(
        {"relu4_2": 1.0, "relu5_2": 1.0},
        description="Layers of the content loss and their weights.",
    )
    style_layers: LayerWeights = Field(
        {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 0.7, "relu5_1": 0.4},
        description="Layers of the style loss and their weights.",
    )
    style_weights: list[Weight] | None = Field(
        None, description="Share of each style image, in their order. Equal when left out."
    )
    style_scale: float = Field(
        1.0,
        ge=0.1,
        le=8,
        description="Long side of the style images over that of the picture: larger strokes above"
        " 1, finer ones below.",
    )
    style_fit: Literal["keep", "stretch"] = Field(
        "keep",
        description="Shape of the style images: their own, or stretched to that of the picture.",
    )
    mask_feather: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="Width over which the regions of masks blend, as a share of the long side.",
    )

    style_loss: Literal["gram", "wasserstein"] = Field(
        "gram",
        description="Distance of styles: of Gram matrices, or Wasserstein-2 of the features'"
        " means and covariances.",
    )
    gram_divisor: Literal["none", "hw", "chw"] = Field(
        "chw",
        description="What a Gram matrix is divided by: 1, positions, or channels x positions.",
    )
    style_divisor: Literal["none", "chw"] = Field(
        "none",
        description="What a layer's style loss is divided by: 1, or channels x positions.",
    )
    relative: bool = Field(
        True,
        description="Divide each layer's loss by its target's energy, so scales do not matter.",
    )
    tv_loss: Literal["l1", "l1-mean", "l2"] = Field(
        "l1",
        description="Total variation: sum of absolute differences of neighbours, half the sum of"
        " their means across and down, or mean of squares over eight neighbours.",
    )

    activations: Literal["original", "unit"] = Field(
        "original",
        description="Scale of the network's layers: as the weights have it, or 1 on average over"
        " photographs (known for oxford-q8; other weights are taken as they are).",
    )
    pooling: Literal["max", "average", "l2"] = Field("max", description="How the network pools.")
    pooling_rescale: bool = Field(
        False, description="Keep the scale of activations when pooling is not max."
    )
    padding: Literal["zero", "replicate"] = Field(
        "replicate",
        description="What lies outside the picture for the first convolution: black, or the border"
        " repeated.",
    )

    optimizer: Literal["adam", "lbfgs"] = Field("lbfgs", description="Optimiser of the pixels.")
    learning_rate: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Length of a step: for L-BFGS a share of the step that it proposes, for Adam in"
        f" units of `space` ({ADAM_LEARNING_RATE} of a pixel's range when not set).",
    )
    lr_decay: StepDecay | None = Field(None, description="Smaller steps as the run goes on.")
    betas: tuple[
        Annotated[float, Field(ge=0, lt=1)],
        Annotated[float, Field(ge=0, lt=1)],
    ] = Field((0.9, 0.99), description="Adam's decay of its first and second moments.")
    history_size: int = Field(
        20, ge=1, le=200, description="L-BFGS: gradient differences kept. Memory grows with it."
    )
    line_search: Literal["none", "strong-wolfe"] = Field(
        "none",
        description="L-BFGS: take the step as proposed, or search along it (several evaluations a"
        " step).",
    )
    max_step: float | None = Field(
        0.01,
        gt=0,
        le=1000,
        description="L-BFGS without line search: longest step, as the mean change of a value in"
        " pixels of [0, 1]; null for no bound.",
    )
    coarse_first: float = Field(
        0.0,
        ge=0,
        le=2,
        description="L-BFGS: how much further it goes for coarse forms than for fine ones, as long"
        " as it knows nothing of the curvature: its first guess is the wavelength to this power; 0"
        " treats all alike.",
    )
    space: Literal["pixels", "normalized", "bytes"] = Field(
        "pixels",
        description="Units in which the optimiser and the total variation see the picture: [0, 1],"
        " normalised by ImageNet's mean and deviation, or 0 to 255.",
    )
    clamp: bool = Field(
        True, description="Keep the iterate within black and white at every step, not at the end."
    )
    pyramid: Pyramid | None = Field(
        Pyramid(min_size=128, factor=2.0), description="Coarse to fine, or null for one level."
    )
    warm_start: bool = Field(
        False, description="Adam: carry its moments over to the next level of the pyramid."
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the running average of iterates; 0 delivers the last.",
    )

    color: Literal["style", "luminance", "match"] = Field(
        "style",
        description="Colours: the style's; the content's own, painting only its lightness; or the"
        " style's after matching its mean and covariance to the content's.",
    )
    plateau: Plateau | None = Field(
        None, description="Go on to the next level when the loss stops falling."
    )
    deadline_seconds: float | None = Field(
        None,
        gt=0,
        le=604_800,
        description="Longest time to paint, s; the levels share it. The picture then depends on"
        " the speed of the machine.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the network; auto takes bfloat16 where it is fast."
    )
    output: Output = Field(Output(), description="Encoding of the result.")

    @property
    def style_size(self) -> int:
        """Long side of the style images at the full size, px."""
        return round(self.size * self.style_scale)

    @property
    def content_layer_weights(self) -> dict[str, float]:
        """The layers whose content counts, each with its weight in the total."""
        return _positive(self.content_layers, self.content_weight)

    @property
    def style_layer_weights(self) -> dict[str, float]:
        """The layers whose style counts, each with its weight in the total."""
        return _positive(self.style_layers, self.style_weight)

    @property
    def uses_content(self) -> bool:
        """Whether a content image is needed."""
        return bool(self.content_layer_weights) or self.init == "content" or self.color != "style"

    @property
    def uses_styles(self) -> bool:
        """Whether style images are needed."""
        return bool(self.style_layer_weights) or self.init == "style"

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = values.get("preset", "default")
        preset = PRESETS.get(name) if isinstance(name, str) else None
        inherited = dict(preset.values) if preset is not None else {}
        for key in RATED:
            own = inherited.get(key, cls.model_fields[key].default)
            if values.get(key, own) != own:
                inherited.pop("learning_rate", None)  # it suits the preset's own choice only
        _scale_steps(inherited, values)
        for key in ("noise", "pyramid", "output"):
            if isinstance(inherited.get(key), dict) and isinstance(values.get(key), dict):
                values = {**values, key: {**inherited[key], **values[key]}}
        values = {**inherited, **values}
        if values.get("optimizer") == "adam":
            space = values.get("space", "pixels")
            unit = UNITS.get(space, 1.0) if isinstance(space, str) else 1.0
            values = {"learning_rate": ADAM_LEARNING_RATE / unit, **values}
        return values

    @field_validator("betas", mode="before")
    @classmethod
    def _betas_from_json(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _known_layers(cls, layers: LayerWeights) -> LayerWeights:
        for name in layers:
            if name not in LAYER_NAMES:
                raise ValueError(
                    f"unknown layer {name!r}: expected conv1_1..conv5_4, relu1_1..relu5_4"
                )
        return layers

    @model_validator(mode="after")
    def _something_to_optimise(self) -> Self:
        if not self.content_layer_weights and not self.style_layer_weights:
            raise ValueError("all content and style weights are zero: there is nothing to paint")
        if self.style_weights is not None and sum(self.style_weights) == 0:
            raise ValueError("style_weights are all zero: give at least one style a share")
        return self


def field_names() -> tuple[str, ...]:
    """Names that a request may override, in the order of the model."""
    return tuple(Parameters.model_fields)


def _scale_steps(inherited: dict[str, Any], values: dict[str, Any]) -> None:
    """Bring the steps of a preset to the quality that `values` ask for, unless they name steps."""
    pyramid = inherited.get("pyramid")
    if "steps" in values:
        if pyramid:
            inherited["pyramid"] = {**pyramid, "steps": None}
        return
    quality = values.get("quality", "normal")
    factor = EFFORT.get(quality, 1.0) if isinstance(quality, str) else 1.0
    if factor == 1:
        return

    def scaled(steps: int) -> int:
        return min(MAX_STEPS, max(1, round(steps * factor)))

    default: int = Parameters.model_fields["steps"].default
    inherited["steps"] = scaled(inherited.get("steps", default))
    if pyramid and pyramid.get("steps"):
        inherited["pyramid"] = {**pyramid, "steps": [scaled(steps) for steps in pyramid["steps"]]}


def _positive(layers: LayerWeights, weight: float) -> dict[str, float]:
    return {layer: weight * share for layer, share in layers.items() if weight * share > 0}
