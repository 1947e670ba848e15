"""The optimisers of the pixels: Adam, and L-BFGS without a line search.

Both take one gradient a step and keep the iterate in [0, 1]. Clamping after every step rather than
at the end is what the delivered picture gains most from: what was optimised is what is saved.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from shared.parameters import Parameters

State = dict[str, Any]


class Optimizer(Protocol):
    """Moves an iterate, a float32 tensor, against its gradient, and keeps it in [0, 1]."""

    def step(self, iterate: Tensor, gradient: Tensor) -> None:
        """Change `iterate` in place."""

    def state_dict(self) -> State:
        """Everything that the next step depends on: copies, in types that `torch.load` takes
        safely."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""


class Adam:
    """Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1)."""

    EPSILON = 1e-8

    def __init__(
        self, iterate: Tensor, *, learning_rate: float, betas: tuple[float, float]
    ) -> None:
        self.learning_rate = learning_rate
        self.betas = betas
        self.steps = 0
        self.first = torch.zeros_like(iterate)
        self.second = torch.zeros_like(iterate)

    def step(self, iterate: Tensor, gradient: Tensor) -> None:
        """x ← x - lr m̂ / (√v̂ + ε)."""
        beta1, beta2 = self.betas
        self.steps += 1
        self.first.lerp_(gradient, 1 - beta1)
        self.second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        scale = (self.second / (1 - beta2**self.steps)).sqrt_().add_(self.EPSILON)
        iterate.addcdiv_(self.first, scale, value=-self.learning_rate / (1 - beta1**self.steps))
        iterate.clamp_(0, 1)

    def state_dict(self) -> State:
        """Both moments and the number of steps."""
        return {"steps": self.steps, "first": self.first.clone(), "second": self.second.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.steps = int(state["steps"])
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])


class LBFGS:
    """Limited-memory BFGS (Liu & Nocedal 1989) with unit steps and no line search.

    The direction -H g is computed in the compact form of Byrd, Nocedal & Schnabel (1994), equation
    3.1: the two-loop recursion, written with matrices. For m pairs S = (s_i), Y = (y_i),

        H g = γ g + [S  γY] [ R⁻ᵀ (D + γ YᵀY) R⁻¹   -R⁻ᵀ ] [  Sᵀg ]
                            [        -R⁻¹              0  ] [ γYᵀg ]

    with R_ij = s_iᵀ y_j for i ≤ j in order of age, D its diagonal, and γ = sᵀy / yᵀy of the
    youngest pair. One pass over the history for the products and one for the direction, and
    nothing is read back to the host.
    """

    # A pair is kept if sᵀy > MIN_CURVATURE |s| |y|; else it would not leave H positive definite.
    MIN_CURVATURE = 1e-6
    # Longest step, as the mean change of a value. With no line search, nothing else holds back the
    # first steps, when the curvature is known from one pair only.
    MAX_STEP = 0.01

    def __init__(self, iterate: Tensor, *, learning_rate: float, history_size: int) -> None:
        self.learning_rate = learning_rate
        self.history_size = history_size
        self.steps = 0
        # (slot, s or y, pixel). Until y is known, the slot of the last step holds its gradient.
        self.history = iterate.new_zeros(history_size, 2, iterate.numel())
        zeros = iterate.new_zeros(history_size, history_size, dtype=torch.float64)
        self.sy = zeros  # s_iᵀ y_j, by slot
        self.yy = zeros.clone()  # y_iᵀ y_j, by slot
        self.gamma = zeros.new_ones(())

    def step(self, iterate: Tensor, gradient: Tensor) -> None:
        """x ← x - lr H g; the first step, with nothing known yet, is -lr g min(1, 1/|g|₁)."""
        x, g = iterate.view(-1), gradient.view(-1)
        direction = self._direction(g) if self.steps else -g * (1 / g.abs().sum()).clamp_max(1)
        direction *= (self.MAX_STEP / direction.abs().mean()).clamp_max(1)
        s, y = self.history[self.steps % self.history_size]
        s.copy_(x)
        x.add_(direction, alpha=self.learning_rate).clamp_(0, 1)
        torch.sub(x, s, out=s)
        y.copy_(g)
        self.steps += 1

    def _direction(self, g: Tensor) -> Tensor:
        """-H g, after completing the pair of the last step."""
        newest = (self.steps - 1) % self.history_size
        used = min(self.steps, self.history_size)
        s, y = self.history[newest]
        torch.sub(g, y, out=y)
        history = self.history[:used].flatten(0, 1)  # (2 used, pixels)
        products = (history @ torch.stack((y, g), dim=1)).double().view(used, 2, 2)

        keep = products[newest, 0, 0] > self.MIN_CURVATURE * s.norm() * y.norm()
        s.mul_(keep)
        y.mul_(keep)
        products[newest] *= keep
        products[:, :, 0] *= keep
        self.sy[:used, newest] = products[:, 0, 0]
        self.yy[:used, newest] = self.yy[newest, :used] = products[:, 1, 0]
        self.gamma = torch.where(keep, products[newest, 0, 0] / products[newest, 1, 0], self.gamma)

        # From the oldest pair to the youngest; a pair that was dropped is zero everywhere
        oldest = self.steps % self.history_size if used == self.history_size else 0
        sy = self.sy[:used, :used].roll((-oldest, -oldest), (0, 1))
        yy = self.yy[:used, :used].roll((-oldest, -oldest), (0, 1))
        sg, yg = products[:, :, 1:].roll(-oldest, 0).unbind(1)  # (used, 1) each
        d = sy.diagonal()
        r = sy.triu() + torch.diag((d == 0).double())
        p = torch.linalg.solve_triangular(r, sg, upper=True)
        right = d.unsqueeze(1) * p + self.gamma * (yy @ p - yg)
        u = torch.linalg.solve_triangular(r.T, right, upper=False)
        coefficients = torch.stack((-u, self.gamma * p), dim=1).roll(oldest, 0)
        direction = coefficients.view(-1).to(g.dtype) @ history
        return direction.sub_(self.gamma.to(g.dtype) * g)

    def state_dict(self) -> State:
        """The used part of the history and its products."""
        used = min(self.steps, self.history_size)
        return {
            "steps": self.steps,
            "history": self.history[:used].clone(),
            "sy": self.sy.clone(),
            "yy": self.yy.clone(),
            "gamma": self.gamma.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.steps = int(state["steps"])
        self.history[: len(state["history"])] = state["history"]
        self.sy.copy_(state["sy"])
        self.yy.copy_(state["yy"])
        self.gamma.copy_(state["gamma"])


def build_optimizer(iterate: Tensor, parameters: Parameters, steps: int) -> Optimizer:
    """The optimiser that `parameters` ask for, for at most `steps` steps."""
    if parameters.optimizer == "adam":
        return Adam(iterate, learning_rate=parameters.learning_rate, betas=parameters.betas)
    return LBFGS(
        iterate,
        learning_rate=parameters.learning_rate,
        history_size=min(parameters.history_size, steps),
    )
