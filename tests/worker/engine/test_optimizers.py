import io
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from shared.parameters import Parameters
from worker.engine.optimizers import LBFGS, Adam, Bounds, Evaluate, Optimizer, build_optimizer
from worker.engine.preconditioner import Preconditioner

SHAPE = (3, 5, 8)
UNIT = (torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
LBFGS_VALUES: dict[str, Any] = {"optimizer": "lbfgs", "max_step": None, "clamp": False}


class Valleys:
    """Σ c w² (cosh((x - t) / w) - 1): convex, far from quadratic, ill-conditioned."""

    def __init__(self, offset: float = 0.0, width: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.width = width
        self.target = offset + width * (0.3 + 0.4 * torch.rand(SHAPE, generator=generator))
        self.curvature = 10 ** (3 * torch.rand(SHAPE, generator=generator))
        self.losses: list[float] = []

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        away = (x - self.target.to(x)) / self.width
        loss = (self.curvature * self.width**2 * (away.cosh() - 1)).sum()
        self.losses.append(loss.item())
        return loss, self.curvature * self.width * away.sinh()


def rosenbrock(x: Tensor) -> tuple[Tensor, Tensor]:
    """A curved valley in which steepest descent crawls."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        a, b = x.view(-1)[:-1], x.view(-1)[1:]
        loss = (100 * (b - a**2) ** 2 + (1 - a) ** 2).sum()
        loss.backward()
    assert x.grad is not None
    return loss.detach(), x.grad


def build(
    variable: Tensor, values: dict[str, Any], bounds: Bounds | None = None, steps: int = 1000
) -> Optimizer:
    parameters = Parameters.model_validate({"optimizer": "lbfgs", **values})
    return build_optimizer(variable, parameters, steps=steps, bounds=bounds)


def run(optimizer: Optimizer, x: Tensor, evaluate: Evaluate, steps: int) -> Tensor:
    for _ in range(steps):
        optimizer.step(x, evaluate)
    return x


def torch_run(optimizer: torch.optim.Optimizer, x: Tensor, evaluate: Evaluate, steps: int) -> None:
    def closure() -> float:
        loss, x.grad = evaluate(x.detach())
        return loss.item()

    for _ in range(steps):
        optimizer.step(closure)


def torch_lbfgs(x: Tensor, steps: int, **values: Any) -> torch.optim.LBFGS:
    """As the classical programs call it: without its tolerances, all steps at once."""
    return torch.optim.LBFGS(
        [x],
        max_iter=steps,
        max_eval=10**6,
        tolerance_grad=-1,
        tolerance_change=-1,
        **values,
    )


@pytest.fixture
def start() -> Tensor:
    return torch.full(SHAPE, 0.5)


@pytest.fixture
def valleys() -> Valleys:
    return Valleys()


def test_adam_steps_as_torchs_does(start: Tensor, valleys: Valleys) -> None:
    values = {"optimizer": "adam", "learning_rate": 0.01, "betas": (0.9, 0.95)}
    ours = start.clone()
    run(build(ours, values), ours, valleys, 30)
    theirs = start.clone().requires_grad_()
    torch_run(torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.95)), theirs, valleys, 30)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-7)


def test_adams_learning_rate_falls_as_torchs_scheduler_has_it(
    start: Tensor, valleys: Valleys
) -> None:
    values = {
        "optimizer": "adam",
        "learning_rate": 0.02,
        "betas": (0.9, 0.999),
        "lr_decay": {"factor": 0.5, "every": 4},
    }
    ours = start.clone()
    run(build(ours, values), ours, valleys, 15)
    theirs = start.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.02, betas=(0.9, 0.999))
    scheduler = torch.optim.lr_scheduler.StepLR(adam, step_size=4, gamma=0.5)
    for _ in range(15):
        torch_run(adam, theirs, valleys, 1)
        scheduler.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-7)


def test_adam_goes_on_at_another_size_with_what_it_has_learnt(
    start: Tensor, valleys: Valleys
) -> None:
    before = build(start, {"optimizer": "adam"})
    run(before, start, valleys, 10)
    larger = F.interpolate(start[None], (7, 11), mode="bicubic")[0]
    after = build(larger, {"optimizer": "adam"})
    assert isinstance(before, Adam)
    assert isinstance(after, Adam)
    after.warm_start(before)
    assert after.steps == 10
    first, second = before.first[None], before.second[None]
    assert torch.equal(after.first, F.interpolate(first, (7, 11), mode="bicubic")[0])
    assert torch.equal(after.second, F.interpolate(second, (7, 11), mode="bilinear")[0])
    assert after.second.min() >= 0


def test_adam_goes_on_at_the_same_size_as_if_nothing_had_been(
    start: Tensor, valleys: Valleys
) -> None:
    straight = start.clone()
    run(build(straight, {"optimizer": "adam"}), straight, valleys, 8)
    before = build(start, {"optimizer": "adam"})
    run(before, start, valleys, 5)
    after = build(start, {"optimizer": "adam"})
    assert isinstance(before, Adam)
    assert isinstance(after, Adam)
    after.warm_start(before)
    run(after, start, valleys, 3)
    torch.testing.assert_close(start, straight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("history", [3, 50])
def test_lbfgs_steps_as_torchs_does(history: int, start: Tensor, valleys: Valleys) -> None:
    values = {**LBFGS_VALUES, "learning_rate": 0.8, "history_size": history}
    ours = start.clone().double()
    run(build(ours, values), ours, valleys, 20)
    theirs = start.clone().double().requires_grad_()
    torch_run(torch_lbfgs(theirs, 20, lr=0.8, history_size=history), theirs, valleys, 1)
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("history", [3, 50])
def test_coarse_first_is_lbfgs_in_a_picture_whose_waves_are_weighted(
    history: int, start: Tensor, valleys: Valleys
) -> None:
    """Plain L-BFGS of z, where x = √P z; the gradient is so small that its first step is -g."""
    root = Preconditioner(start.double(), 0.4)

    def weighted(z: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = valleys(root(z.view(-1)).view(SHAPE))
        return 1e-5 * loss, 1e-5 * root(gradient.reshape(-1)).view(SHAPE)

    def small(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = valleys(x)
        return 1e-5 * loss, 1e-5 * gradient

    values = {**LBFGS_VALUES, "history_size": history}
    x = run(build(start.double(), {**values, "coarse_first": 0.8}), start.double(), small, 20)
    z = Preconditioner(start.double(), -0.4)(start.double().view(-1)).view(SHAPE)
    z = run(build(z, values), z, weighted, 20)
    torch.testing.assert_close(x, root(z.view(-1)).view(SHAPE), rtol=0, atol=1e-6)
    assert (x - start).abs().max() > 0.01


def test_lbfgs_follows_torchs_where_the_first_step_is_lost_in_the_rounding() -> None:
    """Bytes in float32: the first step changes most values by less than float32 can add to them."""
    ours, theirs = Valleys(100, width=100), Valleys(100, width=100)
    x = torch.full(SHAPE, 180.0)
    run(build(x, LBFGS_VALUES), x, ours, 20)
    y = torch.full(SHAPE, 180.0).requires_grad_()
    torch_run(torch_lbfgs(y, 20, lr=1), y, theirs, 1)
    torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-3, atol=0)


def test_the_first_step_of_lbfgs_changes_all_values_by_one_together(start: Tensor) -> None:
    gradient = torch.linspace(-3, 5, start.numel()).view(SHAPE)
    x = start.clone()
    build(x, {**LBFGS_VALUES, "learning_rate": 0.5}).step(x, lambda _: (gradient.sum(), gradient))
    torch.testing.assert_close(x, start - 0.5 * gradient / gradient.abs().sum())


def test_lbfgs_takes_a_gradient_that_is_small_as_it_is(start: Tensor) -> None:
    gradient = torch.full(SHAPE, 1e-4)
    x = start.clone()
    build(x, LBFGS_VALUES).step(x, lambda _: (gradient.sum(), gradient))
    torch.testing.assert_close(x, start - gradient)


def test_lbfgs_needs_far_fewer_steps_than_the_condition_number(
    start: Tensor, valleys: Valleys
) -> None:
    before = valleys(start)[1].abs().max()
    x = run(build(start, {}, UNIT), start, valleys, 60)
    assert valleys(x)[1].abs().max() < 1e-2 * before


def test_lbfgs_does_not_throw_the_picture_away_where_it_knows_little(start: Tensor) -> None:
    """Almost flat along the first step, so that a Newton step would be a thousand pixels long."""
    optimizer = build(start, {"history_size": 5, "max_step": 0.01})
    for number in range(4):
        before = start.clone()
        gradient = torch.full(SHAPE, 100 - 1e-4 * number)
        optimizer.step(start, lambda _, g=gradient: (g.sum(), g))  # type: ignore[misc]
        assert (start - before).abs().mean() <= 1.01 * 0.01


def test_caution_shortens_every_step(start: Tensor) -> None:
    gradient = torch.full(SHAPE, 100.0)
    for values in [
        {"optimizer": "adam"},
        {**LBFGS_VALUES},
        {"max_step": 1e-4},
        {"learning_rate": 1e-4},
    ]:
        parameters = Parameters.model_validate({"optimizer": "lbfgs", **values})
        moved = []
        for caution in (1.0, 0.25):
            x = start.clone()
            optimizer = build_optimizer(x, parameters, steps=9, bounds=None, caution=caution)
            optimizer.step(x, lambda _: (gradient.sum(), gradient))
            moved.append((x - start).abs().mean().item())
        assert 0 < moved[1] <= 0.2501 * moved[0], values


def test_lbfgs_learning_rate_falls_too(start: Tensor) -> None:
    """Along a straight slope there is no curvature to learn: every step is the first one again."""
    gradient = torch.full(SHAPE, 1e-3)
    optimizer = build(start, {**LBFGS_VALUES, "lr_decay": {"factor": 0.5, "every": 2}})
    moved = []
    for _ in range(6):
        before = start.clone()
        optimizer.step(start, lambda _: (gradient.sum(), gradient))
        moved.append((before - start).mean().item())
    assert moved == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4], rel=1e-3)


def test_lbfgs_leaves_out_a_pair_that_would_spoil_it(start: Tensor) -> None:
    """Where the function is concave, sᵀy < 0: the step is then one of steepest descent's kind."""
    optimizer = build(start, {"learning_rate": 0.01, "history_size": 5}, UNIT)
    for _ in range(8):
        before = start.clone()
        gradient = -(start - 0.4)
        optimizer.step(start, lambda _, g=gradient: (g.sum(), g))  # type: ignore[misc]
        moved = (start - before).flatten()
        assert moved.isfinite().all()
        assert moved @ gradient.flatten() < 0


@pytest.mark.parametrize("evaluate", [Valleys(), rosenbrock], ids=["valleys", "rosenbrock"])
def test_with_a_line_search_lbfgs_is_as_good_as_torchs(evaluate: Evaluate) -> None:
    calls = {"ours": 0, "theirs": 0}

    def counted(name: str) -> Evaluate:
        def call(x: Tensor) -> tuple[Tensor, Tensor]:
            calls[name] += 1
            return evaluate(x)

        return call

    generator = torch.Generator().manual_seed(1)
    start = torch.randn(SHAPE, generator=generator).double()
    values = {**LBFGS_VALUES, "line_search": "strong-wolfe", "history_size": 10}
    for steps in (10, 40):
        calls = {"ours": 0, "theirs": 0}
        ours = start.clone()
        run(build(ours, values), ours, counted("ours"), steps)
        theirs = start.clone().requires_grad_()
        optimizer = torch_lbfgs(theirs, steps, lr=1, history_size=10, line_search_fn="strong_wolfe")
        torch_run(optimizer, theirs, counted("theirs"), 1)
        first = evaluate(start)[0].item()
        gained = math.log(first / evaluate(ours)[0].item())
        assert gained > 0.8 * math.log(first / evaluate(theirs.detach())[0].item())
        searching = calls["ours"] - steps  # each step looks at where it stands once more
        assert searching <= 1.25 * calls["theirs"]


def test_with_a_line_search_the_loss_never_rises(start: Tensor) -> None:
    x = 3 * start
    optimizer = build(x, {**LBFGS_VALUES, "line_search": "strong-wolfe", "history_size": 5})
    losses = []
    for _ in range(60):
        losses.append(rosenbrock(x)[0].item())
        optimizer.step(x, rosenbrock)
    assert all(after <= before for before, after in pairwise(losses))
    assert losses[-1] < 1e-3 * losses[0]


def test_a_search_that_finds_nothing_begins_again_without_the_history(
    start: Tensor, valleys: Valleys
) -> None:
    x = start.clone()
    optimizer = build(x, {**LBFGS_VALUES, "line_search": "strong-wolfe"})
    run(optimizer, x, valleys, 5)
    before = x.clone()
    calls = 0

    def only_here(at: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        loss, gradient = valleys(at)
        return (loss, gradient) if calls == 1 else (loss * math.nan, gradient)

    optimizer.step(x, only_here)
    assert torch.equal(x, before)
    fresh = build(before, {**LBFGS_VALUES, "line_search": "strong-wolfe"})
    fresh.step(before, valleys)
    optimizer.step(x, valleys)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "adam", "learning_rate": 0.1},
        {"optimizer": "lbfgs"},
        {"optimizer": "lbfgs", "line_search": "strong-wolfe"},
    ],
    ids=["adam", "lbfgs", "line search"],
)
def test_every_iterate_stays_within_the_bounds(values: dict[str, Any], start: Tensor) -> None:
    lower = torch.tensor([-0.1, 0.0, 0.1]).view(3, 1, 1)
    upper = torch.tensor([0.8, 0.9, 1.0]).view(3, 1, 1)
    optimizer = build(start, values, (lower, upper))
    target = torch.linspace(-1, 2, start.numel()).view(SHAPE)  # most of it out of reach
    for _ in range(100):
        optimizer.step(start, lambda x: (((x - target) ** 2).sum() / 2, x - target))
        assert (start >= lower).all()
        assert (start <= upper).all()
    torch.testing.assert_close(start, target.clamp(lower, upper), rtol=0, atol=0.05)


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_without_bounds_an_iterate_goes_where_the_loss_is_least(name: str, start: Tensor) -> None:
    values = {"optimizer": name, "learning_rate": 0.1, "max_step": None}
    target = torch.linspace(-1, 2, start.numel()).view(SHAPE)
    run(build(start, values), start, lambda x: (x.sum(), x - target), 200)
    torch.testing.assert_close(start, target, rtol=0, atol=0.05)


@pytest.mark.parametrize("bounds", [UNIT, None], ids=["bounds", "no bounds"])
@pytest.mark.parametrize(
    "values",
    [{"optimizer": "adam"}, {"optimizer": "lbfgs"}, {"line_search": "strong-wolfe"}],
    ids=["adam", "lbfgs", "line search"],
)
def test_where_there_is_nothing_to_gain_the_picture_stays_as_it_is(
    values: dict[str, Any], bounds: Bounds | None, start: Tensor
) -> None:
    """As with a style that is the content itself."""
    before = start.clone()
    run(build(start, values, bounds), start, lambda x: (x.new_zeros(()), torch.zeros_like(x)), 4)
    assert torch.equal(start, before)


def test_a_line_search_finds_its_way_where_the_first_steps_are_lost_in_the_rounding() -> None:
    """The loss is so large that float32 does not see how it falls along torch's first step."""
    valleys = Valleys(100, width=100)
    x = torch.full(SHAPE, 180.0)

    def evaluate(at: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = valleys(at)
        return loss + 1e11, gradient

    before = valleys(x)[0]
    run(build(x, {**LBFGS_VALUES, "line_search": "strong-wolfe"}), x, evaluate, 20)
    assert valleys(x)[0] < 0.01 * before


class NoReading(TorchDispatchMode):
    """Fails where a value is read back from the device."""

    def __torch_dispatch__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("bounds", [UNIT, None], ids=["bounds", "no bounds"])
@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_a_step_takes_one_evaluation_and_never_waits_for_the_device(
    name: str, bounds: Bounds | None, start: Tensor
) -> None:
    optimizer = build(start, {"optimizer": name, "history_size": 3}, bounds)
    calls = 0

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        return x.sum(), x - 0.25

    with NoReading():
        run(optimizer, start, evaluate, 6)
    assert calls == 6


def test_the_first_evaluation_of_a_step_is_where_the_last_one_ended(
    start: Tensor, valleys: Valleys
) -> None:
    optimizer = build(start, {"line_search": "strong-wolfe"}, UNIT)
    for _ in range(5):
        seen: list[Tensor] = []
        before = start.clone()

        def evaluate(x: Tensor, seen: list[Tensor] = seen) -> tuple[Tensor, Tensor]:
            seen.append(x.clone())
            return valleys(x)

        optimizer.step(start, evaluate)
        assert torch.equal(seen[0], before)


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "adam", "lr_decay": {"factor": 0.5, "every": 3}},
        {"optimizer": "lbfgs", "history_size": 4, "lr_decay": {"factor": 0.5, "every": 3}},
        {"optimizer": "lbfgs", "history_size": 4, "line_search": "strong-wolfe"},
        {"optimizer": "lbfgs", "history_size": 4, "coarse_first": 0.8},
    ],
    ids=["adam", "lbfgs", "line search", "coarse first"],
)
@pytest.mark.parametrize("bounds", [UNIT, None], ids=["bounds", "no bounds"])
@settings(deadline=None, max_examples=25)
@given(steps=st.integers(0, 12), more=st.integers(1, 6))
def test_an_optimizer_that_was_saved_goes_on_bit_for_bit(
    values: dict[str, Any], bounds: Bounds | None, steps: int, more: int
) -> None:
    valleys, x = Valleys(), torch.full(SHAPE, 0.5)
    first = build(x, values, bounds)
    run(first, x, valleys, steps)
    file = io.BytesIO()
    torch.save({"x": x, "optimizer": first.state_dict()}, file)
    run(first, x, valleys, more)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = build(saved["x"], values, bounds)
    second.load_state_dict(saved["optimizer"])
    run(second, saved["x"], valleys, more)

    assert torch.equal(x, saved["x"])


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_a_saved_state_does_not_change_with_the_run(
    name: str, start: Tensor, valleys: Valleys
) -> None:
    optimizer = build(start, {"optimizer": name})
    run(optimizer, start, valleys, 3)
    state = optimizer.state_dict()
    kept = {key: torch.as_tensor(value).clone() for key, value in state.items()}
    run(optimizer, start, valleys, 3)
    assert all(torch.equal(torch.as_tensor(state[key]), value) for key, value in kept.items())


def test_history_is_no_longer_than_the_run(start: Tensor) -> None:
    optimizer = build(start, {"history_size": 100}, UNIT, steps=7)
    assert isinstance(optimizer, LBFGS)
    assert optimizer.history.shape == (7, 2, start.numel())
