"""The optimisers of the pixels: Adam, and L-BFGS with or without a line search.

The variable is a contiguous (3, H, W) tensor in whatever units `parameters.space` chose. Keeping it
within black and white at every step rather than at the end is what the delivered picture gains most
from: what was optimised is what is saved.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.parameters import UNITS, Parameters, StepDecay
from worker.engine.line_search import strong_wolfe
from worker.engine.preconditioner import Preconditioner

State = dict[str, Any]

# Loss, a scalar on the device, and its gradient, (3, H, W), at a variable.
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
# The least and the greatest value of each channel, (3, 1, 1) each, in the units of the variable.
Bounds = tuple[Tensor, Tensor]


class Optimizer(Protocol):
    """Moves a variable to where the loss is less."""

    def step(self, variable: Tensor, evaluate: Evaluate) -> None:
        """Change `variable` in place. The first call of `evaluate` is at `variable` as it comes."""

    def state_dict(self) -> State:
        """Everything that the next step depends on: copies, in types that `torch.load` takes
        safely."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""

    @property
    def state_bytes(self) -> int:
        """How large its `state_dict` is."""


@dataclass
class LearningRate:
    """A learning rate that `decay` lowers as the steps go on; None leaves it as it is."""

    initial: float
    decay: StepDecay | None = None
    steps: int = 0  # that the run has made, with this optimiser and those before it

    def next(self) -> float:
        """The learning rate of the next step."""
        decay = self.decay
        factor = 1.0 if decay is None else decay.factor ** (self.steps // decay.every)
        self.steps += 1
        return self.initial * factor


class Adam:
    """Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1)."""

    EPSILON = 1e-8

    def __init__(
        self,
        variable: Tensor,
        *,
        learning_rate: LearningRate,
        betas: tuple[float, float],
        bounds: Bounds | None,
    ) -> None:
        self.learning_rate = learning_rate
        self.betas = betas
        self.bounds = bounds
        self.steps = 0
        self.first = torch.zeros_like(variable)
        self.second = torch.zeros_like(variable)

    def step(self, variable: Tensor, evaluate: Evaluate) -> None:
        """x ← x - lr m̂ / (√v̂ + ε)."""
        _, gradient = evaluate(variable)
        beta1, beta2 = self.betas
        rate = self.learning_rate.next()
        self.steps += 1
        self.first.lerp_(gradient, 1 - beta1)
        self.second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        scale = self.second.sqrt().div_((1 - beta2**self.steps) ** 0.5).add_(self.EPSILON)
        variable.addcdiv_(self.first, scale, value=-rate / (1 - beta1**self.steps))
        _clamp(variable, self.bounds)

    def warm_start(self, previous: "Adam") -> None:
        """Go on where `previous`, of another size, has stopped: its steps and its moments, resized.

        As crowsonkb/style-transfer-pytorch does from one scale to the next.
        """
        size = self.first.shape[-2:]
        self.steps = previous.steps
        self.first = F.interpolate(previous.first.unsqueeze(0), size, mode="bicubic").squeeze(0)
        second = F.interpolate(previous.second.unsqueeze(0), size, mode="bilinear").squeeze(0)
        self.second = second.relu_()

    def state_dict(self) -> State:
        """Both moments and the number of steps."""
        return {
            "run_steps": self.learning_rate.steps,
            "steps": self.steps,
            "first": self.first.clone(),
            "second": self.second.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.learning_rate.steps = int(state["run_steps"])
        self.steps = int(state["steps"])
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])

    @property
    def state_bytes(self) -> int:
        """How large its `state_dict` is."""
        return self.first.nbytes + self.second.nbytes


class LBFGS:
    """Limited-memory BFGS (Liu & Nocedal 1989), by default with steps as they are proposed.

    The direction -H g is computed in the compact form of Byrd, Nocedal & Schnabel (1994), equation
    3.1: the two-loop recursion, written with matrices. For m pairs S = (s_i), Y = (y_i),

        H g = γ P g + [S  γPY] [ R⁻ᵀ (D + γ YᵀPY) R⁻¹   -R⁻ᵀ ] [  Sᵀg  ]
                               [         -R⁻¹              0  ] [ γYᵀPg ]

    with R_ij = s_iᵀ y_j for i ≤ j in order of age, D its diagonal, and γ = sᵀy / yᵀPy of the
    youngest pair. γ P is what H is taken for before any pair is known. One pass over the history
    for the products and one for the direction. Without a line search, a step takes one evaluation,
    and nothing is read back to the host; with one, the host waits for every evaluation.
    """

    # A pair is kept if sᵀy > MIN_CURVATURE |s| |y|; else it would not leave H positive definite.
    MIN_CURVATURE = 1e-6
    FIRST_GAIN = 0.01

    def __init__(
        self,
        variable: Tensor,
        *,
        learning_rate: LearningRate,
        history_size: int,
        max_step: float | None,
        line_search: bool,
        bounds: Bounds | None,
        coarse_first: float,
    ) -> None:
        """`max_step` is the longest step without a line search, as the mean change of a value;
        `coarse_first` is the exponent of the `Preconditioner`."""
        self.learning_rate = learning_rate
        self.history_size = history_size
        self.max_step = max_step
        self.line_search = line_search
        self.bounds = bounds
        # None stands for P = 1
        self.precondition = Preconditioner(variable, coarse_first) if coarse_first else None
        self.pairs = 0  # that have been begun; the last `history_size` are there
        # (slot, s or y, pixel). Until y is known, the slot of the last step holds its gradient.
        # A slot that was never begun is never read: memory is taken as it is needed.
        self.history = variable.new_empty(history_size, 2, variable.numel())
        zeros = variable.new_zeros(history_size, history_size, dtype=torch.float64)
        self.sy = zeros  # s_iᵀ y_j, by slot
        self.yy = zeros.clone()  # y_iᵀ P y_j, by slot
        self.gamma = zeros.new_ones(())

    def step(self, variable: Tensor, evaluate: Evaluate) -> None:
        """x ← x - lr H g, or with a line search x ← x - t lr H g."""
        loss, gradient = evaluate(variable)
        g = gradient.reshape(-1)
        change = self._direction(g) if self.pairs else self._first_direction(loss, g)
        s, y = self.history[self.pairs % self.history_size]
        y.copy_(g)
        change *= self.learning_rate.next()
        if self.line_search:
            length = _search(variable, evaluate, change, loss, y)
            if length == 0:
                # A direction that leads nowhere comes of pairs that mislead: begin again
                self.pairs = 0
                return
            change *= length
        elif self.max_step is not None:
            change *= (self.max_step / change.abs().mean()).clamp_max(1)
        self._move(variable, change, s)
        self.pairs += 1

    def _first_direction(self, loss: Tensor, g: Tensor) -> Tensor:
        """With nothing known yet: -Pg min(1, 1/|Pg|₁), where P = 1 as torch.optim.LBFGS, which is
        hardly a step.

        Where steps are bounded, one of the full length: it leaves a twentieth less loss after 30
        steps. With a line search, one that would lower the loss by a share of FIRST_GAIN if it
        fell in a straight line: torch's may be too short for a float32 loss to fall at all.
        """
        pg = g if self.precondition is None else self.precondition(g)
        if self.line_search:
            return -pg * (self.FIRST_GAIN * loss / (g @ pg))
        if self.max_step is not None:
            return -pg * (self.max_step / pg.abs().mean().clamp_min(torch.finfo(g.dtype).tiny))
        return -pg * (1 / pg.abs().sum()).clamp_max(1)

    def _direction(self, g: Tensor) -> Tensor:
        """-H g, after completing the pair of the last step."""
        newest = (self.pairs - 1) % self.history_size
        used = min(self.pairs, self.history_size)
        s, y = self.history[newest]
        torch.sub(g, y, out=y)
        products = self._products(used, y, g)

        keep = products[newest, 0, 0] > self.MIN_CURVATURE * s.norm() * y.norm()
        s.mul_(keep)
        y.mul_(keep)
        products[newest] *= keep
        products[:, :, 0] *= keep
        self.sy[:used, newest] = products[:, 0, 0]
        self.yy[:used, newest] = self.yy[newest, :used] = products[:, 1, 0]
        self.gamma = torch.where(keep, products[newest, 0, 0] / products[newest, 1, 0], self.gamma)

        # From the oldest pair to the youngest; a pair that was dropped is zero everywhere
        oldest = self.pairs % self.history_size if used == self.history_size else 0
        sy = self.sy[:used, :used].roll((-oldest, -oldest), (0, 1))
        yy = self.yy[:used, :used].roll((-oldest, -oldest), (0, 1))
        sg, yg = products[:, :, 1:].roll(-oldest, 0).unbind(1)  # (used, 1) each
        d = sy.diagonal()
        r = sy.triu() + torch.diag((d == 0).double())
        p = torch.linalg.solve_triangular(r, sg, upper=True)
        right = d.unsqueeze(1) * p + self.gamma * (yy @ p - yg)
        u = torch.linalg.solve_triangular(r.T, right, upper=False)
        coefficients = torch.stack((-u, self.gamma * p), dim=1).roll(oldest, 0).to(g.dtype)
        return self._combine(coefficients, self.gamma.to(g.dtype) * g)

    def _products(self, used: int, y: Tensor, g: Tensor) -> Tensor:
        """Of each s with `y` and `g`, and of each y with P `y` and P `g`: (used, 2, 2), float64."""
        # As rows, which matrix products read several times faster than columns
        seen = torch.stack((y, g))
        history = self.history[:used].flatten(0, 1)  # (2 used, pixels)
        if self.precondition is None:
            return (history @ seen.T).double().view(used, 2, 2)
        both = torch.cat((seen, self.precondition(seen)))
        products = (history @ both.T).double().view(used, 2, 4)
        return torch.stack((products[:, 0, :2], products[:, 1, 2:]), dim=1)

    def _combine(self, coefficients: Tensor, scaled: Tensor) -> Tensor:
        """Σ a s + P (Σ b y - `scaled`) for `coefficients` (a, b) of all pairs, (used, 2, 1)."""
        history = self.history[: len(coefficients)]
        if self.precondition is None:
            return (coefficients.view(-1) @ history.flatten(0, 1)).sub_(scaled)
        of_s, of_y = coefficients.squeeze(-1).unbind(1)
        rest = (of_y @ history[:, 1]).sub_(scaled)
        return self.precondition(rest).addmv_(history[:, 0].T, of_s)

    def _move(self, variable: Tensor, change: Tensor, s: Tensor) -> None:
        """x ← x + change, and what it changed by into `s`.

        Where nothing is clamped that is the change that was asked for, as in torch.optim.LBFGS. A
        first step is often smaller than the rounding of x.
        """
        x = variable.view(-1)
        if self.bounds is None:
            x.add_(change)
            s.copy_(change)
        else:
            s.copy_(x)
            x.add_(change)
            _clamp(variable, self.bounds)
            torch.sub(x, s, out=s)

    def state_dict(self) -> State:
        """The used part of the history and its products."""
        used = min(self.pairs, self.history_size)
        return {
            "run_steps": self.learning_rate.steps,
            "pairs": self.pairs,
            "history": self.history[:used].clone(),
            "sy": self.sy.clone(),
            "yy": self.yy.clone(),
            "gamma": self.gamma.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.learning_rate.steps = int(state["run_steps"])
        self.pairs = int(state["pairs"])
        self.history[: len(state["history"])] = state["history"]
        self.sy.copy_(state["sy"])
        self.yy.copy_(state["yy"])
        self.gamma.copy_(state["gamma"])

    @property
    def state_bytes(self) -> int:
        """How large its `state_dict` is."""
        return self.history[: self.pairs].nbytes


def build_optimizer(
    variable: Tensor,
    parameters: Parameters,
    *,
    steps: int,
    bounds: Bounds | None,
    caution: float = 1.0,
    done: int = 0,
) -> Optimizer:
    """The optimiser that `parameters` ask for, for at most `steps` steps.

    `bounds` are kept at every step; None is for a variable that may leave them. `caution`, in
    (0, 1], makes every step shorter: for a run that goes on after it diverged. `done` steps were
    made before, and count for the decay of the learning rate.
    """
    learning_rate = LearningRate(parameters.learning_rate * caution, parameters.lr_decay, done)
    if parameters.optimizer == "adam":
        return Adam(variable, learning_rate=learning_rate, betas=parameters.betas, bounds=bounds)
    max_step = parameters.max_step
    return LBFGS(
        variable,
        learning_rate=learning_rate,
        history_size=min(parameters.history_size, steps),
        max_step=None if max_step is None else max_step * caution / UNITS[parameters.space],
        line_search=parameters.line_search == "strong-wolfe",
        bounds=bounds,
        coarse_first=parameters.coarse_first,
    )


def _search(variable: Tensor, evaluate: Evaluate, change: Tensor, loss: Tensor, g: Tensor) -> float:
    """How often `change` should be added to `variable`, where `loss` and gradient `g` are known."""

    def phi(length: float) -> tuple[float, float]:
        loss, gradient = evaluate(variable + length * change.view_as(variable))
        return _read(loss, gradient.reshape(-1) @ change)

    return strong_wolfe(phi, *_read(loss, g @ change), first_step=1.0).step


def _read(value: Tensor, slope: Tensor) -> tuple[float, float]:
    """Both numbers on the host, waiting for the device once."""
    numbers: list[float] = torch.stack((value, slope)).tolist()
    return numbers[0], numbers[1]


def _clamp(variable: Tensor, bounds: Bounds | None) -> None:
    if bounds is not None:
        variable.clamp_(*bounds)
