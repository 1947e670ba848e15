import pytest
import torch
from torch import Tensor

from tests.worker.engine.conftest import cosine, relative_error
from worker.engine import losses
from worker.engine.losses import (
    COVARIANCE_EPSILON,
    ContentLoss,
    Distance,
    GramDistance,
    Region,
    Statistics,
    StyleLoss,
    WassersteinDistance,
    collect,
)

POSITIONS, CHANNELS = 400, 24


def random_features(seed: int, positions: int = POSITIONS) -> Tensor:
    return torch.randn(positions, CHANNELS, generator=torch.Generator().manual_seed(seed)).relu()


@pytest.fixture
def features() -> Tensor:
    return random_features(0)


@pytest.fixture
def target() -> Tensor:
    return random_features(1) * torch.linspace(0.5, 2, CHANNELS)


@pytest.fixture
def mask() -> Tensor:
    """A region with a soft border, (positions,)."""
    return torch.linspace(-1, 2, POSITIONS).clamp(0, 1)


def divisor_of(name: str) -> float:
    return {"none": 1, "hw": POSITIONS, "chw": POSITIONS * CHANNELS}[name]


def literal_gram_loss(features: Tensor, target: Tensor, divisor: str, relative: bool) -> Tensor:
    value = features.T @ features / divisor_of(divisor)
    wanted = target.T @ target / divisor_of(divisor)
    return (value - wanted).square().mean() / (wanted.square().mean() if relative else 1)


def mean_and_covariance(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    shares = torch.ones(len(features)) if weights is None else weights
    shares = (shares / shares.sum()).unsqueeze(1)
    mean = (shares * features).sum(0)
    covariance = (shares * (features - mean)).T @ (features - mean)
    return mean, covariance + COVARIANCE_EPSILON * torch.eye(features.shape[1])


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


def literal_wasserstein_loss(
    features: Tensor, target: Tensor, relative: bool, weights: Tensor | None = None
) -> Tensor:
    """Of the two Gaussians, over the channels; the roots by eigenvalues."""
    mean, covariance = mean_and_covariance(features, weights)
    wanted_mean, wanted = mean_and_covariance(target)
    between = torch.linalg.eigvalsh(root(wanted) @ covariance @ root(wanted)).sqrt().sum()
    squared = (mean - wanted_mean).square().sum() + covariance.trace() + wanted.trace()
    energy = target.square().mean() if relative else 1
    return (squared - 2 * between) / CHANNELS / energy


def autograd(loss: Tensor, variable: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, variable)
    return gradient


def style_loss(distance: Distance, weight: float = 1.0, mask: Tensor | None = None) -> StyleLoss:
    return StyleLoss([Region(distance, weight, mask)])


def gram(styles: list[tuple[float, Tensor]], divisor: str, relative: bool) -> GramDistance:
    mixture = [(share, collect(style)) for share, style in styles]
    return GramDistance(mixture, divisor=divisor, relative=relative)


def wasserstein(styles: list[tuple[float, Tensor]], relative: bool) -> WassersteinDistance:
    mixture = [(share, collect(style, centered=True)) for share, style in styles]
    return WassersteinDistance(mixture, relative=relative)


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
    backward(features, gradient)

    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert relative_error(gradient - 1, autograd(expected, variable)) < 1e-4


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("divisor", ["none", "hw", "chw"])
def test_the_gram_loss_is_the_distance_of_gram_matrices_and_its_gradient(
    divisor: str, relative: bool, features: Tensor, target: Tensor
) -> None:
    variable = features.clone().requires_grad_()
    expected = 2 * literal_gram_loss(variable, target, divisor, relative)

    value, backward = style_loss(gram([(1.0, target)], divisor, relative), 2.0)(features)
    gradient = torch.zeros_like(features)
    backward(features, gradient)

    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert relative_error(gradient, autograd(expected, variable)) < 1e-4


@pytest.mark.parametrize("relative", [False, True])
def test_the_wasserstein_loss_is_that_of_two_gaussians_and_its_gradient(
    relative: bool, features: Tensor, target: Tensor
) -> None:
    variable = features.clone().requires_grad_()
    expected = 2 * literal_wasserstein_loss(variable, target, relative)

    value, backward = style_loss(wasserstein([(1.0, target)], relative), 2.0)(features)
    gradient = torch.zeros_like(features)
    backward(features, gradient)

    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    assert relative_error(gradient, autograd(expected, variable)) < 1e-4


def test_the_wasserstein_loss_of_a_style_to_itself_is_nearly_nothing(target: Tensor) -> None:
    shuffled = target[torch.randperm(POSITIONS, generator=torch.Generator().manual_seed(0))]
    value, _ = style_loss(wasserstein([(1.0, target)], relative=True))(shuffled)
    assert abs(value.item()) < 1e-4


def test_the_wasserstein_loss_knows_the_variances_of_one_channel() -> None:
    """In one dimension it is (μ - μ')² + (σ - σ')²."""
    ours = torch.tensor([[1.0], [3.0]])  # mean 2, deviation 1
    theirs = torch.tensor([[1.0], [7.0]])  # mean 4, deviation 3
    value, _ = style_loss(wasserstein([(1.0, theirs)], relative=False))(ours)
    assert value.item() == pytest.approx(8.0, rel=1e-3)


@pytest.mark.parametrize("name", ["gram", "wasserstein"])
def test_a_mask_of_ones_is_no_mask(name: str, features: Tensor, target: Tensor) -> None:
    distance = (
        gram([(1.0, target)], "chw", relative=True)
        if name == "gram"
        else wasserstein([(1.0, target)], relative=True)
    )
    outcomes = []
    for mask in (None, torch.ones(POSITIONS)):
        value, backward = style_loss(distance, mask=mask)(features)
        gradient = torch.zeros_like(features)
        backward(features, gradient)
        outcomes.append((value.item(), gradient))
    assert outcomes[1][0] == pytest.approx(outcomes[0][0], rel=1e-5)
    assert relative_error(outcomes[1][1], outcomes[0][1]) < 1e-5


@pytest.mark.parametrize("divisor", ["none", "hw", "chw"])
def test_a_region_is_judged_as_if_it_were_the_whole_picture(
    divisor: str, features: Tensor, target: Tensor
) -> None:
    """What stands outside of the mask has no say, and the region's size none either."""
    half = (torch.arange(POSITIONS) < POSITIONS // 2).float()
    doubled = features[: POSITIONS // 2].repeat(2, 1)
    distance = gram([(1.0, target)], divisor, relative=False)
    masked, _ = style_loss(distance, mask=half)(features)
    whole, _ = style_loss(distance)(doubled)
    assert masked.item() == pytest.approx(whole.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["gram", "wasserstein"])
def test_the_gradient_of_masked_styles_is_that_of_autograd(
    name: str, features: Tensor, target: Tensor, mask: Tensor
) -> None:
    variable = features.clone().requires_grad_()
    if name == "gram":
        weighted = (mask.unsqueeze(1) * variable).T @ variable / mask.sum() / CHANNELS
        wanted = target.T @ target / POSITIONS / CHANNELS
        expected = (weighted - wanted).square().mean()
        distance: Distance = gram([(1.0, target)], "chw", relative=False)
    else:
        expected = literal_wasserstein_loss(variable, target, relative=False, weights=mask)
        distance = wasserstein([(1.0, target)], relative=False)
    value, backward = style_loss(distance, mask=mask)(features)
    gradient = torch.zeros_like(features)
    backward(features, gradient)
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    assert relative_error(gradient, autograd(expected, variable)) < 1e-4
    assert not gradient[mask == 0].any()


def test_regions_add_up(features: Tensor, target: Tensor, mask: Tensor) -> None:
    other = random_features(2)
    regions = [
        Region(gram([(1.0, target)], "chw", relative=True), 2.0, mask),
        Region(wasserstein([(1.0, other)], relative=True), 3.0, 1 - mask),
    ]
    together, apart = torch.zeros_like(features), torch.zeros_like(features)
    value, backward = StyleLoss(regions)(features)
    backward(features, together)
    sum_of_values = 0.0
    for region in regions:
        part, backward = StyleLoss([region])(features)
        sum_of_values += part.item()
        backward(features, apart)
    assert value.item() == pytest.approx(sum_of_values, rel=1e-6)
    assert relative_error(together, apart) < 1e-6


def test_no_region_is_no_loss(features: Tensor) -> None:
    """At a layer where no mask leaves anything."""
    value, backward = StyleLoss([])(features)
    gradient = torch.zeros_like(features)
    backward(features, gradient)
    assert value == 0
    assert not gradient.any()


def test_a_mixture_of_styles_mixes_gram_matrices(features: Tensor, target: Tensor) -> None:
    other = random_features(2)
    mixed = gram([(0.75, target), (0.25, other)], "chw", relative=False)
    expected = (0.75 * target.T @ target + 0.25 * other.T @ other) / POSITIONS / CHANNELS
    assert relative_error(mixed.target, expected) < 1e-6


def test_a_mixture_of_styles_mixes_raw_moments_not_covariances(target: Tensor) -> None:
    """So it is the style of a painting that shows the one in a part and the other in the rest."""
    other = random_features(2) + 1
    mixed = wasserstein([(0.5, target), (0.5, other)], relative=False)
    both = wasserstein([(1.0, torch.cat((target, other)))], relative=False)
    assert relative_error(mixed.mean, both.mean) < 1e-5
    assert relative_error(mixed.covariance, both.covariance) < 1e-5


def test_styles_of_another_size_than_the_picture_are_compared_by_their_means(
    features: Tensor, target: Tensor
) -> None:
    """Every divisor but `none` and Wasserstein: a style twice as large is the same style."""
    twice = target.repeat(2, 1)
    for small, large in (
        (gram([(1.0, target)], "hw", False), gram([(1.0, twice)], "hw", False)),
        (gram([(1.0, target)], "chw", False), gram([(1.0, twice)], "chw", False)),
        (wasserstein([(1.0, target)], False), wasserstein([(1.0, twice)], False)),
    ):
        expected = style_loss(small)(features)[0].item()
        assert style_loss(large)(features)[0].item() == pytest.approx(expected, rel=1e-4)


def test_statistics_of_parts_add_up_to_those_of_the_whole(features: Tensor, mask: Tensor) -> None:
    whole = collect(features, mask)
    parts = [collect(features[i : i + 100], mask[i : i + 100]) for i in range(0, POSITIONS, 100)]
    summed = Statistics(
        sum(part.positions for part in parts),
        torch.stack([part.count for part in parts]).sum(0),
        None,
        torch.stack([part.first for part in parts]).sum(0),
        torch.stack([part.second for part in parts]).sum(0),
    )
    assert summed.positions == whole.positions
    for ours, theirs in (
        (summed.count, whole.count),
        (summed.first, whole.first),
        (summed.second, whole.second),
    ):
        torch.testing.assert_close(ours, theirs)


def test_centered_statistics_are_those_of_the_same_features(features: Tensor, mask: Tensor) -> None:
    offset = features + 1
    for weights in (None, mask):
        plain, centered = (collect(offset, weights, centered=choice) for choice in (False, True))
        torch.testing.assert_close(centered.mean, plain.mean)
        torch.testing.assert_close(centered.covariance, plain.covariance, atol=1e-4, rtol=1e-4)


def test_features_that_hardly_vary_have_a_covariance_without_negative_directions() -> None:
    """As those of a picture of one colour, far from zero."""
    generator = torch.Generator().manual_seed(0)
    flat = 30 + 1e-4 * torch.randn(3000, 24, generator=generator)
    assert torch.linalg.eigvalsh(collect(flat, centered=True).covariance.double()).min() > -1e-10
    distance = wasserstein([(1.0, flat)], False)
    for features in (flat, flat.flip(0), 2 * flat, torch.zeros_like(flat)):
        value, backward = style_loss(distance)(features)
        gradient = torch.zeros_like(features)
        backward(features, gradient)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_losses_of_bfloat16_features_are_float32_and_their_gradients_point_the_same_way(
    features: Tensor, target: Tensor
) -> None:
    for loss in (
        ContentLoss(target, 1.0, relative=True),
        style_loss(gram([(1.0, target)], "chw", relative=True)),
        style_loss(wasserstein([(1.0, target)], relative=True)),
    ):
        exact, coarse = torch.zeros_like(features), torch.zeros_like(features).bfloat16()
        value, backward = loss(features)
        backward(features, exact)
        coarse_value, backward = loss(features.bfloat16())
        backward(features.bfloat16(), coarse)
        assert coarse_value.dtype == torch.float32
        assert coarse_value.item() == pytest.approx(value.item(), rel=0.01)
        assert cosine(coarse.float(), exact) > 0.999


def test_a_relative_loss_does_not_depend_on_the_scale_of_the_network(
    features: Tensor, target: Tensor
) -> None:
    def content(scale: float) -> float:
        return ContentLoss(scale * target, 1.0, relative=True)(scale * features)[0].item()

    def style(scale: float) -> float:
        distance = gram([(1.0, scale * target)], "chw", relative=True)
        return style_loss(distance)(scale * features)[0].item()

    def transport(scale: float) -> float:
        distance = wasserstein([(1.0, scale * target)], relative=True)
        return style_loss(distance)(scale * features)[0].item()

    for loss in (content, style, transport):
        assert loss(100) == pytest.approx(loss(1), rel=2e-3)


def test_a_target_without_energy_gives_a_finite_loss_and_gradient(features: Tensor) -> None:
    black = torch.zeros_like(features)
    for loss in (
        ContentLoss(black, 1.0, relative=True),
        style_loss(gram([(1.0, black)], "chw", relative=True)),
        style_loss(wasserstein([(1.0, black)], relative=True)),
    ):
        for picture in (features, black):
            value, backward = loss(picture)
            gradient = torch.zeros_like(features)
            backward(picture, gradient)
            assert value.isfinite()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("centered", [False, True])
def test_statistics_are_the_same_in_one_part_and_in_many(
    centered: bool,
    masked: bool,
    kind: torch.dtype,
    features: Tensor,
    mask: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = mask if masked else None
    whole = collect(features.to(kind), weights, centered=centered)
    monkeypatch.setattr(losses, "PART_VALUES", 7 * features.shape[1])
    parts = collect(features.to(kind), weights, centered=centered)
    torch.testing.assert_close(parts.second, whole.second, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-4, atol=1e-4)
