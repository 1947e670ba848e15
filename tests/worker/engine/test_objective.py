import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import Literal, cosine, relative_error
from worker.engine import VGG19
from worker.engine.objective import build_objective

RECIPES = [
    pytest.param({"preset": "neural-style"}, id="neural-style"),
    pytest.param({"preset": "content-clone"}, id="content-clone"),
    pytest.param({"preset": "default", "tv_weight": 0.001}, id="default with tv"),
    pytest.param(
        {
            "content_layers": {"conv3_2": 0.5, "relu3_2": 2.0},
            "style_layers": {"conv1_2": 1.0, "relu2_2": 0.25},
            "gram_divisor": "hw",
        },
        id="layers before and after the ReLU",
    ),
]


def literal_losses(
    literal: Literal, picture: Tensor, content: Tensor, style: Tensor, parameters: Parameters
) -> dict[str, Tensor]:
    """The objective as its formulas are written, in float32 with autograd."""

    def gram(features: Tensor) -> Tensor:
        matrix = features[0].flatten(1)
        channels, positions = matrix.shape
        divisor = {"none": 1, "hw": positions, "chw": channels * positions}
        return matrix @ matrix.T / divisor[parameters.gram_divisor]

    def distance(value: Tensor, target: Tensor) -> Tensor:
        scale = target.square().mean() if parameters.relative else 1
        return (value - target).square().mean() / scale

    layers = {**parameters.content_layers, **parameters.style_layers}
    found, content_targets, style_targets = (
        literal(image, layers) for image in (picture, content, style)
    )
    losses = {}
    for name, weight in parameters.content_layers.items():
        loss = distance(found[name], content_targets[name].detach())
        losses[f"content/{name}"] = parameters.content_weight * weight * loss
    for name, weight in parameters.style_layers.items():
        loss = distance(gram(found[name]), gram(style_targets[name]).detach())
        losses[f"style/{name}"] = parameters.style_weight * weight * loss
    variation = picture.diff(dim=1).abs().sum() + picture.diff(dim=2).abs().sum()
    losses["tv"] = parameters.tv_weight * variation
    return losses


@pytest.fixture(scope="module")
def picture(content: Tensor) -> Tensor:
    """On its way from the content, as most iterates are."""
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(2))
    return 0.7 * content + 0.3 * noise


@pytest.mark.parametrize("recipe", RECIPES)
def test_losses_and_gradient_are_those_of_the_formulas(
    recipe: dict[str, object],
    vgg: VGG19,
    literal: Literal,
    picture: Tensor,
    content: Tensor,
    style: Tensor,
) -> None:
    parameters = Parameters.model_validate(recipe)
    variable = picture.clone().requires_grad_()
    expected = literal_losses(literal, variable, content, style, parameters)
    total = torch.stack(list(expected.values())).sum()
    total.backward()
    assert variable.grad is not None

    objective = build_objective(vgg, content, [style], parameters, torch.float32)
    values, gradient = objective(picture)

    losses = values.read()
    assert losses.total == pytest.approx(total.item(), rel=1e-4)
    for name, value in losses.layers.items():
        assert value == pytest.approx(expected[name].item(), rel=1e-4), name
    assert losses.tv == pytest.approx(expected["tv"].item(), rel=1e-4)
    assert relative_error(gradient, variable.grad) < 1e-4


@pytest.mark.parametrize("recipe", RECIPES)
def test_bfloat16_gives_nearly_the_same_losses_and_direction(
    recipe: dict[str, object], vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    parameters = Parameters.model_validate(recipe)
    exact, coarse = (
        build_objective(vgg, content, [style], parameters, dtype)(picture)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert coarse[0].read().total == pytest.approx(exact[0].read().total, rel=0.02)
    assert cosine(coarse[1], exact[1]) > 0.995


def test_the_parts_add_up(vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor) -> None:
    parameters = Parameters(tv_weight=0.01)
    objective = build_objective(vgg, content, [style], parameters, torch.float32)
    losses = objective.losses(picture).read()
    assert losses.total == pytest.approx(losses.content + losses.style + losses.tv)
    assert losses.total == pytest.approx(sum(losses.layers.values()) + losses.tv)
    assert set(losses.layers) == {
        "content/relu4_2",
        *(f"style/relu{block}_1" for block in range(1, 6)),
    }


def test_values_alone_are_the_same_values(
    vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    objective = build_objective(vgg, content, [style], Parameters(tv_weight=0.1), torch.float32)
    assert objective.losses(picture).read() == objective(picture)[0].read()


def test_layers_without_weight_are_not_computed(
    vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    parameters = Parameters(
        content_weight=0, style_layers={"relu1_1": 1.0, "relu2_1": 0.5, "relu5_1": 0.0}
    )
    objective = build_objective(vgg, content, [style], parameters, torch.float32)
    assert set(objective.losses(picture).read().layers) == {"style/relu1_1", "style/relu2_1"}


def test_two_styles_are_blended_by_their_shares(
    vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    def style_loss(styles: list[Tensor], shares: list[float] | None) -> float:
        parameters = Parameters(style_weights=shares, content_weight=0, relative=False)
        objective = build_objective(vgg, content, styles, parameters, torch.float32)
        return objective.losses(picture).read().style

    alone = style_loss([style], None)
    assert style_loss([style, content], [1, 0]) == pytest.approx(alone)
    assert style_loss([style, style], [1, 3]) == pytest.approx(alone)
    assert style_loss([style, content], [1, 3]) == pytest.approx(
        style_loss([content, style], [0.75, 0.25])
    )
    assert style_loss([style, content], None) == pytest.approx(style_loss([style, content], [2, 2]))
    assert style_loss([style, content], None) != pytest.approx(alone, rel=0.01)
