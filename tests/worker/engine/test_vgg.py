from itertools import product

import pytest
import torch
from torch import Tensor

from shared.network import LINE, shape_at, smallest_side
from tests.worker.engine.conftest import Literal, cosine, paint_content, relative_error
from worker.engine import VGG19, DeviceError, InvalidInput, Weights
from worker.engine.vgg import TRAINED, Architecture, Network

STYLE_LAYERS = [f"relu{block}_1" for block in range(1, 6)]
USUAL_LAYERS = [*STYLE_LAYERS, "relu4_2"]
LAYER_SETS = [
    pytest.param(USUAL_LAYERS, id="the usual layers"),
    pytest.param(["conv1_1", "conv2_2", "conv4_3"], id="before the ReLU"),
    pytest.param(["conv3_1", "relu3_1", "conv5_4", "relu5_4"], id="before and after one ReLU"),
    pytest.param(["conv1_1"], id="the first layer alone"),
]
ARCHITECTURES = [
    pytest.param(
        Architecture(pooling, rescale, padding),
        id=f"{pooling}{' rescaled' if rescale else ''}, {padding}",
    )
    for pooling, rescale, padding in product(
        ("max", "average", "l2"), (False, True), ("zero", "replicate")
    )
]

Directions = dict[str, Tensor]


def look(network: Network, picture: Tensor) -> dict[str, Tensor]:
    """The features of every layer that is read, (positions, channels)."""
    found: dict[str, Tensor] = {}
    network.forward(picture, lambda layer, features: found.update({layer: features.clone()}))
    return found


def gradient_of_a_sum(network: Network, picture: Tensor, directions: Directions) -> Tensor:
    """Gradient of Σ <direction, layer>, through the hand-written backward pass."""

    def inject(layer: str, features: Tensor, gradient: Tensor) -> None:
        gradient += directions[layer]

    blocks = network.forward(picture, lambda layer, features: None)
    return network.backward(blocks, inject)


def literal_gradient(
    literal: Literal, picture: Tensor, directions: Directions, architecture: Architecture = TRAINED
) -> Tensor:
    variable = picture.clone().requires_grad_()
    found = literal(variable, directions, architecture)
    matrices = {name: output[0].permute(1, 2, 0).flatten(0, 1) for name, output in found.items()}
    sum((matrices[name] * directions[name]).sum() for name in directions).backward()
    assert variable.grad is not None
    return variable.grad


def random_directions(features: dict[str, Tensor]) -> Directions:
    """A direction for each layer, of such a length that every layer counts."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(matrix.shape, generator=generator) / matrix.float().norm()
        for name, matrix in features.items()
    }


@pytest.mark.parametrize("layers", LAYER_SETS)
def test_features_are_those_of_torchvisions_vgg19(
    layers: list[str], vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    found = look(vgg.network(layers), content)
    for name, expected in literal(content, layers).items():
        matrix = expected[0].permute(1, 2, 0).flatten(0, 1)
        assert relative_error(found[name], matrix) < 1e-5, name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_other_poolings_and_paddings_are_what_they_are_called(
    architecture: Architecture, vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    found = look(vgg.network(USUAL_LAYERS, architecture=architecture), content)
    for name, expected in literal(content, USUAL_LAYERS, architecture).items():
        matrix = expected[0].permute(1, 2, 0).flatten(0, 1)
        assert relative_error(found[name], matrix) < 1e-5, name


@pytest.mark.parametrize("layers", LAYER_SETS)
def test_the_gradient_is_that_of_autograd(
    layers: list[str], vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    network = vgg.network(layers)
    directions = random_directions(look(network, content))
    gradient = gradient_of_a_sum(network, content, directions)
    assert relative_error(gradient, literal_gradient(literal, content, directions)) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(37, 51), (16, 61)])
def test_the_gradient_is_that_of_autograd_for_every_pooling_padding_and_odd_size(
    architecture: Architecture, shape: tuple[int, int], vgg: VGG19, literal: Literal
) -> None:
    picture = paint_content(*shape)
    network = vgg.network(USUAL_LAYERS, architecture=architecture)
    directions = random_directions(look(network, picture))
    gradient = gradient_of_a_sum(network, picture, directions)
    expected = literal_gradient(literal, picture, directions, architecture)
    assert gradient.shape == picture.shape
    assert relative_error(gradient, expected) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_that_recomputes_gives_the_identical_gradient(
    dtype: torch.dtype, architecture: Architecture, vgg: VGG19
) -> None:
    picture = paint_content(37, 51)
    layers = [*USUAL_LAYERS, "conv3_2", "conv1_2"]
    keeping = vgg.network(layers, dtype, architecture)
    recomputing = vgg.network(layers, dtype, architecture, recompute=True)
    directions = random_directions(look(keeping, picture))
    assert torch.equal(
        gradient_of_a_sum(recomputing, picture, directions),
        gradient_of_a_sum(keeping, picture, directions),
    )


def test_a_network_that_recomputes_keeps_no_activations(vgg: VGG19, content: Tensor) -> None:
    network = vgg.network(USUAL_LAYERS, recompute=True)
    blocks = network.forward(content, lambda layer, features: None)
    assert len(blocks) == 5
    assert not any(block.outputs for block in blocks)


@pytest.mark.parametrize("layers", LAYER_SETS)
def test_bfloat16_points_the_same_way(
    layers: list[str], vgg: VGG19, literal: Literal, content: Tensor
) -> None:
    network = vgg.network(layers, torch.bfloat16)
    directions = random_directions(look(network, content))
    gradient = gradient_of_a_sum(network, content, directions)
    # White noise is the hardest gradient: rounding decides ties of ReLU and pool in flat areas.
    # Gradients of losses are smoother; see test_objective.
    assert cosine(gradient, literal_gradient(literal, content, directions)) > 0.97


def test_nothing_deeper_than_the_deepest_layer_is_computed(vgg: VGG19, content: Tensor) -> None:
    blocks = vgg.network(["relu2_1", "conv1_2"]).forward(content, lambda layer, features: None)
    outputs = [set(block.outputs) for block in blocks]
    assert outputs == [{"conv1_2"}, {"relu2_1"}]


def test_layers_are_read_from_the_first_to_the_deepest_and_come_back_the_other_way(
    vgg: VGG19, content: Tensor
) -> None:
    there: list[str] = []
    back: list[str] = []
    network = vgg.network(["relu3_1", "conv1_1", "conv3_1", "relu1_1"])
    blocks = network.forward(content, lambda layer, features: there.append(layer))
    network.backward(blocks, lambda layer, features, gradient: back.append(layer))
    assert there == ["conv1_1", "relu1_1", "conv3_1", "relu3_1"]
    assert back == there[::-1]


def test_two_runs_share_the_prepared_weights(vgg: VGG19) -> None:
    first, second = vgg.network(["relu1_1"]), vgg.network(["relu5_4"])
    assert first._convolutions is second._convolutions


def test_an_unknown_layer_is_an_error_that_suggests_the_nearest_name(vgg: VGG19) -> None:
    with pytest.raises(InvalidInput, match="'relu3_5': did you mean 'relu3_"):
        vgg.network(["relu3_5"])


def test_the_smallest_side_leaves_one_position_at_the_deepest_layer(vgg: VGG19) -> None:
    for layer in ("conv1_1", "relu1_2", "conv2_1", "relu5_1"):
        side = smallest_side([layer])
        assert len(look(vgg.network([layer]), torch.rand(3, side, side))[layer]) == 1


def test_the_shape_of_a_layer_is_that_of_its_features(vgg: VGG19) -> None:
    layers = ["conv1_2", "relu2_2", "conv3_4", "relu4_1", "relu5_1"]
    for name, matrix in look(vgg.network(layers), torch.rand(3, 39, 53)).items():
        height, width = shape_at(name, 39, 53)
        assert len(matrix) == height * width, name


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
