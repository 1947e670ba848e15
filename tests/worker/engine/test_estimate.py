"""A speed measured here foretells a small run here, within a generous factor: machines are busy."""

import time

import pytest
from torch import Tensor

from shared.estimates import Speed
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, estimate, measure_speed
from worker.engine.speed import non_negative_rates

GENEROUS = 4.0


@pytest.fixture(scope="module")
def speed(vgg: VGG19) -> Speed:
    return measure_speed(vgg)


def test_every_rate_that_matters_is_measured(speed: Speed) -> None:
    for network in (speed.float32, speed.bfloat16):
        assert network.seconds_per_flop + network.seconds_per_value > 0
    assert speed.seconds_per_product_flop > 0
    assert speed.seconds_per_byte > 0
    assert speed.seconds_per_call > 0


@pytest.mark.parametrize("values", [{}, {"style_loss": "wasserstein"}, {"optimizer": "adam"}])
def test_a_small_run_takes_about_as_long_as_foretold(
    vgg: VGG19, content: Tensor, style: Tensor, speed: Speed, values: dict[str, str]
) -> None:
    parameters = Parameters.model_validate({"size": 192, "steps": 6, "pyramid": None, **values})
    run = Stylization(vgg, content, [style], parameters)
    expected = estimate(run, speed)
    assert expected.steps == run.total_steps
    started = time.perf_counter()
    for _ in run:
        pass
    run.picture()
    seconds = time.perf_counter() - started
    assert seconds / GENEROUS < expected.seconds < seconds * GENEROUS


def test_rates_are_found_again_from_exact_times() -> None:
    rates = (2.0, 0.0, 3e-6)
    work = [(1.0, 5.0, 1e6), (2.0, 1.0, 5e6), (10.0, 2.0, 2e6), (1.0, 1.0, 8e6)]
    seconds = [sum(a * r for a, r in zip(row, rates, strict=True)) for row in work]
    assert non_negative_rates(work, seconds) == pytest.approx(rates, rel=1e-3, abs=1e-3)


def test_no_rate_is_negative_whatever_the_times() -> None:
    work = [(1.0, 1.0), (2.0, 1.0)]
    assert all(rate >= 0 for rate in non_negative_rates(work, [3.0, 1.0]))
