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
    pooled = pooling.forward(features)
    gradient = pooling.backward(slope, pooled)

    assert relative_error(pooled.features, expected.detach()) < 1e-6
    # torch's own gradient of the L2 norm of nothing is not a number; ours is zero
    assert relative_error(gradient, variable.grad.nan_to_num()) < 1e-6
    assert gradient.shape == features.shape


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_row_and_column_are_left_out(kind: str) -> None:
    pooling = Pooling.named(kind, rescale=False)
    x = torch.rand(1, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    pooled = pooling.forward(x)
    assert torch.equal(pooled.features, pooling.forward(x[..., :4, :6]).features)
    gradient = pooling.backward(torch.ones_like(pooled.features), pooled)
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
    slope = torch.randn(exact.features.shape, generator=torch.Generator().manual_seed(1))
    gradient = pooling.backward(slope.bfloat16(), pooled)
    assert pooled.features.dtype == gradient.dtype == torch.bfloat16
    assert relative_error(pooled.features.float(), exact.features) < 0.005
    expected = pooling.backward(slope.bfloat16().float(), exact)
    once = coarse[:, 1:] > 0  # all zeros are maxima of their window, in one way back or the other
    assert relative_error(gradient.float()[:, 1:][once], expected[:, 1:][once]) < 0.005


def test_in_bfloat16_maxima_that_cannot_be_told_apart_share_the_gradient() -> None:
    pooling = Pooling.named("max", rescale=False)
    window = torch.tensor([[3.0, 1.0, 5.0], [3.0, 2.0, 5.0]], dtype=torch.bfloat16)
    x = window.view(1, 1, 2, 3).expand(1, 4, 2, 3).contiguous(memory_format=torch.channels_last)
    pooled = pooling.forward(x)
    gradient = pooling.backward(torch.full_like(pooled.features, 8.0), pooled)
    assert gradient[0, 3].tolist() == [[4.0, 0.0, 0.0], [4.0, 0.0, 0.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_rescaled_pooling_about_keeps_the_mean_of_smooth_activations(kind: str) -> None:
    """What `pooling_rescale` is for: deeper layers see activations of the size that they know."""
    x = torch.randn(1, 64, 32, 32, generator=torch.Generator().manual_seed(0)).relu()
    rescaled = Pooling.named(kind, rescale=True).forward(x).features
    maximum = F.max_pool2d(x, 2)
    assert rescaled.mean().item() == pytest.approx(maximum.mean().item(), rel=0.3)
