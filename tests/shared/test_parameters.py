"""Parameters: what a job may ask for, and what is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.parameters import CONV_NAMES, MAX_SIZE_PX, MAX_STEPS, Parameters, field_names
from shared.presets import PRESETS, PresetName
from tests.shared.strategies import json_values, patient

NUMBERS = {
    "size": int,
    "steps": int,
    "seed": int,
    "content_weight": float,
    "style_weight": float,
    "tv_weight": float,
    "learning_rate": float,
    "history_size": int,
    "average": float,
}


def faults(values: Any) -> list[str]:
    with pytest.raises(ValidationError) as refusal:
        Parameters.model_validate(values)
    return [".".join(map(str, fault["loc"])) for fault in refusal.value.errors()]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_values_and_an_override_wins(name: str) -> None:
    plain = Parameters.model_validate({"preset": name})
    changed = Parameters.model_validate({"preset": name, "steps": 77})

    assert plain.preset == name
    dumped = plain.model_dump()
    for field, value in PRESETS[name].values.items():
        if isinstance(value, dict) and isinstance(dumped[field], dict):
            assert value.items() <= dumped[field].items(), field
        else:
            assert dumped[field] == value, field
    assert changed.steps == 77
    assert {**changed.model_dump(), "steps": plain.steps, "pyramid": None} == {
        **dumped,
        "pyramid": None,
    }


def test_steps_that_are_asked_for_go_before_those_that_a_preset_has_for_each_level() -> None:
    plain = Parameters(preset="wasserstein")
    changed = Parameters(preset="wasserstein", steps=100)
    assert plain.pyramid is not None
    assert changed.pyramid is not None
    assert plain.pyramid.steps == [1000, 500]
    assert (changed.steps, changed.pyramid.steps) == (100, None)
    assert changed.pyramid.factor == plain.pyramid.factor


@pytest.mark.parametrize(
    ("name", "quality", "steps", "level_steps"),
    [
        ("default", "draft", 60, None),
        ("default", "high", 375, None),
        ("neural-style", "high", 2500, None),
        ("wasserstein", "draft", 1200, [400, 200]),
    ],
)
def test_quality_scales_the_steps_of_a_preset(
    name: PresetName, quality: str, steps: int, level_steps: list[int] | None
) -> None:
    chosen = Parameters.model_validate({"preset": name, "quality": quality})
    assert chosen.steps == steps
    assert (chosen.pyramid.steps if chosen.pyramid else None) == level_steps
    assert Parameters.model_validate(chosen.model_dump(mode="json")) == chosen
    asked = Parameters.model_validate({"preset": name, "quality": quality, "steps": 9})
    assert asked.steps == 9


def test_part_of_a_nested_value_takes_the_rest_from_the_preset() -> None:
    chosen = Parameters.model_validate({"preset": "wasserstein", "pyramid": {"min_size": 64}})
    assert chosen.pyramid is not None
    assert (chosen.pyramid.min_size, chosen.pyramid.steps) == (64, [1000, 500])


def test_steps_of_another_optimiser_or_in_other_units_are_of_another_length() -> None:
    pixels = Parameters(optimizer="adam").learning_rate
    assert Parameters(optimizer="adam", space="bytes").learning_rate == pytest.approx(255 * pixels)
    assert Parameters(preset="d2l").learning_rate == 0.3
    assert Parameters(preset="wasserstein", space="pixels").learning_rate == 0.02
    assert Parameters(preset="d2l", space="pixels").learning_rate == pixels
    assert Parameters(preset="d2l", optimizer="lbfgs").learning_rate == 1.0


def test_what_a_preset_does_not_name_stays_at_the_default() -> None:
    default = Parameters()
    for name, preset in PRESETS.items():
        chosen = Parameters.model_validate({"preset": name})
        for field in set(field_names()) - set(preset.values) - {"preset"}:
            assert getattr(chosen, field) == getattr(default, field)


def test_part_of_a_nested_value_takes_the_rest_from_the_defaults() -> None:
    parameters = Parameters.model_validate({"pyramid": {"min_size": 64}, "output": {"quality": 3}})
    assert parameters.pyramid is not None
    assert (parameters.pyramid.min_size, parameters.pyramid.factor) == (64, 2.0)
    assert (parameters.output.format, parameters.output.quality) == ("png", 3)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"pyramid": None, "betas": [0.5, 0.75], "style_weights": [1, 2.5], "seed": 2**63 - 1},
        {"content_layers": {"conv4_2": 1e-12}, "style_layers": {"relu1_1": 1e12}},
    ],
)
def test_what_is_dumped_validates_to_itself(name: str, values: dict[str, Any]) -> None:
    parameters = Parameters.model_validate({"preset": name, **values})
    assert Parameters.model_validate(parameters.model_dump()) == parameters
    assert Parameters.model_validate(json.loads(parameters.model_dump_json())) == parameters


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"size": 31}, "size"),
        ({"size": MAX_SIZE_PX + 1}, "size"),
        ({"steps": 0}, "steps"),
        ({"steps": MAX_STEPS + 1}, "steps"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"content_weight": -0.1}, "content_weight"),
        ({"style_weight": 1.1e12}, "style_weight"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": 100.1}, "learning_rate"),
        ({"betas": [0.9, 1.0]}, "betas.1"),
        ({"betas": [-0.1, 0.9]}, "betas.0"),
        ({"betas": [0.9]}, "betas.1"),
        ({"betas": [0.9, 0.9, 0.9]}, "betas"),
        ({"betas": "0.9,0.9"}, "betas"),
        ({"history_size": 0}, "history_size"),
        ({"history_size": 201}, "history_size"),
        ({"average": 1.0}, "average"),
        ({"pyramid": {"factor": 1.0}}, "pyramid.factor"),
        ({"pyramid": {"min_size": 16}}, "pyramid.min_size"),
        ({"pyramid": {"levels": 3}}, "pyramid.levels"),
        ({"pyramid": [128, 2.0]}, "pyramid"),
        ({"output": {"format": "gif"}}, "output.format"),
        ({"output": {"quality": 101}}, "output.quality"),
        ({"output": None}, "output"),
        ({"init": "random"}, "init"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"precision": "float64"}, "precision"),
        ({"gram_divisor": "n"}, "gram_divisor"),
        ({"preset": "unknown"}, "preset"),
        ({"preset": None}, "preset"),
        ({"preset": []}, "preset"),
        ({"preset": {"name": "default"}}, "preset"),
        ({"stile_weight": 1.0}, "stile_weight"),
        ({"style_layers": {"relu9_1": 1.0}}, "style_layers"),
        ({"style_layers": {"relu1_1": -1.0}}, "style_layers.relu1_1"),
        ({"content_layers": ["relu4_2"]}, "content_layers"),
        ({"style_weights": [1.0, -1.0]}, "style_weights.1"),
        ({"style_weights": 1.0}, "style_weights"),
    ],
)
def test_a_value_out_of_bounds_is_refused_where_it_stands(
    values: dict[str, Any], where: str
) -> None:
    assert faults(values) == [where]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [True, "1", [1], {}, math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused_for_a_number(field: str, value: object) -> None:
    assert faults({field: value}) == [field]


@pytest.mark.parametrize("field", [name for name, kind in NUMBERS.items() if kind is int])
def test_a_whole_number_is_not_rounded_from_a_fraction(field: str) -> None:
    assert faults({field: 64.5}) == [field]


def test_an_integer_is_taken_where_a_float_is_meant() -> None:
    assert Parameters.model_validate({"style_weight": 5}).style_weight == 5.0


def test_an_unknown_layer_is_named_with_what_was_expected() -> None:
    with pytest.raises(ValidationError, match=r"unknown layer 'relu6_1': expected conv1_1"):
        Parameters.model_validate({"content_layers": {"relu6_1": 1.0}})


@pytest.mark.parametrize("name", [*CONV_NAMES, *(n.replace("conv", "relu") for n in CONV_NAMES)])
def test_every_layer_of_the_network_can_be_asked_for(name: str) -> None:
    assert Parameters.model_validate({"style_layers": {name: 1.0}}).style_layers == {name: 1.0}


@pytest.mark.parametrize(
    "values",
    [
        {"content_weight": 0, "style_weight": 0},
        {"content_layers": {}, "style_layers": {}},
        {"content_weight": 0, "style_layers": {"relu1_1": 0.0}},
        {"style_weights": [0, 0]},
        {"style_weights": []},
    ],
)
def test_a_job_with_nothing_to_paint_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="zero"):
        Parameters.model_validate(values)


@pytest.mark.parametrize("values", [{"content_weight": 0}, {"style_layers": {}}])
def test_one_of_content_and_style_is_enough(values: dict[str, Any]) -> None:
    assert Parameters.model_validate(values)


@pytest.mark.parametrize("value", [None, [], "default", 3])
def test_only_an_object_is_taken(value: object) -> None:
    assert faults(value) == [""]


@patient
@given(st.dictionaries(st.sampled_from(field_names()), json_values, max_size=4))
def test_any_values_give_valid_parameters_or_a_validation_error(values: dict[str, Any]) -> None:
    try:
        parameters = Parameters.model_validate(values)
    except ValidationError:
        return
    assert Parameters.model_validate(json.loads(parameters.model_dump_json())) == parameters
