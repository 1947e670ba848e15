"""The running average of iterates, which is smoother than any one of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Average:
    """Exponential moving average, debiased as in Adam: Σ dᵗ⁻ⁱ (1 - d) xᵢ / (1 - dᵗ)."""

    def __init__(self, iterate: Tensor, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.sum = torch.zeros_like(iterate)

    def update(self, iterate: Tensor) -> None:
        """Take in an iterate."""
        self.updates += 1
        self.sum.lerp_(iterate, 1 - self.decay)

    def value(self) -> Tensor:
        """The average of the iterates so far; there has to be one."""
        return self.sum / (1 - self.decay**self.updates)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        return {"updates": self.updates, "sum": self.sum.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.updates = int(state["updates"])
        self.sum.copy_(state["sum"])
