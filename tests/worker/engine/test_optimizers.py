import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from worker.engine.optimizers import LBFGS, Adam, Optimizer, build_optimizer

SHAPE = (3, 5, 8)
Gradient = Callable[[Tensor], Tensor]


@pytest.fixture
def start() -> Tensor:
    return torch.full(SHAPE, 0.5)


@pytest.fixture
def gradient() -> Gradient:
    """Of Σ c (cosh(x - t) - 1): convex, far from quadratic where c is large, minimum inside."""
    generator = torch.Generator().manual_seed(0)
    target = 0.3 + 0.4 * torch.rand(SHAPE, generator=generator)
    curvature = 10 ** (3 * torch.rand(SHAPE, generator=generator))

    def compute(x: Tensor) -> Tensor:
        return curvature * torch.sinh(x - target)

    return compute


def run(optimizer: Optimizer, x: Tensor, gradient: Gradient, steps: int) -> Tensor:
    for _ in range(steps):
        optimizer.step(x, gradient(x))
    return x


def torch_run(optimizer: torch.optim.Optimizer, x: Tensor, gradient: Gradient, steps: int) -> None:
    def closure() -> float:
        x.grad = gradient(x.detach())
        return 0.0

    for _ in range(steps):
        optimizer.step(closure)


def test_adam_steps_as_torchs_does(start: Tensor, gradient: Gradient) -> None:
    ours = start.clone()
    run(Adam(ours, learning_rate=0.01, betas=(0.9, 0.95)), ours, gradient, 30)
    theirs = start.clone().requires_grad_()
    torch_run(torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.95)), theirs, gradient, 30)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("history", [3, 50])
def test_lbfgs_steps_as_torchs_does(
    history: int, start: Tensor, gradient: Gradient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LBFGS, "MAX_STEP", math.inf)
    steps = 12
    ours = start.clone().double()
    run(LBFGS(ours, learning_rate=0.8, history_size=history), ours, gradient, steps)
    theirs = start.clone().double().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theirs],
        lr=0.8,
        max_iter=steps,
        max_eval=math.inf,  # type: ignore[arg-type]
        tolerance_grad=0,
        tolerance_change=0,
        history_size=history,
    )
    torch_run(optimizer, theirs, gradient, 1)
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-4)


def test_lbfgs_needs_far_fewer_steps_than_the_condition_number(
    start: Tensor, gradient: Gradient
) -> None:
    x = run(LBFGS(start, learning_rate=1.0, history_size=20), start, gradient, 60)
    assert gradient(x).abs().max() < 1e-2 * gradient(torch.full(SHAPE, 0.5)).abs().max()


@pytest.mark.parametrize(("name", "learning_rate"), [("adam", 0.1), ("lbfgs", 1.0)])
def test_every_iterate_stays_a_picture(name: str, learning_rate: float, start: Tensor) -> None:
    values = {"optimizer": name, "learning_rate": learning_rate}
    optimizer = build_optimizer(start, Parameters.model_validate(values), 100)
    target = torch.linspace(-1, 2, start.numel()).view(SHAPE)  # two thirds of it out of reach
    for _ in range(100):
        optimizer.step(start, start - target)
        assert start.min() >= 0
        assert start.max() <= 1
    torch.testing.assert_close(start, target.clamp(0, 1), rtol=0, atol=0.05)


def test_lbfgs_does_not_throw_the_picture_away_where_it_knows_little(start: Tensor) -> None:
    """Almost flat along the first step, so that a Newton step would be a thousand pixels long."""
    optimizer = LBFGS(start, learning_rate=1.0, history_size=5)
    for number in range(4):
        before = start.clone()
        optimizer.step(start, torch.full(SHAPE, 100 - 1e-4 * number))
        assert (start - before).abs().mean() <= 1.01 * LBFGS.MAX_STEP


def test_lbfgs_leaves_out_a_pair_that_would_spoil_it(start: Tensor) -> None:
    """Where the function is concave, sᵀy < 0: the step is then one of steepest descent's kind."""
    optimizer = LBFGS(start, learning_rate=0.01, history_size=5)
    for _ in range(8):
        before = start.clone()
        gradient = -(start - 0.4)
        optimizer.step(start, gradient)
        moved = (start - before).flatten()
        assert moved.isfinite().all()
        assert moved @ gradient.flatten() < 0


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_restored_optimizer_goes_on_as_the_first_one(
    name: str, steps: int, start: Tensor, gradient: Gradient
) -> None:
    parameters = Parameters.model_validate(
        {"optimizer": name, "learning_rate": 0.05, "history_size": 4}
    )
    first = build_optimizer(start, parameters, 20)
    run(first, start, gradient, steps)
    state, copy = first.state_dict(), start.clone()
    run(first, start, gradient, 5)

    second = build_optimizer(copy, parameters, 20)
    second.load_state_dict(state)
    run(second, copy, gradient, 5)

    assert torch.equal(start, copy)


def test_history_is_no_longer_than_the_run(start: Tensor) -> None:
    parameters = Parameters(optimizer="lbfgs", history_size=100)
    optimizer = build_optimizer(start, parameters, 7)
    assert isinstance(optimizer, LBFGS)
    assert optimizer.history.shape == (7, 2, start.numel())
