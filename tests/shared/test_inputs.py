"""Which images go with which parameters, said once for the API, the engine and the client."""

from typing import Any

import pytest

from shared.inputs import faults
from shared.parameters import Parameters
from shared.presets import PRESETS

TEXTURE = {"preset": "texture"}
RECONSTRUCTION = {"preset": "reconstruction"}


def pointers(parameters: dict[str, Any], **images: Any) -> list[str]:
    given: dict[str, Any] = {"content": True, "styles": 1, "masks": 0, "init": False, **images}
    found = faults(Parameters(**parameters), **given)
    assert all(fault.detail for fault in found)
    return [fault.pointer for fault in found]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_a_photograph_and_a_painting(name: str) -> None:
    assert pointers({"preset": name}) == []


@pytest.mark.parametrize(
    ("parameters", "images"),
    [
        (TEXTURE, {"content": False}),
        (TEXTURE, {"content": False, "styles": 3, "masks": 3}),
        ({**TEXTURE, "aspect_ratio": 2.0}, {"content": False}),
        ({**TEXTURE, "aspect_ratio": 2.0}, {}),
        ({**RECONSTRUCTION, "style_weights": [1.0]}, {"styles": 0, "masks": 1}),
        (RECONSTRUCTION, {"styles": 0}),
        ({"style_weight": 0.0}, {"styles": 0}),
        ({"init": "image"}, {"init": True}),
        ({**TEXTURE, "init": "image"}, {"content": False, "init": True}),
        ({"style_weights": [1.0, 2.0]}, {"styles": 2, "masks": 2}),
    ],
)
def test_images_that_are_not_used_may_be_left_out(
    parameters: dict[str, Any], images: dict[str, Any]
) -> None:
    assert pointers(parameters, **images) == []


@pytest.mark.parametrize(
    ("parameters", "images", "pointer"),
    [
        ({}, {"content": False}, "content"),
        ({"init": "noise"}, {"content": False}, "content"),
        ({**TEXTURE, "init": "content"}, {"content": False}, "content"),
        ({**TEXTURE, "color": "match"}, {"content": False}, "content"),
        ({}, {"styles": 0}, "style"),
        ({**RECONSTRUCTION, "init": "style"}, {"styles": 0}, "style"),
        ({"init": "image"}, {}, "init"),
        ({}, {"init": True}, "init"),
        ({"style_weights": [1.0]}, {"styles": 2}, "params/style_weights"),
        ({"style_weights": [1.0, 2.0]}, {}, "params/style_weights"),
        ({}, {"masks": 2}, "mask"),
        ({}, {"styles": 3, "masks": 1}, "mask"),
        ({"aspect_ratio": 2.0}, {}, "params/aspect_ratio"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(
    parameters: dict[str, Any], images: dict[str, Any], pointer: str
) -> None:
    assert pointers(parameters, **images) == [pointer]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    wrong = {"style_weights": [1.0], "aspect_ratio": 2.0}
    assert pointers(wrong, styles=2, masks=1, init=True) == [
        "params/style_weights",
        "mask",
        "init",
        "params/aspect_ratio",
    ]


@pytest.mark.parametrize(
    ("parameters", "images", "said"),
    [
        ({"content_weight": 5.0}, {"content": False}, "content_weight=5 needs it"),
        ({**TEXTURE, "init": "content"}, {"content": False}, "init=content needs it"),
        ({**TEXTURE, "color": "luminance"}, {"content": False}, "color=luminance needs it"),
        ({"style_weight": 2.5}, {"styles": 0}, "style_weight=2.5 needs one"),
        ({"style_weights": [1.0]}, {"styles": 2}, "1 value for 2 style images"),
        ({}, {"masks": 2}, "2 masks for 1 style image"),
        ({"init": "gray"}, {"init": True}, "init=gray: set init=image"),
    ],
)
def test_the_sentence_says_which_parameter_asks_for_it(
    parameters: dict[str, Any], images: dict[str, Any], said: str
) -> None:
    given: dict[str, Any] = {"content": True, "styles": 1, "masks": 0, "init": False, **images}
    (fault,) = faults(Parameters(**parameters), **given)
    assert said in fault.detail
