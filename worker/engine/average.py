"""The running average of iterates, which is smoother than any one of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Average:
    """Exponential moving average of x₁ ... xₜ, debiased as in Adam:

        Σ dᵗ⁻ⁱ (1 - d) xᵢ / (1 - dᵗ)

    With a decay d of 0 it is the last iterate: the very tensor, so that no memory is spent on it.
    """

    def __init__(self, start: Tensor, decay: float) -> None:
        """`start` counts as the first iterate."""
        self.decay = decay
        self.updates = 0
        self.sum = torch.zeros_like(start) if decay else start
        self.update(start)

    def update(self, iterate: Tensor) -> None:
        """Take in an iterate."""
        self.updates += 1
        if self.decay:
            self.sum.lerp_(iterate, 1 - self.decay)
        else:
            self.sum = iterate

    def value(self) -> Tensor:
        """The average so far, in the shape of the iterates; not to be changed."""
        return self.sum / (1 - self.decay**self.updates) if self.decay else self.sum

    def state_dict(self) -> dict[str, Any]:
        """Everything that the average depends on, as copies that `torch.load` takes safely."""
        return {"updates": self.updates, "sum": self.sum.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.updates = int(state["updates"])
        self.sum = state["sum"].to(self.sum, copy=True)
