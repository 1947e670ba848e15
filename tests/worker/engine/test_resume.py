"""A run can be interrupted at any step, saved, and continued elsewhere: nothing is lost by it."""

import io
from collections.abc import Callable, Collection
from typing import Any

import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import paint_content, paint_style
from worker.engine import VGG19, Losses, Stylization

STEPS = 9
LEVELS = {"min_size": 32, "factor": 1.2}  # 33, 40 and 48 px
# Shallow, so that a step takes milliseconds.
QUICK: dict[str, Any] = {
    "size": 48,
    "steps": STEPS,
    "content_layers": {"relu2_2": 1.0},
    "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0},
}

adam = st.fixed_dictionaries(
    {
        "optimizer": st.just("adam"),
        "learning_rate": st.sampled_from([0.01, 0.1]),
        "warm_start": st.booleans(),
    }
)
lbfgs = st.fixed_dictionaries(
    {
        "optimizer": st.just("lbfgs"),
        "line_search": st.sampled_from(["none", "strong-wolfe"]),
        "history_size": st.integers(1, 4),
        "max_step": st.sampled_from([None, 0.01]),
        "coarse_first": st.sampled_from([0.0, 0.8]),
    }
)
# L-BFGS that sees negative curvature, after it has seen some that was positive.
DROPS_PAIRS = {
    "optimizer": "lbfgs",
    "max_step": None,
    "init": "noise",
    "clamp": False,
    "pyramid": None,
}
# What can stand in a saved state, or be forgotten in it.
rest = st.fixed_dictionaries(
    {
        "pyramid": st.sampled_from([None, LEVELS, {**LEVELS, "steps": [1, 4, 4]}]),
        "init": st.sampled_from(["content", "noise", "style", "gray", "image"]),
        "seed": st.integers(0, 2**63 - 1),
        "average": st.sampled_from([0.0, 0.8]),
        "lr_decay": st.sampled_from([None, {"factor": 0.5, "every": 2}]),
        "plateau": st.sampled_from([None, {"window": 2, "change": 0.3}]),
        "space": st.sampled_from(["pixels", "normalized", "bytes"]),
        "clamp": st.booleans(),
        "color": st.sampled_from(["style", "luminance", "match"]),
        "style_loss": st.sampled_from(["gram", "wasserstein"]),
        "precision": st.sampled_from(["float32", "bfloat16"]),
    }
)
recipes = st.builds(lambda optimizer, rest: {**optimizer, **rest}, adam | lbfgs, rest)


def begin(vgg: VGG19, values: dict[str, Any], *, masked: bool = False) -> Stylization:
    right = torch.zeros(20, 30)
    right[:, 15:] = 1
    return Stylization(
        vgg,
        paint_content(36, 48),
        [paint_style(40, 32), paint_style(32, 48, seed=2)],
        Parameters(**QUICK, **values),
        masks=[right, 1 - right] if masked else [],
        init=paint_style(36, 48, seed=3) if values.get("init") == "image" else None,
    )


def finish(
    start: Callable[[], Stylization], stops: Collection[int] = ()
) -> tuple[list[Losses], Tensor, Losses]:
    """Losses of every step, picture and its losses. Where the run has come to one of `stops`, it
    goes on in a new one, from a file."""
    run = start()
    seen: list[Losses] = []
    while True:
        if len(seen) in stops:
            file = io.BytesIO()
            torch.save(run.state_dict(), file)
            run = start()
            run.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
        progress = next(iter(run), None)
        if progress is None:
            return seen, run.picture(16), run.delivered_losses()
        seen.append(progress.losses())


# Runs take a while: a failure is shown as it was found, not searched for a smaller one.
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(recipe=recipes, masked=st.booleans(), stops=st.sets(st.integers(0, STEPS), min_size=1))
@example({"optimizer": "adam", "warm_start": True, "pyramid": LEVELS}, False, {0, 3, 6, 9})
@example({"optimizer": "lbfgs", "pyramid": LEVELS}, False, set(range(STEPS + 1)))
@example(DROPS_PAIRS, False, set(range(STEPS + 1)))
def test_a_run_that_was_interrupted_at_any_steps_and_resumed_gives_the_identical_picture(
    vgg: VGG19, recipe: dict[str, Any], masked: bool, stops: set[int]
) -> None:
    def start() -> Stylization:
        return begin(vgg, recipe, masked=masked)

    losses, picture, delivered = finish(start)
    again, again_picture, again_delivered = finish(start, stops)
    assert again == losses
    assert torch.equal(again_picture, picture)
    assert again_delivered == delivered
