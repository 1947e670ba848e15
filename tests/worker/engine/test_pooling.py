import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.worker.engine.conftest import relative_error
from worker.engine.pooling import Pooling

KINDS = ["max", "average", "l2"]


@pytest.fixture(params=[(6, 8), (7, 9), (2, 3)], ids=str)
def features(request: pytest.FixtureRequest) -> Tensor:
    """Some of them are zero over whole windows, as after a ReLU; channels_last, as in the
    network."""
    height, width = request.param
    values = torch.randn(1, 5, height, width, generator=torch.Generator().manual_seed(0)).relu()
    values[:, 0] = 0
    return values.contiguous(memory_format=torch.channels_last)


def literal(kind: str, x: Tensor) -> Tensor:
    if kind == "max":
        return F.max_pool2d(x, 2)
    if kind == "average":
        return F.avg_pool2d(x, 2)
    return F.lp_pool2d(x, 2.0, 2)


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_pooling_and_its_gradient_are_those_of_torch(
    kind: str, rescale: bool, features: Tensor
) -> None:
    variable = features.clone().requires_grad_()
    scale = {"max": 1.0, "average": 2.0, "l2": 0.78}[kind] if rescale else 1.0
    expected = scale * literal(kind, variable)
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    expected.backward(slope)
    assert variable.grad is not None

    pooling = Pooling.named(kind, rescale=rescale)
    pooled = pooling.forward(features.clone(memory_format=torch.preserve_format))
    gradient = pooling.backward(slope, features)

    assert relative_error(pooled, expected.detach()) < 1e-6
    # torch's own gradient of the L2 norm of nothing is not a number; ours is zero
    assert relative_error(gradient, variable.grad.nan_to_num()) < 1e-6
    assert gradient.shape == features.shape


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_row_and_column_are_left_out(kind: str) -> None:
    pooling = Pooling.named(kind, rescale=False)
    x = torch.rand(1, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    pooled = pooling.forward(x)
    assert torch.equal(pooled, pooling.forward(x[..., :4, :6]))
    gradient = pooling.backward(torch.ones_like(pooled), x)
    assert gradient[..., :4, :6].any()
    assert not gradient[..., 4, :].any()
    assert not gradient[..., :, 6].any()


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_stays_bfloat16_and_loses_nothing_but_digits(
    kind: str, rescale: bool, features: Tensor
) -> None:
    pooling = Pooling.named(kind, rescale=rescale)
    coarse = features.bfloat16()
    exact = pooling.forward(coarse.float())
    pooled = pooling.forward(coarse)
    slope = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    gradient = pooling.backward(slope, coarse)
    assert pooled.dtype == gradient.dtype == torch.bfloat16
    assert relative_error(pooled.float(), exact) < 0.005
    expected = pooling.backward(slope.float(), coarse.float())
    assert relative_error(gradient.float(), expected) < 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_rescaled_pooling_about_keeps_the_mean_of_smooth_activations(kind: str) -> None:
    """What `pooling_rescale` is for: deeper layers see activations of the size that they know."""
    x = torch.randn(1, 64, 32, 32, generator=torch.Generator().manual_seed(0)).relu()
    rescaled = Pooling.named(kind, rescale=True).forward(x)
    maximum = F.max_pool2d(x, 2)
    assert rescaled.mean().item() == pytest.approx(maximum.mean().item(), rel=0.3)
