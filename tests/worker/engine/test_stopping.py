"""Rules that end a level early, by themselves and in a run."""

from typing import Any

import pytest
import torch
from torch import Tensor

from shared.levels import Level
from shared.parameters import Parameters, Plateau
from tests.worker.engine.conftest import finish, small, start
from worker.engine import VGG19, Progress, Stylization, stopping
from worker.engine.stopping import Deadline, PlateauWatch

OPTIMIZERS = [
    pytest.param({"optimizer": "adam", "average": 0.8}, id="adam"),
    pytest.param({"optimizer": "lbfgs"}, id="lbfgs"),
]
LONG: dict[str, Any] = {"steps": 400, "pyramid": {"min_size": 32, "factor": 2.0}}
# Ends both levels of a small run after a few steps
PLATEAU = {"window": 2, "change": 0.5}


class Clock:
    """Stands still, except that every step takes a second."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopping, "time", clock)
    return clock


def run_by(clock: Clock, run: Stylization) -> list[Progress]:
    """All steps of `run`, of a second each."""
    evaluate = run._evaluate

    def slow(*arguments: Any) -> Any:
        clock.now += 1
        return evaluate(*arguments)

    run._evaluate = slow  # type: ignore[method-assign]
    return list(run)


def reproduce(
    run: Stylization, vgg: VGG19, content: Tensor, style: Tensor
) -> tuple[Parameters, Tensor]:
    """What a run says gives its picture again, through JSON, and what it gives."""
    parameters = Parameters.model_validate_json(run.reproducing_parameters.model_dump_json())
    return parameters, finish(Stylization(vgg, content, [style], parameters))


def test_a_plateau_is_a_window_in_which_the_loss_fell_by_less_than_its_share() -> None:
    watch = PlateauWatch(Plateau(window=2, change=0.1))
    losses = [100, 90, 80, 70, 60, 66, 55]
    stopped = [watch.has_stopped(step, torch.tensor(loss)) for step, loss in enumerate(losses, 1)]
    # looks at 90, 70 and 66: the last fell by less than a tenth
    assert stopped == [False, False, False, False, False, True, False]


def test_a_loss_that_rises_is_a_plateau() -> None:
    watch = PlateauWatch(Plateau(window=2, change=0.1))
    assert not watch.has_stopped(2, torch.tensor(1.0))
    assert watch.has_stopped(4, torch.tensor(2.0))


def test_the_levels_share_the_time_by_their_pixels_and_steps(clock: Clock) -> None:
    levels = [Level(10, 10, 10, steps=30), Level(20, 20, 20, steps=20)]  # 3000 and 8000
    deadline = Deadline(11.0, levels)
    assert not deadline.has_passed(0)
    deadline.start()
    clock.now += 2.9
    assert not deadline.has_passed(0)
    clock.now += 0.2
    assert deadline.has_passed(0)
    assert not deadline.has_passed(1)
    clock.now += 8
    assert deadline.has_passed(1)


def test_time_counts_from_the_first_step_and_not_while_nobody_paints(clock: Clock) -> None:
    deadline = Deadline(10.0, [Level(10, 10, 10, steps=1)])
    clock.now += 1000
    assert deadline.elapsed_seconds == 0
    deadline.start()
    clock.now += 4
    deadline.start()
    assert deadline.elapsed_seconds == 4
    later = Deadline(10.0, [Level(10, 10, 10, steps=1)])
    later.resume(4)
    clock.now += 1000
    assert later.elapsed_seconds == 4
    later.start()
    clock.now += 7
    assert later.has_passed(0)


@pytest.mark.parametrize("recipe", OPTIMIZERS)
def test_a_plateau_ends_levels_and_the_steps_in_all_fall(
    recipe: dict[str, Any], vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, **{**LONG, **recipe}, plateau=PLATEAU)
    seen = list(run)
    assert seen[0].total_steps == 400
    assert seen[-1].total_steps == seen[-1].step == run.step == run.total_steps == len(seen) < 100
    first = [progress for progress in seen if progress.level == 0]
    assert first[-1].total_steps == len(first) + 200
    assert {progress.level for progress in seen} == {0, 1}
    assert [progress.step for progress in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("recipe", OPTIMIZERS)
def test_a_run_that_a_plateau_ended_can_be_reproduced_bit_by_bit(
    recipe: dict[str, Any], vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, **{**LONG, **recipe}, plateau=PLATEAU)
    picture = finish(run)
    parameters, again = reproduce(run, vgg, content, style)
    assert parameters.plateau is None
    assert torch.equal(again, picture)


@pytest.mark.parametrize("recipe", OPTIMIZERS)
def test_a_deadline_ends_levels_in_time_and_the_picture_can_be_reproduced(
    recipe: dict[str, Any], clock: Clock, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, **{**LONG, **recipe}, deadline_seconds=10)
    seen = run_by(clock, run)
    # A level of a quarter of the pixels gets a fifth of the time
    assert [progress.level for progress in seen] == [0] * 2 + [1] * 8
    assert run.total_steps == 10
    parameters, again = reproduce(run, vgg, content, style)
    assert parameters.deadline_seconds is None
    assert torch.equal(again, run.picture())


def test_a_deadline_without_a_pyramid_can_be_reproduced(
    clock: Clock, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, steps=400, pyramid=None, deadline_seconds=6)
    assert len(run_by(clock, run)) == 6
    parameters, again = reproduce(run, vgg, content, style)
    assert parameters.steps == 6
    assert torch.equal(again, run.picture())


def test_a_deadline_that_is_far_away_changes_nothing(
    clock: Clock, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, deadline_seconds=1000)
    assert len(run_by(clock, run)) == 7
    assert torch.equal(run.picture(), finish(start(vgg, content, style)))
    assert torch.equal(reproduce(run, vgg, content, style)[1], run.picture())


def test_every_level_has_at_least_one_step_however_little_time_there_is(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, **LONG, deadline_seconds=1e-6)
    seen = list(run)
    assert [(progress.level, progress.step) for progress in seen] == [(0, 1), (1, 2)]
    assert (run.total_steps, seen[-1].total_steps) == (2, 2)
    assert run.picture().shape == (48, 64, 3)
    assert torch.equal(reproduce(run, vgg, content, style)[1], run.picture())


def test_a_real_deadline_is_kept_but_for_a_step(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    run = start(vgg, content, style, steps=10_000, deadline_seconds=0.5)
    finish(run)
    assert 2 <= run.total_steps < 10_000
    assert torch.equal(reproduce(run, vgg, content, style)[1], run.picture())


def test_a_narrow_picture_whose_coarse_levels_are_left_out_can_be_reproduced(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    narrow = content[:, :20]  # 20 x 64: too narrow for relu5_1 at 32 px
    deep = {"style_layers": {"relu5_1": 1.0}}
    run = start(vgg, narrow, style, **LONG, **deep, plateau=PLATEAU)
    finish(run)
    assert len(run.levels) == 1
    assert torch.equal(reproduce(run, vgg, narrow, style)[1], run.picture())


def test_parameters_without_a_stop_rule_reproduce_as_they_are(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    assert start(vgg, content, style).reproducing_parameters == small()


def test_a_stopped_run_that_was_interrupted_and_resumed_gives_the_identical_picture(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    """Between two looks at the plateau, and after a level was ended early."""
    whole = start(vgg, content, style, **LONG, plateau=PLATEAU)
    states = [whole.state_dict() for _ in whole]
    for index in (2, len(states) // 2, len(states) - 2):
        resumed = start(vgg, content, style, **LONG, plateau=PLATEAU)
        resumed.load_state_dict(states[index])
        steps = [progress.step for progress in resumed]
        assert steps == list(range(index + 2, len(states) + 1))
        assert torch.equal(resumed.picture(), whole.picture())
        assert resumed.reproducing_parameters == whole.reproducing_parameters


def test_time_that_was_spent_before_an_interruption_counts(
    clock: Clock, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, **LONG, deadline_seconds=10)
    evaluate = run._evaluate

    def slow(*arguments: Any) -> Any:
        clock.now += 1
        return evaluate(*arguments)

    run._evaluate = slow  # type: ignore[method-assign]
    for progress in run:
        if progress.step == 5:
            break
    state = run.state_dict()
    clock.now += 10_000  # nobody paints
    resumed = start(vgg, content, style, **LONG, deadline_seconds=10)
    resumed.load_state_dict(state)
    assert resumed.remaining_seconds == 5
    assert len(run_by(clock, resumed)) == 5
