import pytest
import torch
from torch import Tensor

from tests.worker.engine.conftest import Literal, cosine, paint_content, relative_error
from worker.engine import VGG19, DeviceError, InvalidInput, Weights
from worker.engine.vgg import LINE, Features, Network, smallest_side

STYLE_LAYERS = [f"relu{block}_1" for block in range(1, 6)]
LAYER_SETS = [
    pytest.param([*STYLE_LAYERS, "relu4_2"], id="the usual layers"),
    pytest.param(["conv1_1", "conv2_2", "conv4_3"], id="before the ReLU"),
    pytest.param(["conv3_1", "relu3_1", "conv5_4", "relu5_4"], id="before and after one ReLU"),
    pytest.param(["conv1_1"], id="the first layer alone"),
]


def gradient_of_a_sum(
    network: Network, features: Features, directions: dict[str, Tensor]
) -> Tensor:
    """Gradient of Σ <direction, layer>, through the hand-written backward pass."""

    def inject(layer: str, gradient: Tensor) -> None:
        gradient += directions[layer]

    return network.backward(features, inject)


def literal_gradient(literal: Literal, picture: Tensor, directions: dict[str, Tensor]) -> Tensor:
    variable = picture.clone().requires_grad_()
    found = literal(variable, directions)
    matrices = {name: output[0].permute(1, 2, 0).flatten(0, 1) for name, output in found.items()}
    sum((matrices[name] * directions[name]).sum() for name in directions).backward()
    assert variable.grad is not None
    return variable.grad


def random_directions(features: Features) -> dict[str, Tensor]:
    """A direction for each layer, of such a length that every layer counts."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(layer.shape, generator=generator) / layer.float().norm()
        for name, layer in features.layers.items()
    }


@pytest.mark.parametrize("layers", LAYER_SETS)
def test_features_are_those_of_torchvisions_vgg19(
    layers: list[str], vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    features = vgg.network(layers).forward(content).layers
    for name, expected in literal(content, layers).items():
        matrix = expected[0].permute(1, 2, 0).flatten(0, 1)
        assert relative_error(features[name], matrix) < 1e-5, name


@pytest.mark.parametrize("layers", LAYER_SETS)
def test_the_gradient_is_that_of_autograd(
    layers: list[str], vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    network = vgg.network(layers)
    features = network.forward(content)
    directions = random_directions(features)
    gradient = gradient_of_a_sum(network, features, directions)
    assert relative_error(gradient, literal_gradient(literal, content, directions)) < 1e-4


def test_sizes_that_do_not_divide_by_the_pools_are_fine(vgg: VGG19, literal: Literal) -> None:
    picture = paint_content(37, 51)
    network = vgg.network(["relu4_2", "relu1_1"])
    features = network.forward(picture)
    directions = random_directions(features)
    gradient = gradient_of_a_sum(network, features, directions)
    assert relative_error(gradient, literal_gradient(literal, picture, directions)) < 1e-4


@pytest.mark.parametrize("layers", LAYER_SETS)
def test_bfloat16_points_the_same_way(
    layers: list[str], vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    network = vgg.network(layers, torch.bfloat16)
    features = network.forward(content)
    directions = random_directions(features)
    gradient = gradient_of_a_sum(network, features, directions)
    # White noise is the hardest gradient: rounding decides ties of ReLU and pool in flat areas.
    # Gradients of losses are smoother; see test_objective.
    assert cosine(gradient, literal_gradient(literal, content, directions)) > 0.97


def test_nothing_deeper_than_the_deepest_layer_is_computed(vgg: VGG19, content: Tensor) -> None:
    features = vgg.network(["relu2_1", "conv1_2"]).forward(content)
    assert set(features.outputs) == {"relu1_1", "conv1_2", "relu1_2", "relu2_1"}


def test_two_runs_share_the_prepared_weights(vgg: VGG19) -> None:
    first, second = vgg.network(["relu1_1"]), vgg.network(["relu5_4"])
    assert first._convolutions is second._convolutions


def test_an_unknown_layer_is_an_error_that_suggests_the_nearest_name(vgg: VGG19) -> None:
    with pytest.raises(InvalidInput, match="'relu3_5': did you mean 'relu3_"):
        vgg.network(["relu3_5"])


def test_the_smallest_side_leaves_one_position_at_the_deepest_layer(vgg: VGG19) -> None:
    for layer in ("conv1_1", "relu1_2", "conv2_1", "relu5_1"):
        side = smallest_side([layer])
        assert len(vgg.network([layer]).forward(torch.rand(3, side, side)).layers[layer]) == 1


def test_the_line_is_the_whole_of_vgg19() -> None:
    assert len([name for name in LINE if name.startswith("conv")]) == 16
    assert LINE[0] == "conv1_1"
    assert LINE[-1] == "relu5_4"


def test_precision_auto_is_one_that_exists_and_wishes_are_followed(vgg: VGG19) -> None:
    assert vgg.precision("auto") in ("float32", "bfloat16")
    assert vgg.precision("float32") == "float32"
    assert vgg.precision("bfloat16") == "bfloat16"


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "meta"])
def test_a_device_that_is_not_there_is_a_clear_error(device: str, weights: Weights) -> None:
    with pytest.raises(DeviceError, match=device):
        VGG19(weights, device)
