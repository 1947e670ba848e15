import pytest
import torch
from torch import Tensor

from tests.worker.engine.conftest import relative_error
from worker.engine.square_root import square_root, trace_of_square_root


def well_conditioned(channels: int, scale: float) -> Tensor:
    """A symmetric matrix with eigenvalues between `scale` / 20 and `scale`, float64."""
    generator = torch.Generator().manual_seed(channels)
    random = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    vectors, _ = torch.linalg.qr(random)
    values = scale * torch.linspace(0.05, 1, channels, dtype=torch.float64)
    return vectors @ torch.diag(values) @ vectors.T


def exact_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
@pytest.mark.parametrize("channels", [1, 3, 64, 512])
def test_the_root_is_that_of_the_eigenvalues(channels: int, scale: float) -> None:
    matrix = well_conditioned(channels, scale)
    root = square_root(matrix.float())
    assert relative_error(root.double(), exact_root(matrix)) < 1e-4
    assert relative_error((root @ root).double(), matrix) < 1e-4


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
@pytest.mark.parametrize("channels", [1, 3, 64, 512])
def test_the_trace_and_its_gradient_are_those_of_the_eigenvalues(
    channels: int, scale: float
) -> None:
    exact = well_conditioned(channels, scale).requires_grad_()
    expected = torch.linalg.eigvalsh(exact).sqrt().sum()
    expected.backward()
    matrix = exact.detach().float().requires_grad_()

    trace = trace_of_square_root(matrix)
    (3 * trace).backward()

    assert trace.item() == pytest.approx(expected.item(), rel=1e-4)
    assert matrix.grad is not None
    assert exact.grad is not None
    # Twelve iterations start from the root over its norm, which grows with the channels
    tolerance = 1e-4 if channels < 512 else 0.01
    assert relative_error(matrix.grad.double(), 3 * exact.grad) < tolerance


def test_directions_of_no_variance_do_no_harm() -> None:
    """The covariance of features that hardly vary: finite, and right where it counts."""
    matrix = torch.diag(torch.tensor([4.0, 1.0, 1e-9, 1e-9])).requires_grad_()
    trace = trace_of_square_root(matrix)
    trace.backward()
    assert trace.item() == pytest.approx(3.0, abs=0.02)
    assert matrix.grad is not None
    assert matrix.grad.diagonal()[:2].tolist() == pytest.approx([0.25, 0.5], rel=1e-3)
    assert matrix.grad.isfinite().all()
