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

# The default learning rate is for L-BFGS; Adam's steps are of another kind.
ADAM_LEARNING_RATE = 0.03

# The paper's names: convN_M is read before its ReLU, reluN_M after it.
CONVS_PER_BLOCK = (2, 2, 4, 4, 4)
CONV_NAMES = tuple(
    f"conv{block}_{index}"
    for block, count in enumerate(CONVS_PER_BLOCK, start=1)
    for index in range(1, count + 1)
)
LAYER_NAMES = frozenset(CONV_NAMES) | {name.replace("conv", "relu") for name in CONV_NAMES}

Weight = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
LayerWeights = dict[str, Weight]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Pyramid(_Strict):
    """Coarse to fine: the picture is painted small first, then enlarged and painted on."""

    min_size: int = Field(
        128,
        ge=MIN_SIZE_PX,
        le=MAX_SIZE_PX,
        description="Long side of the coarsest level, px. At or above `size` there is one level.",
    )
    factor: float = Field(2.0, ge=1.1, le=4.0, description="Ratio of the sizes of adjacent levels.")


class Output(_Strict):
    """How the finished picture is encoded."""

    format: Literal["png", "jpeg", "webp"] = Field("png", description="File format.")
    quality: int = Field(92, ge=1, le=100, description="Quality of JPEG and WebP; PNG is lossless.")


class Parameters(_Strict):
    """Everything that decides the picture, apart from the images themselves and the weights."""

    preset: PresetName = Field(
        "default", description="A named set of values; any other field overrides it."
    )
    size: int = Field(
        512,
        ge=MIN_SIZE_PX,
        le=MAX_SIZE_PX,
        description="Long side of the result, px. A picture that has it already is not resampled.",
    )
    steps: int = Field(
        150, ge=1, le=MAX_STEPS, description="Optimiser steps, over all levels of the pyramid."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")
    init: Literal["content", "noise"] = Field(
        "content", description="Where the iterate starts: the content image, or noise."
    )
    content_weight: Weight = Field(1.0, description="Weight of the content loss.")
    style_weight: Weight = Field(
        4.0, description="Weight of the style loss: how strongly to paint."
    )
    tv_weight: Weight = Field(0.0, description="Weight of the total variation: how smooth.")
    content_layers: LayerWeights = Field(
        {"relu4_2": 1.0}, description="Layers of the content loss and their weights."
    )
    style_layers: LayerWeights = Field(
        {f"relu{block}_1": 1.0 for block in range(1, 6)},
        description="Layers of the style loss and their weights.",
    )
    style_weights: list[Weight] | None = Field(
        None, description="Share of each style image, in their order. Equal when left out."
    )
    gram_divisor: Literal["none", "hw", "chw"] = Field(
        "chw",
        description="What a Gram matrix is divided by: 1, positions, or channels x positions.",
    )
    relative: bool = Field(
        True,
        description="Divide each layer's loss by its target's energy, so scales do not matter.",
    )
    optimizer: Literal["adam", "lbfgs"] = Field("lbfgs", description="Optimiser of the pixels.")
    learning_rate: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Length of a step: for L-BFGS a share of the step that it proposes, for Adam"
        f" ({ADAM_LEARNING_RATE} when not set) in units of the [0, 1] pixel range.",
    )
    betas: tuple[
        Annotated[float, Field(ge=0, lt=1)],
        Annotated[float, Field(ge=0, lt=1)],
    ] = Field((0.9, 0.99), description="Adam's decay of its first and second moments.")
    history_size: int = Field(
        20, ge=1, le=200, description="L-BFGS: gradient differences kept. Memory grows with it."
    )
    pyramid: Pyramid | None = Field(
        Pyramid(min_size=128, factor=2.0), description="Coarse to fine, or null for one level."
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the running average of iterates; 0 delivers the last.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the network; auto takes bfloat16 where it is fast."
    )
    output: Output = Field(Output(), description="Encoding of the result.")

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = values.get("preset", "default")
        preset = PRESETS.get(name) if isinstance(name, str) else None
        if preset is not None:
            inherited = dict(preset.values)
            if values.get("optimizer", inherited.get("optimizer")) != inherited.get("optimizer"):
                inherited.pop("learning_rate", None)  # it suits the preset's own optimiser only
            values = {**inherited, **values}
        if values.get("optimizer") == "adam":
            values = {"learning_rate": ADAM_LEARNING_RATE, **values}
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
        content = self.content_weight * sum(self.content_layers.values())
        style = self.style_weight * sum(self.style_layers.values())
        if content + style == 0:
            raise ValueError("all content and style weights are zero: there is nothing to paint")
        if self.style_weights is not None and sum(self.style_weights) == 0:
            raise ValueError("style_weights are all zero: give at least one style a share")
        return self


def field_names() -> tuple[str, ...]:
    """Names that a request may override, in the order of the model."""
    return tuple(Parameters.model_fields)
