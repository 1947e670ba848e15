"""Square roots of symmetric positive definite matrices, by Newton and Schulz.

The coupled iteration (Higham, Functions of Matrices, equation 6.35) needs nothing but matrix
products, which is what every device is fastest at:

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
    identity = _identity(matrix)
    root, inverse = matrix / norm, identity
    for _ in range(ITERATIONS):
        step = torch.addmm(identity, inverse, root, beta=1.5, alpha=-0.5)
        root, inverse = root @ step, step @ inverse
    rescaled: Tensor = root * norm.sqrt()
    return rescaled


def trace_of_square_root(matrix: Tensor) -> Tensor:
    """tr(A^½), a scalar that autograd can differentiate: its gradient is A^-½ / 2."""
    trace: Tensor = _TraceOfSquareRoot.apply(matrix)
    return trace


class _TraceOfSquareRoot(torch.autograd.Function):
    """Autograd through the iteration would keep every step of it."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        root = square_root(matrix)
        ctx.save_for_backward(root)
        trace: Tensor = root.trace()
        return trace

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        root: Tensor = ctx.saved_tensors[0]
        return slope * _inverse(root) / 2


def _inverse(root: Tensor) -> Tensor:
    """R⁻¹ of a symmetric positive definite R, the solution of R X + X R = 2 I.

    By the iteration that solves the general equation in crowsonkb/style-transfer-pytorch (Lin and
    Maji, Improved Bilinear Pooling with CNNs, 2017), where all matrices commute. The inverse that
    `square_root` comes by has not converged in the same directions: pictures would differ.
    """
    norm = root.norm()
    identity = _identity(root)
    sign: Tensor = root / norm
    inverse: Tensor = identity / norm
    for _ in range(ITERATIONS):
        step = torch.addmm(identity, sign, sign, beta=1.5, alpha=-0.5)
        sign, inverse = sign @ step, inverse @ step
    return inverse


def _identity(matrix: Tensor) -> Tensor:
    return torch.eye(len(matrix), device=matrix.device, dtype=matrix.dtype)
