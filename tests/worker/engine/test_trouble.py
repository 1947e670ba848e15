"""Losses that are no numbers, and too little memory: how a run goes on, or ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.engine.conftest import finish, paint_content, paint_style, start
from worker.engine import VGG19, Diverged
from worker.engine.objective import LossValues, Objective
from worker.engine.stylization import CAUTION, LOOK_EVERY_STEPS, MAX_RECOVERIES

OPTIMIZERS = [
    pytest.param({"optimizer": "adam", "average": 0.8}, id="adam"),
    pytest.param({"optimizer": "lbfgs"}, id="lbfgs"),
]
TINY = (paint_content(24, 32), paint_style(32, 32))
# L-BFGS with nothing that holds its steps back
UNBOUND: dict[str, Any] = {
    "optimizer": "lbfgs",
    "max_step": None,
    "clamp": False,
    "size": 32,
    "steps": 40,
    "pyramid": None,
}
Spoil = Callable[..., None]


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """Has the evaluations with these numbers, from 1, give losses and gradients that are no
    numbers."""

    def spoil(*numbers: int) -> None:
        evaluate = Objective.__call__
        done = 0

        def spoiled(self: Objective, variable: Tensor) -> tuple[LossValues, Tensor]:
            nonlocal done
            done += 1
            losses, gradient = evaluate(self, variable)
            if done in numbers:
                return replace(losses, values=losses.values * torch.nan), gradient * torch.nan
            return losses, gradient

        monkeypatch.setattr(Objective, "__call__", spoiled)

    return spoil


@pytest.mark.parametrize("recipe", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_that_diverges_goes_back_and_finishes_with_a_good_picture(
    recipe: dict[str, Any],
    precision: str,
    vgg: VGG19,
    content: Tensor,
    style: Tensor,
    spoil: Spoil,
) -> None:
    values = {**recipe, "steps": 24, "pyramid": None, "precision": precision}
    spoil(14)
    run = start(vgg, content, style, **values)
    seen = list(run)

    # Step 21 looks at the loss of the twentieth iterate; the tenth was the last that was good
    back = 2 * LOOK_EVERY_STEPS
    assert [progress.step for progress in seen] == [
        *range(1, back + 1),
        *range(LOOK_EVERY_STEPS, 25),
    ]
    assert not seen[13].losses().is_finite
    assert all(progress.losses().is_finite for progress in seen[back + 1 :])
    assert run.step == run.total_steps == 24
    # Steps of a quarter of the length lead less far, but on
    assert run.delivered_losses().total < seen[LOOK_EVERY_STEPS].losses().total
    assert run.delivered_losses().total < 0.5 * seen[0].losses().total


def test_after_going_back_steps_are_smaller_and_in_float32(
    vgg: VGG19, content: Tensor, style: Tensor, spoil: Spoil
) -> None:
    """The same as a run that began there, with a smaller learning rate and no rounding."""
    values = {"optimizer": "adam", "pyramid": None, "learning_rate": 0.04}
    spoil(1)
    run = start(vgg, content, style, **values, steps=5, precision="bfloat16")
    seen = list(run)
    assert [progress.step for progress in seen] == [0, 1, 2, 3, 4, 5]
    values["learning_rate"] = 0.04 * CAUTION
    cautious = start(vgg, content, style, **values, steps=5, precision="float32")
    assert torch.equal(run.picture(), finish(cautious))


def test_a_level_that_diverges_at_its_end_does_not_hand_on(
    vgg: VGG19, content: Tensor, style: Tensor, spoil: Spoil
) -> None:
    """Not in its last step, nor in one that only a stop rule made the last."""
    spoil(4)
    run = start(vgg, content, style)
    levels = [progress.level for progress in run]
    assert levels == [0] * 4 + [0] * 4 + [1] * 3
    assert run.picture().float().std() > 10
    late = start(vgg, content, style, steps=100, pyramid=None, deadline_seconds=1e-6)
    spoil(1)
    seen = list(late)
    assert [progress.step for progress in seen] == [0, 1]
    assert late.reproducing_parameters.steps == 1
    assert late.picture().float().std() > 10


def test_after_too_many_recoveries_it_fails_as_diverged(
    vgg: VGG19, content: Tensor, style: Tensor, spoil: Spoil
) -> None:
    spoil(*range(1, 100))
    run = start(vgg, content, style)
    steps: list[int] = []
    with pytest.raises(Diverged, match="smaller learning_rate") as error:
        steps.extend(progress.step for progress in run)
    assert steps == [0] * MAX_RECOVERIES
    assert error.value.code == "diverged"


def test_losses_of_a_picture_that_is_none_fail_as_diverged(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style)
    state = run.state_dict()
    state["progress"]["variable"] += torch.nan
    state["progress"]["average"]["sum"] += torch.nan
    run.load_state_dict(state)
    with pytest.raises(Diverged, match="not numbers"):
        run.delivered_losses()


@pytest.mark.parametrize("recipe", OPTIMIZERS)
@pytest.mark.parametrize("stop", [3, 12, 20])
def test_a_state_of_a_run_that_went_back_resumes_bit_by_bit(
    recipe: dict[str, Any],
    stop: int,
    vgg: VGG19,
    content: Tensor,
    style: Tensor,
    spoil: Spoil,
) -> None:
    """Saved before anybody has seen that it is no picture any more, and after."""
    values = {**recipe, "steps": 16, "pyramid": None, "precision": "bfloat16"}
    spoil(2)
    whole = start(vgg, content, style, **values)
    states = [whole.state_dict() for _ in whole]
    resumed = start(vgg, content, style, **values)
    resumed.load_state_dict(states[stop])
    finish(resumed)
    assert torch.equal(resumed.picture(), whole.picture())
    assert resumed.state_dict()["recoveries"] == whole.state_dict()["recoveries"] > 0


def test_a_resumed_run_can_still_go_back(
    vgg: VGG19, content: Tensor, style: Tensor, spoil: Spoil
) -> None:
    values = {"steps": 16, "pyramid": None}
    run = start(vgg, content, style, **values)
    for progress in run:
        if progress.step == 13:
            break
    state = run.state_dict()
    resumed = start(vgg, content, style, **values)
    resumed.load_state_dict(state)
    spoil(1)
    assert [progress.step for progress in resumed][-1] == 16
    assert resumed.delivered_losses().is_finite


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_that_are_too_long_overflow_and_the_run_goes_back_and_paints_with_shorter_ones(
    precision: str, vgg: VGG19
) -> None:
    """Nothing is spoilt here: L-BFGS by itself, at eight times the step that it proposes."""
    run = start(vgg, *TINY, **UNBOUND, learning_rate=8.0, precision=precision)
    losses = [progress.losses() for progress in run]
    assert not all(each.is_finite for each in losses)
    assert run.state_dict()["recoveries"] > 0
    assert run.delivered_losses().total < 0.2 * losses[0].total


@pytest.mark.parametrize(
    "absurd",
    [
        pytest.param({"learning_rate": 100.0}, id="steps"),
        pytest.param(
            {"gram_divisor": "none", "relative": False, "style_weight": 1e12}, id="weights"
        ),
    ],
)
def test_where_shorter_steps_do_not_help_it_fails_as_diverged(
    absurd: dict[str, Any], vgg: VGG19
) -> None:
    with pytest.raises(Diverged, match="smaller weights"):
        finish(start(vgg, *TINY, **{**UNBOUND, **absurd}))


MEMORY = """
import hashlib, json, os, resource, torch
torch.set_num_threads(1)
from shared.parameters import Parameters
from tests.worker.engine.conftest import paint_content, paint_style
from worker.engine import VGG19, OutOfMemory, Stylization, load_weights, vgg as module

SIZE = 288
module.keep_freed_memory = lambda: None  # else what is freed counts, and in ever new pieces
vgg = VGG19(load_weights(), "cpu")

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) * 1024

def start(size):
    parameters = Parameters(size=size, steps=2, precision="float32", history_size=1, pyramid=None)
    return Stylization(vgg, paint_content(size, size), [paint_style(64, 64)], parameters)

def picture(run):
    for _ in run:
        pass
    return hashlib.sha256(run.picture().numpy().tobytes()).hexdigest()

def paint(limit=None, warned=False, recompute=False):
    # In a process of its own, which from now on may take `limit` more bytes than it has. If it is
    # `warned`, the run is made when there is a limit already
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run = None if warned else start(SIZE)
            before = status("VmSize")
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_AS, (before + limit, before + limit))
            try:
                run = run or start(SIZE)
                run._recompute |= recompute
                outcome = {"picture": picture(run), "recomputed": run._recompute}
            except OutOfMemory as error:
                outcome = {"code": error.code, "message": str(error)}
            except BaseException as error:
                outcome = {"raised": repr(error)}
            outcome["grown"] = status("VmPeak") - before
            os.write(writing, json.dumps(outcome).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        outcome = file.read()
    os.waitpid(child, 0)
    return json.loads(outcome or '{"raised": "the process died"}')

picture(start(64))  # what is made once is made
full, less = paint(), paint(recompute=True)
print(json.dumps({
    "full": full,
    "less": less,
    "short": paint(limit=(full["grown"] + less["grown"]) // 2),
    "nothing": paint(limit=less["grown"] // 3),
    "nothing, and it is known": paint(limit=less["grown"] // 3, warned=True),
}))
"""


@pytest.fixture(scope="module")
def short_of_memory() -> dict[str, dict[str, Any]]:
    """A run with memory enough, one that recomputes, and others with real limits: between the peaks
    of those, and far below both.

    The limit is on the address space of a process. With one thread and with every large block
    mapped by itself, the peaks of a process are the same again in another that does the same.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of the address space are Linux's")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return outcomes


def test_a_run_that_recomputes_takes_less_memory_and_paints_the_identical_picture(
    short_of_memory: dict[str, dict[str, Any]],
) -> None:
    full, less = short_of_memory["full"], short_of_memory["less"]
    assert less["grown"] < 0.95 * full["grown"]
    assert less["picture"] == full["picture"]


def test_where_memory_runs_short_on_the_way_a_run_recomputes_and_paints_the_identical_picture(
    short_of_memory: dict[str, dict[str, Any]],
) -> None:
    assert not short_of_memory["full"]["recomputed"]
    short = short_of_memory["short"]
    assert short.get("picture") == short_of_memory["full"]["picture"], short
    assert short["recomputed"]


@pytest.mark.parametrize("case", ["nothing", "nothing, and it is known"])
def test_where_nothing_fits_it_says_so_and_what_would(
    case: str, short_of_memory: dict[str, dict[str, Any]]
) -> None:
    """On the way, and before any work."""
    outcome = short_of_memory[case]
    assert outcome.get("code") == "out_of_memory", outcome
    assert "picture of 288 x 288 px" in outcome["message"]
    assert "size" in outcome["message"]
