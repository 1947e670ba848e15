from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import (
    SHALLOW,
    Literal,
    cosine,
    paint_content,
    paint_style,
    plain,
    relative_error,
)
from worker.engine import VGG19
from worker.engine.objective import Losses, Objective, build_objective
from worker.engine.space import Space
from worker.engine.targets import Targets
from worker.engine.vgg import Architecture

BFLOAT16 = torch.bfloat16
MEAN_BYTES = (123.68, 116.779, 103.939)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def case(id: str, **values: Any) -> Any:
    return pytest.param({"relative": False, **values}, id=id)


RECIPES = [
    *(
        case(preset, preset=preset)
        for preset in (
            "neural-style",
            "content-clone",
            "d2l",
            "starry-noise",
            "multi-layer-content",
            "reconstruction",
        )
    ),
    case("default with tv", relative=True, tv_weight=0.001),
    case(
        "layers before and after the ReLU",
        content_layers={"conv3_2": 0.5, "relu3_2": 2.0},
        style_layers={"conv1_2": 1.0, "relu2_2": 0.25},
        gram_divisor="hw",
    ),
]
STYLE_LOSSES = [
    case(
        f"gram/{divisor}{', over chw' if over == 'chw' else ''}{', relative' if relative else ''}",
        gram_divisor=divisor,
        style_divisor=over,
        relative=relative,
        content_weight=0.0,
    )
    for divisor, over, relative in product(("none", "hw", "chw"), ("none", "chw"), (False, True))
]
POOLINGS = [
    case(
        f"{pooling}{' rescaled' if rescale else ''}, {padding}",
        pooling=pooling,
        pooling_rescale=rescale,
        padding=padding,
    )
    for pooling, rescale, padding in product(
        ("max", "average", "l2"), (False, True), ("zero", "replicate")
    )
]
# Of weights at which the total variation counts about as much as the rest
VARIATIONS = [
    case(
        f"{kind} in {space}",
        relative=True,
        tv_loss=kind,
        space=space,
        tv_weight=weight / unit ** (2 if kind == "l2" else 1),
    )
    for (kind, weight), (space, unit) in product(
        (("l1", 0.01), ("l1-mean", 100.0), ("l2", 300.0)),
        (("pixels", 1.0), ("normalized", 4.0), ("bytes", 255.0)),
    )
]


def to_pixels(variable: Tensor, space: str) -> Tensor:
    def color(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values).view(3, 1, 1)

    if space == "normalized":
        return variable * color(STD) + color(MEAN)
    if space == "bytes":
        return (variable + color(MEAN_BYTES)) / 255
    return variable


def total_variation(picture: Tensor, kind: str) -> Tensor:
    across, down = picture.diff(dim=2), picture.diff(dim=1)
    if kind == "l1":
        return across.abs().sum() + down.abs().sum()
    if kind == "l1-mean":
        return (across.abs().mean() + down.abs().mean()) / 2
    padded = F.pad(picture[None], (1, 1, 1, 1), "replicate")[0]
    inner = padded[:, 1:-1, 1:-1]
    return 2 * (
        (padded[:, 1:-1, 2:] - inner).square().mean() / 3
        + (padded[:, 2:, 1:-1] - inner).square().mean() / 3
        + (padded[:, 1:, 1:] - padded[:, :-1, :-1]).square().mean() / 12
        + (padded[:, 1:, :-1] - padded[:, :-1, 1:]).square().mean() / 12
    )


def literal_losses(
    literal: Literal, variable: Tensor, targets: Targets, parameters: Parameters
) -> dict[str, Tensor]:
    """The objective as its formulas are written, in float32 with autograd. Gram losses only."""

    def gram(features: Tensor, weights: Tensor | None = None) -> Tensor:
        matrix = features[0].flatten(1)
        channels, positions = matrix.shape
        divisor = {"none": 1, "hw": positions, "chw": channels * positions}
        weighted = matrix
        if weights is not None:  # the region counts as if it were the whole
            weighted = matrix * weights * positions / weights.sum()
        return weighted @ matrix.T / divisor[parameters.gram_divisor]

    def distance(value: Tensor, target: Tensor) -> Tensor:
        scale = target.square().mean() if parameters.relative else 1
        return (value - target).square().mean() / scale

    layers = {**parameters.content_layers, **parameters.style_layers}
    architecture = Architecture.of(parameters)
    picture = to_pixels(variable, parameters.space)
    found = literal(picture, layers, architecture)
    losses = {}
    if targets.content is not None:
        wanted = literal(targets.content, layers, architecture)
        for name, weight in parameters.content_layer_weights.items():
            losses[f"content/{name}"] = weight * distance(found[name], wanted[name].detach())
    styles = [literal(style, layers, architecture) for style in targets.styles]
    shares = torch.tensor(parameters.style_weights or [1.0] * len(styles))
    shares = shares / shares.sum()
    for name, weight in parameters.style_layer_weights.items():
        over = found[name].numel() if parameters.style_divisor == "chw" else 1
        grams = [gram(style[name]).detach() for style in styles]
        if targets.masks:
            loss = torch.zeros(())
            for wanted_gram, share, mask in zip(grams, shares, targets.masks, strict=True):
                area = F.adaptive_avg_pool2d(mask[None], found[name].shape[2:]).flatten()
                importance = area.mean() * share * len(styles)
                loss = loss + importance * distance(gram(found[name], area), wanted_gram)
        else:
            mixture = sum(share * g for share, g in zip(shares, grams, strict=True))
            loss = distance(gram(found[name]), mixture)
        losses[f"style/{name}"] = weight * loss / over
    losses["tv"] = parameters.tv_weight * total_variation(variable, parameters.tv_loss)
    return losses


class CrowsonkbRoot(torch.autograd.Function):
    """`_MatrixSquareRootNSLyap` of crowsonkb/style-transfer-pytorch (`sqrtm.py`), 12 iterations."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        norm = matrix.norm()
        y, identity = matrix / norm, torch.eye(len(matrix))
        z = identity
        for _ in range(12):
            step = (3 * identity - z @ y) / 2
            y, z = y @ step, step @ z
        root = y * norm.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        norm = root.norm()
        a, identity, q = root / norm, torch.eye(len(root)), slope / norm
        for index in range(12):
            q = (q @ (3 * identity - a @ a) - a.T @ (a.T @ q - q @ a)) / 2
            if index < 11:
                a = a @ (3 * identity - a @ a) / 2
        return q / 2


def crowsonkb_style_loss(features: Tensor, target: Tensor, area: Tensor, relative: bool) -> Tensor:
    """`StyleLossW2` of the same, as a mean over channels; `area` weights the positions."""

    def moments(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        matrix = features[0].flatten(1)
        mean = matrix @ weights
        second = weights * matrix @ matrix.T
        return mean, second - torch.outer(mean, mean) + 1e-4 * torch.eye(len(mean))

    mean, covariance = moments(features, area / area.sum())
    positions = target[0, 0].numel()
    wanted_mean, wanted = moments(target, torch.full((positions,), 1 / positions))
    root = CrowsonkbRoot.apply(wanted)
    between = CrowsonkbRoot.apply(root @ covariance @ root)
    difference = (mean - wanted_mean).square().mean()
    loss = difference + (covariance + wanted - 2 * between).diagonal().mean()
    return loss / (target.square().mean() if relative else 1)


def targets_of(
    content: Tensor | None, *styles: Tensor, masks: tuple[Tensor, ...] = (), like: Tensor
) -> Targets:
    height, width = like.shape[-2:]
    return Targets(content, styles, masks, height, width)


def build(
    vgg: VGG19,
    targets: Targets,
    parameters: Parameters,
    dtype: torch.dtype = torch.float32,
    **options: bool,
) -> Objective:
    return build_objective(vgg, targets, parameters, dtype, **options)


@pytest.fixture(scope="module")
def content() -> Tensor:
    """Of odd sizes, so that every pool leaves something out."""
    return paint_content(45, 63)


@pytest.fixture(scope="module")
def picture(content: Tensor) -> Tensor:
    """On its way from the content, as most iterates are."""
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(2))
    return 0.7 * content + 0.3 * noise


@pytest.fixture(scope="module")
def targets(content: Tensor, style: Tensor) -> Targets:
    return targets_of(content, style, like=content)


@pytest.fixture(scope="module")
def regions(content: Tensor, style: Tensor) -> Targets:
    """Two styles, each in its half, with a soft border; a third of the picture has none."""
    ramp = torch.linspace(2, -4, content.shape[2]).expand(content.shape[1:])
    masks = (ramp.clamp(0, 1), (1 - ramp).clamp(0, 1) * (ramp > -2))
    return targets_of(content, style, paint_style(40, 64, seed=5), masks=masks, like=content)


def compare(
    vgg: VGG19, literal: Literal, picture: Tensor, targets: Targets, parameters: Parameters
) -> Losses:
    """Values and gradient of the engine against autograd through torchvision's network."""
    start = Space.named(parameters.space, vgg.device).from_pixels(picture)
    variable = start.clone().requires_grad_()
    expected = literal_losses(literal, variable, targets, parameters)
    total = torch.stack(list(expected.values())).sum()
    total.backward()
    assert variable.grad is not None

    values, gradient = build(vgg, targets, parameters)(start)

    losses = values.read()
    assert losses.total == pytest.approx(total.item(), rel=1e-4)
    assert set(losses.layers) | {"tv"} == set(expected)
    for name, value in losses.layers.items():
        assert value == pytest.approx(expected[name].item(), rel=1e-4), name
    assert losses.tv == pytest.approx(expected["tv"].item(), rel=1e-4)
    assert relative_error(gradient, variable.grad) < 1e-4
    return losses


@pytest.mark.parametrize("recipe", [*RECIPES, *STYLE_LOSSES, *POOLINGS])
def test_losses_and_gradient_are_those_of_the_formulas(
    recipe: dict[str, Any], vgg: VGG19, literal: Literal, picture: Tensor, targets: Targets
) -> None:
    # The literal network has the weights as they are
    parameters = plain(**{**recipe, "activations": "original"})
    compare(vgg, literal, picture, targets, parameters)


@pytest.mark.parametrize("recipe", VARIATIONS)
def test_total_variation_is_that_of_the_formulas_in_every_space(
    recipe: dict[str, Any], vgg: VGG19, literal: Literal, picture: Tensor, targets: Targets
) -> None:
    losses = compare(vgg, literal, picture, targets, plain(**recipe))
    assert 0.1 < losses.tv / losses.total < 0.9


@pytest.mark.parametrize("recipe", [*RECIPES, *STYLE_LOSSES, *POOLINGS])
def test_bfloat16_gives_nearly_the_same_losses_and_direction(
    recipe: dict[str, Any], vgg: VGG19, picture: Tensor, targets: Targets
) -> None:
    parameters = plain(**recipe)
    variable = Space.named(parameters.space, vgg.device).from_pixels(picture)
    exact, coarse = (
        build(vgg, targets, parameters, dtype)(variable) for dtype in (torch.float32, BFLOAT16)
    )
    assert coarse[0].read().total == pytest.approx(exact[0].read().total, rel=0.004)
    # Rounding decides here and there which value of a window is the greatest
    assert cosine(coarse[1], exact[1]) > (0.9988 if parameters.pooling == "max" else 0.9995)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_wasserstein_loss_and_its_gradient_are_those_of_crowsonkb(
    masked: bool,
    relative: bool,
    vgg: VGG19,
    literal: Literal,
    picture: Tensor,
    targets: Targets,
    regions: Targets,
) -> None:
    """Autograd through the network and through its Newton-Schulz root with its way back.

    Features that hardly vary make covariances that are nearly singular; there neither way back is
    exact, and they agree within a percent. See test_losses for others.
    """
    parameters = plain(
        style_loss="wasserstein", relative=relative, content_weight=0, style_layers=SHALLOW
    )
    compared = regions if masked else targets
    masks = compared.masks or [torch.ones(picture.shape[1:])]
    variable = picture.clone().requires_grad_()
    found = literal(variable, SHALLOW)
    expected = torch.zeros(())
    for style, mask in zip(compared.styles, masks, strict=True):
        wanted = literal(style, SHALLOW)
        for name, weight in SHALLOW.items():
            area = F.adaptive_avg_pool2d(mask[None], found[name].shape[2:]).flatten()
            loss = crowsonkb_style_loss(found[name], wanted[name].detach(), area, relative)
            expected = expected + parameters.style_weight * weight * area.mean() * loss
    expected.backward()
    assert variable.grad is not None

    values, gradient = build(vgg, compared, parameters)(picture)

    assert values.read().total == pytest.approx(expected.item(), rel=1e-4)
    assert cosine(gradient, variable.grad) > 0.9999
    assert relative_error(gradient, variable.grad) < 0.01


def test_bfloat16_gives_nearly_the_same_wasserstein_loss_and_direction(
    vgg: VGG19, picture: Tensor, targets: Targets
) -> None:
    parameters = plain(style_loss="wasserstein", style_layers=SHALLOW)
    exact, coarse = (
        build(vgg, targets, parameters, dtype)(picture) for dtype in (torch.float32, BFLOAT16)
    )
    assert coarse[0].read().total == pytest.approx(exact[0].read().total, rel=0.004)
    assert cosine(coarse[1], exact[1]) > 0.999


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("divisor", ["none", "hw", "chw"])
def test_losses_and_gradient_of_masked_styles_are_those_of_the_formulas(
    divisor: str,
    relative: bool,
    vgg: VGG19,
    literal: Literal,
    picture: Tensor,
    regions: Targets,
) -> None:
    parameters = plain(gram_divisor=divisor, relative=relative, style_weights=[1.0, 3.0])
    compare(vgg, literal, picture, regions, parameters)


@pytest.mark.parametrize("relative", [False, True])
def test_losses_and_gradient_of_mixed_styles_are_those_of_the_formulas(
    relative: bool,
    vgg: VGG19,
    literal: Literal,
    picture: Tensor,
    content: Tensor,
    style: Tensor,
) -> None:
    mixed = targets_of(content, style, paint_style(40, 64, seed=5), like=content)
    parameters = plain(relative=relative, style_weights=[1.0, 3.0])
    compare(vgg, literal, picture, mixed, parameters)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param({}, id="gram"),
        pytest.param({"style_loss": "wasserstein", "style_layers": SHALLOW}, id="wasserstein"),
        pytest.param({"pooling": "l2", "tv_weight": 1.0, "tv_loss": "l2"}, id="l2"),
    ],
)
def test_the_same_picture_gives_the_identical_gradient_also_when_recomputed(
    recipe: dict[str, Any],
    dtype: torch.dtype,
    recompute: bool,
    vgg: VGG19,
    picture: Tensor,
    regions: Targets,
) -> None:
    parameters = plain(**recipe)
    values, gradient = build(vgg, regions, parameters, dtype)(picture)
    again = build(vgg, regions, parameters, dtype, recompute=recompute)(picture)
    assert again[0].read() == values.read()
    assert torch.equal(again[1], gradient)


def test_the_parts_add_up(vgg: VGG19, picture: Tensor, targets: Targets) -> None:
    losses = build(vgg, targets, plain(tv_weight=0.01)).losses(picture).read()
    assert losses.total == pytest.approx(losses.content + losses.style + losses.tv)
    assert losses.total == pytest.approx(sum(losses.layers.values()) + losses.tv)
    assert set(losses.layers) == {
        "content/relu4_2",
        *(f"style/relu{block}_1" for block in range(1, 6)),
    }


@pytest.mark.parametrize("recompute", [False, True])
def test_values_alone_are_the_same_values(
    recompute: bool, vgg: VGG19, picture: Tensor, targets: Targets
) -> None:
    objective = build(vgg, targets, plain(tv_weight=0.1), recompute=recompute)
    assert objective.losses(picture).read() == objective(picture)[0].read()


def test_layers_without_weight_are_not_computed(
    vgg: VGG19, picture: Tensor, targets: Targets
) -> None:
    parameters = plain(
        content_weight=0, style_layers={"relu1_1": 1.0, "relu2_1": 0.5, "relu5_1": 0.0}
    )
    objective = build(vgg, targets, parameters)
    assert set(objective.losses(picture).read().layers) == {"style/relu1_1", "style/relu2_1"}
    assert objective._network.layers == ("relu1_1", "relu2_1")


def test_two_styles_are_blended_by_their_shares(
    vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    def style_loss(styles: list[Tensor], shares: list[float] | None) -> float:
        parameters = plain(style_weights=shares, content_weight=0, relative=False)
        targets = targets_of(None, *styles, like=content)
        return build(vgg, targets, parameters).losses(picture).read().style

    alone = style_loss([style], None)
    assert style_loss([style, content], [1, 0]) == pytest.approx(alone)
    assert style_loss([style, style], [1, 3]) == pytest.approx(alone)
    assert style_loss([style, content], [1, 3]) == pytest.approx(
        style_loss([content, style], [0.75, 0.25])
    )
    assert style_loss([style, content], None) == pytest.approx(style_loss([style, content], [2, 2]))
    assert style_loss([style, content], None) != pytest.approx(alone, rel=0.01)


@pytest.mark.parametrize("style_loss", ["gram", "wasserstein"])
def test_one_style_everywhere_is_the_same_with_and_without_a_mask(
    style_loss: str, vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    parameters = plain(style_loss=style_loss, style_layers=SHALLOW)
    everywhere = (torch.ones(content.shape[1:]),)
    masked = targets_of(content, style, masks=everywhere, like=content)
    values, gradient = build(vgg, masked, parameters)(picture)
    expected, slope = build(vgg, targets_of(content, style, like=content), parameters)(picture)
    assert values.read().total == pytest.approx(expected.read().total, rel=1e-4)
    assert relative_error(gradient, slope) < 1e-3


def test_a_style_whose_mask_is_black_has_no_say(
    vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    nowhere, everywhere = torch.zeros(content.shape[1:]), torch.ones(content.shape[1:])
    one = targets_of(content, style, masks=(everywhere,), like=content)
    both = targets_of(content, style, content, masks=(everywhere, nowhere), like=content)
    # Shares are among all styles that were given, so the first has half of them, twice as strong
    expected = build(vgg, one, plain()).losses(picture).read()
    assert build(vgg, both, plain()).losses(picture).read() == expected


def test_black_masks_leave_the_content_loss_alone(
    vgg: VGG19, picture: Tensor, content: Tensor, style: Tensor
) -> None:
    nowhere = (torch.zeros(content.shape[1:]),)
    masked = targets_of(content, style, masks=nowhere, like=content)
    losses = build(vgg, masked, plain()).losses(picture).read()
    assert losses.style == 0
    assert losses.content > 0
