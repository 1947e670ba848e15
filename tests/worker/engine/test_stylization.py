import io
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import Literal, paint_content, paint_style
from tests.worker.engine.test_objective import literal_losses
from worker.engine import VGG19, Diverged, InvalidInput, Progress, StateError, Stylization

SMALL: dict[str, Any] = {
    "size": 64,
    "steps": 7,
    "precision": "float32",
    "pyramid": {"min_size": 32, "factor": 2.0},
}
OPTIMIZERS = [
    pytest.param({"optimizer": "adam", "learning_rate": 0.05, "average": 0.8}, id="adam"),
    pytest.param({"optimizer": "lbfgs", "learning_rate": 1.0, "history_size": 2}, id="lbfgs"),
]


def start(vgg: VGG19, content: Tensor, style: Tensor, **values: Any) -> Stylization:
    return Stylization(vgg, content, [style], Parameters(**{**SMALL, **values}))


def finish(run: Stylization) -> Tensor:
    for _ in run:
        pass
    return run.picture()


def psnr(a: Tensor, b: Tensor) -> float:
    return (-10 * (a - b).square().mean().log10()).item()


@pytest.fixture(scope="module")
def picture(vgg: VGG19, content: Tensor, style: Tensor) -> Tensor:
    return finish(start(vgg, content, style))


def test_it_follows_a_literal_loop_step_by_step(
    vgg: VGG19, literal: Literal, content: Tensor, style: Tensor
) -> None:
    """The blog's loop: a clone of the content, Gram losses, torch's Adam, autograd."""
    parameters = Parameters(preset="content-clone", size=64, steps=12, precision="float32")
    style = paint_style(64, 48)  # long side 64: nothing is resampled
    run = Stylization(vgg, content, [style], parameters)

    target = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([target], lr=parameters.learning_rate, betas=parameters.betas)
    for progress in run:
        total = torch.stack(
            list(literal_losses(literal, target, content, style, parameters).values())
        ).sum()
        assert progress.losses().total == pytest.approx(total.item(), rel=1e-3)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        target.data.clamp_(0, 1)

    delivered = run.picture().permute(2, 0, 1) / 255
    assert psnr(delivered, target.detach()) > 45


def test_progress_counts_every_step_and_knows_its_level(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    seen: list[Progress] = list(start(vgg, content, style))
    assert [progress.step for progress in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert {progress.total_steps for progress in seen} == {7}
    assert [progress.level for progress in seen] == [0, 0, 0, 0, 1, 1, 1]
    assert {progress.levels for progress in seen} == {2}
    assert (seen[0].width_px, seen[0].height_px) == (32, 24)
    assert (seen[-1].width_px, seen[-1].height_px) == (64, 48)


def test_the_loss_falls(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    run = start(vgg, content, style, steps=20, pyramid=None)
    totals = [progress.losses().total for progress in run]
    assert run.delivered_losses().total < 0.5 * totals[0]


def test_losses_can_be_read_after_the_run(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    at_once = [progress.losses() for progress in start(vgg, content, style)]
    later = [progress.losses() for progress in list(start(vgg, content, style))]
    assert at_once == later


def test_the_picture_is_bytes_of_the_full_size(picture: Tensor) -> None:
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == torch.uint8
    assert picture.is_contiguous()


def test_the_same_inputs_and_parameters_give_the_same_bytes(
    vgg: VGG19, content: Tensor, style: Tensor, picture: Tensor
) -> None:
    assert torch.equal(finish(start(vgg, content, style)), picture)


@pytest.mark.parametrize("recipe", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_noise_is_decided_by_the_seed_alone(
    recipe: dict[str, Any], precision: str, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    def paint(seed: int) -> Tensor:
        values = {**recipe, "init": "noise", "precision": precision, "steps": 3, "seed": seed}
        return finish(start(vgg, content, style, **values))

    torch.manual_seed(1)
    first = paint(5)
    torch.manual_seed(2)
    assert torch.equal(first, paint(5))
    assert not torch.equal(first, paint(6))


@pytest.mark.parametrize("recipe", OPTIMIZERS)
@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 6])
def test_a_run_that_was_interrupted_and_resumed_gives_the_identical_picture(
    recipe: dict[str, Any], stop: int, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    """Inside a level, at its end, and before the first step; through a file."""
    whole = start(vgg, content, style, **recipe)
    file = io.BytesIO()
    if stop == 0:
        torch.save(whole.state_dict(), file)
    for progress in whole:
        if progress.step == stop:
            torch.save(whole.state_dict(), file)

    resumed = start(vgg, content, style, **recipe)
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    steps = [progress.step for progress in resumed]

    assert steps == list(range(stop + 1, 8))
    assert torch.equal(resumed.picture(), whole.picture())
    assert resumed.delivered_losses() == whole.delivered_losses()


def test_a_saved_state_does_not_change_while_the_run_goes_on(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, pyramid=None, history_size=1)
    steps = iter(run)
    next(steps)
    state = run.state_dict()
    iterate, history = state["iterate"].clone(), state["optimizer"]["history"].clone()
    next(steps)
    assert torch.equal(state["iterate"], iterate)
    assert torch.equal(state["optimizer"]["history"], history)


def test_the_state_of_another_run_is_refused(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    state = start(vgg, content, style).state_dict()
    with pytest.raises(StateError, match="other parameters"):
        start(vgg, content, style, seed=1).load_state_dict(state)
    with pytest.raises(StateError, match="another content image"):
        start(vgg, paint_content(64, 48), style).load_state_dict(state)


def test_it_can_be_left_and_looked_at_between_any_two_steps(
    vgg: VGG19, content: Tensor, style: Tensor, picture: Tensor
) -> None:
    run = start(vgg, content, style)
    assert run.picture().shape == (24, 32, 3)  # before the first step: the start itself
    for progress in run:
        if progress.step == 2:
            break
    preview = run.picture()
    assert preview.shape == (24, 32, 3)
    assert torch.equal(finish(run), picture)  # and goes on as if nothing had been


def test_averaging_delivers_the_mean_of_the_last_iterates(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, average=0.5, pyramid=None, steps=3)
    iterates = [run.state_dict()["iterate"] for _ in run]
    mean = (iterates[0] + 2 * iterates[1] + 4 * iterates[2]) / 7
    assert ((mean * 255 - run.picture().permute(2, 0, 1)).abs() <= 0.51).all()


def test_delivered_losses_are_those_of_the_saved_bytes(
    vgg: VGG19, content: Tensor, style: Tensor, picture: Tensor
) -> None:
    run = start(vgg, content, style)
    finish(run)
    again = start(vgg, content, style, steps=1, pyramid=None)
    again.load_state_dict(
        {**again.state_dict(), "iterate": picture.permute(2, 0, 1).contiguous() / 255}
    )
    assert again.delivered_losses() == run.delivered_losses()


def test_provenance_says_what_computed_the_picture(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    provenance = start(vgg, content, style, precision="auto").provenance
    assert provenance.weights == "oxford-q8"
    assert provenance.weights_sha256 == vgg.sha256
    assert provenance.torch_version == torch.__version__
    assert provenance.device == "cpu"
    assert provenance.precision == vgg.precision("auto")


def test_styles_of_any_size_and_number_are_taken(vgg: VGG19, content: Tensor) -> None:
    styles = [paint_style(20, 31), paint_style(90, 40, seed=2), paint_style(64, 64, seed=3)]
    parameters = Parameters.model_validate({**SMALL, "style_weights": [1, 2, 0]})
    assert finish(Stylization(vgg, content, styles, parameters)).shape == (48, 64, 3)


def test_one_colour_pictures_give_a_picture(vgg: VGG19) -> None:
    black, white = torch.zeros(3, 32, 32), torch.ones(3, 32, 32)
    assert finish(start(vgg, black, white)).shape == (64, 64, 3)


def test_bad_images_are_refused_before_any_work(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    with pytest.raises(InvalidInput, match=r"style 1 image should be a \(3, H, W\) tensor"):
        start(vgg, content, style[:1])
    with pytest.raises(InvalidInput, match=r"is .* of torch\.uint8"):
        start(vgg, (content * 255).to(torch.uint8), style)
    with pytest.raises(InvalidInput, match="no style image"):
        Stylization(vgg, content, [], Parameters())
    with pytest.raises(InvalidInput, match="2 shares for 1 style"):
        start(vgg, content, style, style_weights=[1.0, 1.0])


def test_a_run_that_is_no_longer_made_of_numbers_fails_as_diverged(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content * torch.nan, style)
    with pytest.raises(Diverged, match="learning_rate") as error:
        next(iter(run)).losses()
    assert error.value.code == "diverged"
    with pytest.raises(Diverged):
        finish(run)
