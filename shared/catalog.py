"""The presets and parameters there are, as `/v1/presets` and `impasto presets` list them."""

from typing import Any

from pydantic import BaseModel, Field

from shared.parameters import Parameters
from shared.presets import PRESETS


class PresetView(BaseModel):
    """A preset, with the value of every parameter."""

    name: str
    summary: str
    source: str = Field(description="Whose recipe it is.")
    uses_content: bool = Field(description="Whether it needs a content image.")
    uses_styles: bool = Field(description="Whether it needs style images.")
    parameters: Parameters


class Catalog(BaseModel):
    """All presets, and the schema that parameters follow."""

    presets: list[PresetView]
    parameters_schema: dict[str, Any] = Field(description="JSON Schema of the parameters.")


def catalog() -> Catalog:
    """All presets, resolved, and the JSON Schema of the parameters."""
    views = []
    for name, preset in PRESETS.items():
        parameters = Parameters.model_validate({"preset": name})
        views.append(
            PresetView(
                name=name,
                summary=preset.summary,
                source=preset.source,
                uses_content=parameters.uses_content,
                uses_styles=parameters.uses_styles,
                parameters=parameters,
            )
        )
    return Catalog(presets=views, parameters_schema=Parameters.model_json_schema())
