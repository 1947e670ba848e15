import pytest
import torch
from torch import Tensor

from tests.worker.engine.conftest import cosine, relative_error
from worker.engine.losses import ContentLoss, StyleLoss, gram_matrix, total_variation

POSITIONS, CHANNELS = 70, 24


@pytest.fixture
def features() -> Tensor:
    return torch.randn(POSITIONS, CHANNELS, generator=torch.Generator().manual_seed(0)).relu()


@pytest.fixture
def target() -> Tensor:
    return torch.randn(POSITIONS, CHANNELS, generator=torch.Generator().manual_seed(1)).relu()


def divisor_of(name: str) -> float:
    return {"none": 1, "hw": POSITIONS, "chw": POSITIONS * CHANNELS}[name]


def autograd(loss: Tensor, variable: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, variable)
    return gradient


@pytest.mark.parametrize("relative", [False, True])
def test_the_content_loss_is_the_mean_square_and_its_gradient(
    relative: bool, features: Tensor, target: Tensor
) -> None:
    variable = features.clone().requires_grad_()
    expected = 3 * (variable - target).square().mean()
    if relative:
        expected = expected / target.square().mean()

    value, backward = ContentLoss(target, 3.0, relative=relative)(features)
    gradient = torch.ones_like(features)
    backward(gradient)

    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert relative_error(gradient - 1, autograd(expected, variable)) < 1e-4


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("divisor", ["none", "hw", "chw"])
def test_the_style_loss_is_the_distance_of_gram_matrices_and_its_gradient(
    divisor: str, relative: bool, features: Tensor, target: Tensor
) -> None:
    variable = features.clone().requires_grad_()
    a = target.T @ target / divisor_of(divisor)
    expected = 2 * (variable.T @ variable / divisor_of(divisor) - a).square().mean()
    if relative:
        expected = expected / a.square().mean()

    loss = StyleLoss(gram_matrix(target, divisor), 2.0, divisor=divisor, relative=relative)
    value, backward = loss(features)
    gradient = torch.zeros_like(features)
    backward(gradient)

    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert relative_error(gradient, autograd(expected, variable)) < 1e-4


def test_losses_of_bfloat16_features_are_float32_and_their_gradients_point_the_same_way(
    features: Tensor, target: Tensor
) -> None:
    style = StyleLoss(gram_matrix(target, "chw"), 1.0, divisor="chw", relative=True)
    for loss in (ContentLoss(target, 1.0, relative=True), style):
        exact, coarse = torch.zeros_like(features), torch.zeros_like(features).bfloat16()
        value, backward = loss(features)
        backward(exact)
        coarse_value, coarse_backward = loss(features.bfloat16())
        coarse_backward(coarse)
        assert coarse_value.dtype == torch.float32
        assert coarse_value.item() == pytest.approx(value.item(), rel=0.01)
        assert cosine(coarse.float(), exact) > 0.999


def test_a_relative_loss_does_not_depend_on_the_scale_of_the_network(
    features: Tensor, target: Tensor
) -> None:
    content = ContentLoss(target, 1.0, relative=True)(features)[0]
    scaled = ContentLoss(100 * target, 1.0, relative=True)(100 * features)[0]
    assert scaled.item() == pytest.approx(content.item(), rel=1e-5)


def test_a_target_without_energy_gives_a_finite_loss(features: Tensor) -> None:
    black = torch.zeros_like(features)
    assert ContentLoss(black, 1.0, relative=True)(features)[0].isfinite()


def test_total_variation_is_the_sum_of_absolute_differences_and_its_gradient() -> None:
    picture = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(0))
    variable = picture.clone().requires_grad_()
    expected = variable.diff(dim=1).abs().sum() + variable.diff(dim=2).abs().sum()
    value, gradient = total_variation(picture)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, autograd(expected, variable))
