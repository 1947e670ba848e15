"""Estimates: arithmetic, and what must grow with what."""

from typing import Any

import pytest

from shared.errors import InvalidInput
from shared.estimates import Estimate, NetworkSpeed, Speed, Work, estimate, network_pass
from shared.footprint import Images, peak_bytes
from shared.levels import plan_levels
from shared.network import LINE, convolutions
from shared.parameters import Parameters

CONTENT, STYLE = (600, 800), (500, 700)
SPEED = Speed(
    float32=NetworkSpeed(seconds_per_flop=1e-11, seconds_per_value=1e-9, seconds_per_weight=1e-9),
    bfloat16=NetworkSpeed(
        seconds_per_flop=5e-12, seconds_per_value=5e-10, seconds_per_weight=5e-10
    ),
    seconds_per_product_flop=1e-11,
    seconds_per_byte=1e-10,
    seconds_per_call=1e-6,
)


def estimated(
    styles: int = 1, masked: bool = False, on_cpu: bool = True, **values: Any
) -> Estimate:
    return estimate(
        Parameters.model_validate(values),
        CONTENT,
        [STYLE] * styles,
        speed=SPEED,
        precision="bfloat16",
        masked=masked,
        on_cpu=on_cpu,
    )


def test_the_operations_of_vgg_are_those_that_are_published() -> None:
    # 19.6 billion multiplications for 224 x 224 px (Simonyan & Zisserman), of which the three fully
    # connected layers, which are not here, have 0.12
    work = network_pass(["conv5_4"], (224, 224))
    assert work.flops / 2 == pytest.approx(19.5e9, rel=0.01)
    assert work.weights == pytest.approx(20e6, rel=0.01)
    assert [c.name for c in convolutions(["relu2_1"])] == ["conv1_1", "conv1_2", "conv2_1"]
    assert sum(1 for _ in convolutions(LINE)) == 16


def test_seconds_are_work_times_speed() -> None:
    work = Work(flops=2, values=3, weights=5, calls=7, product_flops=11, bytes=13)
    assert (work + work * 2).seconds(SPEED.float32, SPEED) == pytest.approx(
        3 * (2e-11 + 3e-9 + 5e-9 + 7e-6 + 11e-11 + 13e-10)
    )


def test_the_levels_are_those_that_will_be_painted() -> None:
    expected = estimated(size=512, steps=100)
    assert expected.steps == 100
    planned = plan_levels(CONTENT, [STYLE], Parameters(size=512, steps=100))
    assert [(level.width_px, level.height_px, level.steps) for level in expected.levels] == [
        (level.width, level.height, level.steps) for level in planned
    ]
    assert sum(level.seconds for level in expected.levels) < expected.seconds
    assert [level.seconds for level in expected.levels] == sorted(
        level.seconds for level in expected.levels
    )


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"steps": 20}, {"steps": 40}),
        ({"size": 256}, {"size": 384}),
        ({"precision": "bfloat16"}, {"precision": "float32"}),
        (
            {"content_layers": {"relu3_1": 1.0}, "style_weight": 0.0},
            {"content_layers": {"relu5_1": 1.0}, "style_weight": 0.0},
        ),
        ({"style_loss": "gram"}, {"style_loss": "wasserstein"}),
        ({"history_size": 2}, {"history_size": 50}),
        ({"line_search": "none"}, {"line_search": "strong-wolfe"}),
        ({"style_scale": 1.0}, {"style_scale": 4.0}),
        ({"styles": 1}, {"styles": 3}),
        ({"styles": 2}, {"styles": 2, "masked": True}),
        ({"tv_weight": 0.0}, {"tv_weight": 1.0}),
    ],
)
def test_more_work_takes_longer(less: dict[str, Any], more: dict[str, Any]) -> None:
    assert estimated(**less).seconds < estimated(**more).seconds


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"size": 256}, {"size": 384}),
        ({"size": 384}, {"size": 2048}),
        ({"precision": "bfloat16"}, {"precision": "float32"}),
        ({"optimizer": "adam"}, {"history_size": 50}),
        ({"style_scale": 1.0}, {"style_scale": 4.0}),
        ({"styles": 1}, {"styles": 3}),
        ({"on_cpu": False}, {"on_cpu": True}),
        ({"content_weight": 0.0}, {"content_layers": {"relu1_1": 1.0}}),
    ],
)
def test_more_to_hold_takes_more_memory(less: dict[str, Any], more: dict[str, Any]) -> None:
    assert estimated(**less).memory_bytes < estimated(**more).memory_bytes


def test_twice_the_steps_take_twice_the_time_when_nothing_is_remembered() -> None:
    seconds = [
        estimated(size=256, steps=steps, optimizer="adam", pyramid=None).levels[0].seconds
        for steps in (100, 200, 300)
    ]
    assert seconds[2] - seconds[1] == pytest.approx(seconds[1] - seconds[0])


def test_a_deadline_bounds_the_time_but_not_the_steps() -> None:
    free, bound = estimated(steps=1000), estimated(steps=1000, deadline_seconds=3.0)
    assert bound.steps == free.steps
    assert 3 < bound.seconds < 4 < free.seconds


def test_images_that_are_not_used_cost_nothing() -> None:
    reconstruction = {"preset": "reconstruction", "size": 256}
    assert estimated(styles=3, **reconstruction) == estimated(styles=0, **reconstruction)
    texture = Parameters(preset="texture", size=256)
    with_content, without = (
        estimate(texture, content, [STYLE], speed=SPEED, precision="float32")
        for content in (CONTENT, None)
    )
    assert with_content == without


def test_auto_is_what_it_means_on_the_worker() -> None:
    parameters = Parameters(size=256)
    auto, named = (
        estimate(asked, CONTENT, [STYLE], speed=SPEED, precision=meaning)
        for asked, meaning in [
            (parameters, "float32"),
            (parameters.model_copy(update={"precision": "float32"}), "bfloat16"),
        ]
    )
    assert auto == named


def test_an_image_that_is_too_small_is_refused_as_the_engine_would() -> None:
    with pytest.raises(InvalidInput, match=r"the content image would be .* px at size 256"):
        estimate(Parameters(size=256), (10, 800), [STYLE], speed=SPEED, precision="float32")


def test_computing_activations_again_takes_less_memory() -> None:
    parameters = Parameters(size=512, steps=10)
    images = Images(CONTENT, [STYLE])
    levels = plan_levels(CONTENT, [STYLE], parameters)
    kept, again = (
        peak_bytes(parameters, levels, images, "float32", on_cpu=True, recompute=recompute)
        for recompute in (False, True)
    )
    assert again < kept


def test_a_float32_network_holds_at_least_its_activations() -> None:
    parameters = Parameters(
        size=1024, steps=1, optimizer="adam", pyramid=None, content_weight=0.0,
        style_layers={"relu2_2": 1.0},
    )  # fmt: skip
    shape = (1024, 1024)
    levels = plan_levels(shape, [shape], parameters)
    activations = 4 * 1024**2 * (2 * 64 + (64 + 2 * 128) / 4)
    found = peak_bytes(
        parameters, levels, Images(shape, [shape]), "float32", on_cpu=False, recompute=False
    )
    assert activations < found < 2 * activations


def test_a_speed_can_be_sent_and_read() -> None:
    assert Speed.model_validate_json(SPEED.model_dump_json()) == SPEED
