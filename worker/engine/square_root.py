"""Square roots of symmetric positive definite matrices, by Newton and Schulz.

The coupled iteration (Higham, Functions of Matrices, equation 6.35) finds the root and its inverse
together with nothing but matrix products, which is what every device is fastest at:

    T = (3 I - Z Y) / 2,    Y ← Y T,    Z ← T Z,    from Y = A / |A|, Z = I

converges to Y = (A / |A|)^½ and Z = (A / |A|)^-½.
"""

from typing import Any

import torch
from torch import Tensor

# As in crowsonkb/style-transfer-pytorch. Directions whose eigenvalue is below about 1e-4 of the
# norm have not converged by then: they are those of features that hardly vary.
ITERATIONS = 12


def square_root(matrix: Tensor) -> Tensor:
    """A^½ of a symmetric positive definite matrix, (C, C) float32."""
    norm = matrix.norm()
    root, _ = _iterate(matrix / norm)
    rescaled: Tensor = root * norm.sqrt()
    return rescaled


def trace_of_square_root(matrix: Tensor) -> Tensor:
    """tr(A^½), a scalar that autograd can differentiate: its gradient is A^-½ / 2."""
    trace: Tensor = _TraceOfSquareRoot.apply(matrix)
    return trace


class _TraceOfSquareRoot(torch.autograd.Function):
    """Autograd through the iteration would keep every step of it; the inverse root is known."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        norm = matrix.norm()
        root, inverse = _iterate(matrix / norm)
        ctx.save_for_backward(inverse / norm.sqrt())
        trace: Tensor = root.trace() * norm.sqrt()
        return trace

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        inverse: Tensor = ctx.saved_tensors[0]
        return slope * inverse / 2


def _iterate(matrix: Tensor) -> tuple[Tensor, Tensor]:
    identity = torch.eye(len(matrix), device=matrix.device, dtype=matrix.dtype)
    root, inverse = matrix, identity
    for _ in range(ITERATIONS):
        step = torch.addmm(identity, inverse, root, beta=1.5, alpha=-0.5)
        root, inverse = root @ step, step @ inverse
    return root, inverse
