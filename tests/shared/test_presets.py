"""Presets are data that the parameters take."""

from typing import get_args

import pytest

from shared.parameters import Parameters, field_names
from shared.presets import PRESETS, PresetName


def test_the_names_that_a_request_may_use_are_the_presets_there_are() -> None:
    assert set(get_args(PresetName)) == set(PRESETS)


def test_the_default_preset_is_the_defaults() -> None:
    assert PRESETS["default"].values == {}
    assert Parameters.model_validate({"preset": "default"}) == Parameters()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_only_parameters_and_says_what_it_is(name: str) -> None:
    preset = PRESETS[name]
    assert set(preset.values) <= set(field_names()) - {"preset"}
    assert Parameters.model_validate({"preset": name}).preset == name
    assert preset.summary.endswith(".")
    assert preset.source


def test_presets_differ() -> None:
    chosen = [Parameters.model_validate({"preset": name}) for name in PRESETS]
    assert len({p.model_dump_json(exclude={"preset"}) for p in chosen}) == len(PRESETS)
