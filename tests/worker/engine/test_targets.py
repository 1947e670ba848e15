"""What is kept of earlier runs saves their work, and shows in nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from shared.footprint import Images
from shared.parameters import Parameters
from tests.worker.engine.conftest import finish, paint_content, paint_style, plain, small
from worker.engine import VGG19, OutOfMemory, Stylization, Weights, memory, stylization, targets
from worker.engine.cache import TargetCache
from worker.engine.losses import Statistics
from worker.engine.objective import Objective
from worker.engine.targets import content_features, style_statistics
from worker.engine.vgg import Network

LIMIT = 64 * 2**20


@pytest.fixture(scope="module")
def _remembering(weights: Weights) -> VGG19:
    return VGG19(weights, "cpu", target_cache_bytes=LIMIT)


@pytest.fixture
def remembering(_remembering: VGG19) -> Iterator[VGG19]:
    """A network that keeps targets, and has none yet."""
    yield _remembering
    _remembering.targets.clear()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The layers that are read in each pass through a network from now on."""
    seen: list[tuple[str, ...]] = []
    forward = Network.forward

    def spy(self: Network, *args: Any, **kwargs: Any) -> Any:
        seen.append(self.layers)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Network, "forward", spy)
    return seen


def tensors(target: Tensor | Statistics | float | None) -> list[Tensor]:
    if isinstance(target, Statistics):
        return [value for value in vars(target).values() if isinstance(value, Tensor)]
    return [target] if isinstance(target, Tensor) else []


def identical(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, y)
        for layer in a
        for x, y in zip(tensors(a[layer]), tensors(b[layer]), strict=True)
    )


BASE = paint_style(24, 20)
NUDGED = BASE.clone()
NUDGED[1, 7, 7] += 1e-6
IMAGES = [BASE, NUDGED, BASE.view(3, 20, 24), BASE.flip(0)]

LOOKS = st.fixed_dictionaries(
    {
        "image": st.sampled_from(range(len(IMAGES))),
        "dtype": st.sampled_from([torch.float32, torch.bfloat16]),
        "pooling": st.sampled_from(["max", "average", "l2"]),
        "pooling_rescale": st.booleans(),
        "padding": st.sampled_from(["zero", "replicate"]),
        "activations": st.sampled_from(["original", "unit"]),
        "style_loss": st.sampled_from(["gram", "wasserstein"]),
        "layers": st.sets(
            st.sampled_from(["conv1_1", "relu1_1", "conv2_1", "relu2_1"]), min_size=1
        ),
    }
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(looks=st.lists(LOOKS, min_size=2, max_size=6))
def test_whatever_was_looked_at_before_the_targets_are_those_of_a_network_that_keeps_none(
    looks: list[dict[str, Any]], vgg: VGG19, remembering: VGG19
) -> None:
    for look in looks:
        values = dict(look)
        image, dtype = IMAGES[values.pop("image")], values.pop("dtype")
        layers = dict.fromkeys(values.pop("layers"), 1.0)
        parameters = plain(**values, content_layers=layers, style_layers=layers)
        for ask in (content_features, style_statistics):
            kept = ask(remembering, image, parameters, dtype)
            assert identical(kept, ask(vgg, image, parameters, dtype))
            assert ask(remembering, image, parameters, dtype).keys() == layers.keys()


def test_what_is_known_is_not_looked_at_again_and_what_is_not_no_deeper_than_needed(
    remembering: VGG19, passes: list[tuple[str, ...]]
) -> None:
    def ask(*layers: str) -> dict[str, Tensor]:
        parameters = plain(content_layers=dict.fromkeys(layers, 1.0))
        return content_features(remembering, BASE, parameters, torch.float32)

    first = ask("relu1_1", "relu3_1")
    again = ask("relu3_1")
    assert passes == [("relu1_1", "relu3_1")]
    assert again["relu3_1"] is first["relu3_1"]
    ask("relu1_1", "relu2_1", "relu3_1")
    assert passes[1:] == [("relu2_1",)]


RECIPES = [
    pytest.param({}, id="gram"),
    pytest.param({"precision": "bfloat16"}, id="bfloat16"),
    pytest.param({"style_loss": "wasserstein"}, id="wasserstein"),
    pytest.param({"color": "match"}, id="colours of the content"),
    pytest.param({"color": "luminance"}, id="lightness only"),
    pytest.param({"relative": False, "style_divisor": "chw", "pooling": "average"}, id="absolute"),
    pytest.param(
        {"content_layers": {"conv1_1": 1.0, "relu1_1": 1.0}, "style_layers": {"conv1_1": 1.0}},
        id="before and after a ReLU",
    ),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_runs_paint_the_identical_picture_with_and_without_what_others_left(
    recipe: dict[str, Any], vgg: VGG19, remembering: VGG19, content: Tensor, style: Tensor
) -> None:
    def paint(network: VGG19, content: Tensor, styles: list[Tensor]) -> list[Tensor]:
        parameters = small(steps=4, **recipe)
        run = Stylization(network, content, styles, parameters)
        picture = finish(run)
        return [picture, torch.tensor(list(run.delivered_losses().layers.values()))]

    other = paint_style(40, 60, seed=2)
    for images in ((content, [style]), (content.flip(2), [style, other]), (content, [style])):
        expected = paint(vgg, *images)
        assert all(map(torch.equal, paint(remembering, *images), expected))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_changes_nothing_of_what_is_kept(
    recipe: dict[str, Any], remembering: VGG19, content: Tensor, style: Tensor
) -> None:
    mask = paint_content(48, 64)[0]
    run = Stylization(
        remembering,
        content,
        [style, style.flip(1)],
        small(pyramid=None, steps=4, **recipe),
        masks=[mask, 1 - mask],
    )
    steps = iter(run)
    next(steps)
    kept = [t for target in remembering.targets._targets.values() for t in tensors(target)]
    before = [tensor.clone() for tensor in kept]
    assert kept
    for _ in steps:
        pass
    run.delivered_losses(run.provenance.precision)
    assert all(map(torch.equal, kept, before))


def test_a_style_is_looked_at_once_for_all_photographs_of_one_shape(
    remembering: VGG19, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(Stylization(remembering, content, [style], small()))
    monkeypatch.setattr(targets, "collect", None)  # what looks at a style
    finish(Stylization(remembering, content.flip(2), [style], small()))


def test_a_photograph_is_looked_at_once_for_all_styles(
    remembering: VGG19, content: Tensor, style: Tensor, passes: list[tuple[str, ...]]
) -> None:
    parameters = small(pyramid=None, steps=1)
    finish(Stylization(remembering, content, [style], parameters))
    content_and_style = len(passes)
    finish(Stylization(remembering, content, [style.flip(1)], parameters))
    assert len(passes) == 2 * content_and_style - 1


def test_with_the_colours_of_the_photograph_a_style_is_another_for_each(
    remembering: VGG19, content: Tensor, style: Tensor, passes: list[tuple[str, ...]]
) -> None:
    parameters = small(pyramid=None, steps=1, color="match")
    finish(Stylization(remembering, content, [style], parameters))
    both = len(passes)
    finish(Stylization(remembering, content.flip(0), [style], parameters))
    assert len(passes) == 2 * both


def fill(network: VGG19, style: Tensor) -> None:
    """Leave the targets of another style."""
    style_statistics(network, style.flip(1), small(), torch.float32)
    assert network.targets.bytes > 0


def test_a_run_that_is_short_of_memory_empties_the_cache_and_paints_the_identical_picture(
    vgg: VGG19,
    remembering: VGG19,
    content: Tensor,
    style: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(remembering, style)
    evaluate = Objective.__call__
    held: list[int] = []

    def short(self: Objective, variable: Tensor) -> Any:
        held.append(remembering.targets.bytes)
        if len(held) == 1:
            raise MemoryError
        return evaluate(self, variable)

    parameters = small(pyramid=None, steps=2)
    expected = finish(Stylization(vgg, content, [style], parameters))
    monkeypatch.setattr(Objective, "__call__", short)
    run = Stylization(remembering, content, [style], parameters)
    assert torch.equal(finish(run), expected)
    assert held[1] < held[0]


def test_a_run_that_memory_ran_out_for_has_given_up_what_others_left(
    remembering: VGG19, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(remembering, style)
    before = set(remembering.targets._targets)

    def fail(self: Objective, variable: Tensor) -> None:
        raise MemoryError

    monkeypatch.setattr(Objective, "__call__", fail)
    for recompute in (False, True):
        fill(remembering, style)
        run = Stylization(remembering, content, [style], small())
        run._recompute = recompute
        with pytest.raises(OutOfMemory):
            next(iter(run))
        assert before.isdisjoint(remembering.targets._targets)


@pytest.mark.parametrize("spare", [0, -1])
def test_whether_a_picture_fits_does_not_depend_on_the_runs_before(
    spare: int,
    remembering: VGG19,
    content: Tensor,
    style: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = Parameters(size=64, steps=2, pyramid=None, precision="float32")
    needed = memory.needed_bytes(
        parameters,
        Images((48, 64), [(56, 50)]),
        "float32",
        torch.device("cpu"),
        recompute=False,
    )
    cache: TargetCache = remembering.targets

    def available(_: torch.device) -> int:
        return needed + LIMIT + spare - cache.bytes

    monkeypatch.setattr(stylization, "available_bytes", available)
    for prepare in (cache.clear, lambda: fill(remembering, style)):
        prepare()
        run = Stylization(remembering, content, [style], parameters)
        assert run._recompute == (spare < 0)
