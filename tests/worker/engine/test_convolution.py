import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.worker.engine.conftest import relative_error
from worker.engine import VGG19, Weights, convolution
from worker.engine.convolution import Convolution, picture_in_parts
from worker.engine.hardware import products_of_bfloat16

CPU = torch.device("cpu")


@pytest.fixture
def kernel() -> Tensor:
    return torch.randn(24, 16, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def image() -> Tensor:
    """Positive and smooth, as features are."""
    coarse = torch.rand(1, 16, 5, 6, generator=torch.Generator().manual_seed(1))
    smooth = F.interpolate(coarse, (20, 24), mode="bicubic").relu()
    return smooth.contiguous(memory_format=torch.channels_last)


def test_rounding_with_diffusion_errs_less_on_smooth_features_than_rounding_to_the_nearest(
    kernel: Tensor, image: Tensor
) -> None:
    exact = F.conv2d(image, kernel)
    nearest = F.conv2d(image, kernel.bfloat16().float())
    diffused = F.conv2d(image, convolution._rounded(kernel, torch.bfloat16))
    assert relative_error(diffused, exact) < 0.7 * relative_error(nearest, exact)
    assert convolution._rounded(kernel, torch.float32) is kernel


def test_a_picture_in_parts_keeps_sixteen_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 12, 10, generator=generator)
    kernel = torch.randn(8, 3, 3, 3, generator=generator)
    parts = picture_in_parts(picture, torch.bfloat16)
    weights = convolution._in_parts(kernel, torch.bfloat16, "weights")
    exact = F.conv2d(picture, kernel)
    assert relative_error(F.conv2d(parts.float(), weights.float()), exact) < 2**-15
    assert relative_error(F.conv2d(picture.bfloat16().float(), kernel), exact) > 2**-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("padding", ["zero", "replicate"])
def test_it_is_the_same_without_the_layout_of_one_library(
    padding: str, dtype: torch.dtype, kernel: Tensor, monkeypatch: pytest.MonkeyPatch, image: Tensor
) -> None:
    """As on a GPU, and on a processor for which oneDNN was not built."""
    bias, x = torch.linspace(-1, 1, 24), image.to(dtype)
    laid_out = Convolution.prepare(kernel, bias, CPU, dtype)
    monkeypatch.setattr(convolution, "_onednn_takes", lambda _: False)
    plain = Convolution.prepare(kernel, bias, CPU, dtype)
    assert not plain.kernel.is_mkldnn
    for relu in (False, True):
        ours, theirs = (c.forward(x, padding, relu=relu) for c in (laid_out, plain))
        assert relative_error(ours.float(), theirs.float()) < 0.004
        assert bool((theirs < 0).any()) != relu
    gradient = plain.forward(x)
    ours, theirs = (c.backward(gradient, padding) for c in (laid_out, plain))
    assert relative_error(ours.float(), theirs.float()) < 0.004


def test_products_of_values_of_bfloat16_are_exact_and_the_setting_does_not_stay() -> None:
    values = torch.rand(5000, 48, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    with products_of_bfloat16():
        product = values.T @ values
    exact = values.double().T @ values.double()
    assert relative_error(product.double(), exact) < 1e-6
    of_any = torch.rand(256, 256, generator=torch.Generator().manual_seed(1))
    assert relative_error((of_any @ of_any).double(), of_any.double() @ of_any.double()) < 1e-6


def test_a_network_for_another_precision_can_be_had_beside_the_first(weights: Weights) -> None:
    vgg = VGG19(weights, "cpu")
    picture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    found: list[Tensor] = []
    for dtype in (torch.float32, torch.bfloat16):
        network = vgg.network(["relu2_1"], dtype)
        network.forward(picture, lambda _, features: found.append(features.float()))
    assert 0 < relative_error(found[1], found[0]) < 0.01
