import io
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.parameters import Parameters
from tests.worker.engine.conftest import (
    Literal,
    finish,
    paint_content,
    paint_style,
    pixels,
    psnr,
    small,
    start,
)
from tests.worker.engine.test_objective import literal_losses, targets_of
from worker.engine import VGG19, InvalidInput, Progress, StateError, Stylization

OPTIMIZERS = [
    pytest.param({"optimizer": "adam", "learning_rate": 0.05, "average": 0.8}, id="adam"),
    pytest.param(
        {"optimizer": "adam", "warm_start": True, "lr_decay": {"factor": 0.5, "every": 2}},
        id="adam, warm start, decay",
    ),
    pytest.param({"optimizer": "lbfgs", "learning_rate": 1.0, "history_size": 2}, id="lbfgs"),
]


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

    targets = targets_of(content, style, like=content)
    target = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([target], lr=parameters.learning_rate, betas=parameters.betas)
    for progress in run:
        losses = literal_losses(literal, target, targets, parameters)
        total = torch.stack(list(losses.values())).sum()
        assert progress.losses().total == pytest.approx(total.item(), rel=1e-3)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        target.data.clamp_(0, 1)

    assert psnr(pixels(run.picture()), target.detach()) > 45


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


def test_a_pyramid_with_steps_of_its_own_does_them(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, pyramid={"min_size": 32, "factor": 2.0, "steps": [1, 3]})
    assert run.total_steps == 4
    assert [progress.level for progress in run] == [0, 1, 1, 1]


def test_the_loss_falls(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    run = start(vgg, content, style, steps=20, pyramid=None)
    totals = [progress.losses().total for progress in run]
    assert run.delivered_losses().total < 0.5 * totals[0]


def test_losses_can_be_read_after_the_run(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    at_once = [progress.losses() for progress in start(vgg, content, style)]
    later = [progress.losses() for progress in list(start(vgg, content, style))]
    assert at_once == later
    assert all(losses.is_finite for losses in later)


def test_losses_are_only_read_when_somebody_asks(
    vgg: VGG19, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading waits for the device: a look every ten steps is all that a run needs."""
    read = 0
    to_python = Tensor.tolist

    def counting(tensor: Tensor) -> Any:
        nonlocal read
        read += 1
        return to_python(tensor)

    monkeypatch.setattr(Tensor, "tolist", counting)
    seen = list(start(vgg, content, style))
    assert read == 0
    seen[-1].losses()
    assert read == 1


def test_the_picture_is_bytes_of_the_full_size(picture: Tensor) -> None:
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == torch.uint8
    assert picture.is_contiguous()


def test_a_picture_of_sixteen_bits_is_the_same_picture_with_more_digits(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, steps=3)
    eight, sixteen = finish(run), run.picture(bit_depth=16)
    assert sixteen.dtype == torch.uint16
    fine = sixteen.to(torch.int32).float() / 65535
    assert (fine - eight / 255).abs().max() <= 0.5001 / 255
    assert len(fine.unique()) > 300


def test_the_same_inputs_and_parameters_give_the_same_bytes(
    vgg: VGG19, content: Tensor, style: Tensor, picture: Tensor
) -> None:
    assert torch.equal(finish(start(vgg, content, style)), picture)


def test_images_are_left_as_they_were(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    before = content.clone(), style.clone()
    finish(start(vgg, content, style, steps=2, pyramid=None))
    assert torch.equal(content, before[0])
    assert torch.equal(style, before[1])


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


def test_a_state_is_the_same_after_it_was_loaded(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    def flatten(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: flatten(part) for key, part in value.items()}
        return value.tolist() if isinstance(value, Tensor) else value

    run = start(vgg, content, style, average=0.5)
    for progress in run:
        if progress.step == 5:
            break
    resumed = start(vgg, content, style, average=0.5)
    resumed.load_state_dict(run.state_dict())
    assert flatten(resumed.state_dict()) == flatten(run.state_dict())
    assert torch.equal(resumed.picture(), run.picture())


def test_a_saved_state_does_not_change_while_the_run_goes_on(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, pyramid=None, history_size=1)
    steps = iter(run)
    next(steps)
    state = run.state_dict()
    tensors = [state["progress"]["variable"], state["optimizer"]["history"]]
    tensors += [state["good"]["variable"], state["progress"]["average"]["sum"]]
    before = [tensor.clone() for tensor in tensors]
    next(steps)
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


def test_the_state_of_another_run_is_refused(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    state = start(vgg, content, style).state_dict()
    with pytest.raises(StateError, match="other parameters"):
        start(vgg, content, style, seed=1).load_state_dict(state)
    with pytest.raises(StateError, match="another content image") as error:
        start(vgg, paint_content(64, 48), style).load_state_dict(state)
    assert error.value.code == "state"


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


def test_averaging_delivers_the_mean_of_the_start_and_the_last_iterates(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    run = start(vgg, content, style, average=0.5, pyramid=None, steps=3)
    iterates = [run.state_dict()["progress"]["variable"]]
    iterates += [run.state_dict()["progress"]["variable"] for _ in run]
    mean = (iterates[0] + 2 * iterates[1] + 4 * iterates[2] + 8 * iterates[3]) / 15
    assert ((mean * 255 - run.picture().permute(2, 0, 1)).abs() <= 0.51).all()


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_delivered_losses_are_those_of_the_saved_picture(
    bit_depth: int, vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    output = {"bit_depth": bit_depth}
    run = start(vgg, content, style, output=output)
    finish(run)
    again = start(vgg, content, style, output=output, steps=1, pyramid=None)
    values = run.picture(bit_depth).to(torch.int32).permute(2, 0, 1) / (2**bit_depth - 1)
    state = again.state_dict()
    state["progress"]["variable"] = values.contiguous()
    state["progress"]["average"]["sum"] = values.contiguous()
    again.load_state_dict(state)
    assert again.delivered_losses() == run.delivered_losses()


def test_delivered_losses_are_in_float32_unless_the_precision_of_the_run_is_asked_for(
    vgg: VGG19, content: Tensor, style: Tensor
) -> None:
    coarse = start(vgg, content, style, precision="bfloat16", steps=2, pyramid=None)
    finish(coarse)
    exact, own = coarse.delivered_losses(), coarse.delivered_losses("bfloat16")
    assert own.total == pytest.approx(exact.total, rel=0.01)
    assert own != exact
    fine = start(vgg, content, style, steps=2, pyramid=None)
    fine.load_state_dict({**coarse.state_dict(), "parameters": fine.state_dict()["parameters"]})
    assert fine.delivered_losses() == exact


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
    run = Stylization(vgg, content, styles, small(style_weights=[1, 2, 0]))
    assert finish(run).shape == (48, 64, 3)


def test_one_colour_pictures_give_a_picture(vgg: VGG19) -> None:
    black, white = torch.zeros(3, 32, 32), torch.ones(3, 32, 32)
    assert finish(start(vgg, black, white)).shape == (64, 64, 3)


def test_images_of_other_float_types_are_taken(
    vgg: VGG19, content: Tensor, style: Tensor, picture: Tensor
) -> None:
    assert torch.equal(finish(start(vgg, content.double(), style.double())), picture)


def test_bad_images_are_refused_before_any_work(vgg: VGG19, content: Tensor, style: Tensor) -> None:
    flawed = content.clone()
    flawed[0, 0, 0] = torch.nan
    for bad, message in (
        (content[:1], r"content image should be a \(3, H, W\) tensor"),
        ((content * 255).to(torch.uint8), r"is .* of torch\.uint8"),
        (flawed, "content image has values that are not numbers"),
        (content[:, :0], r"content image should be .* is \(3, 0, 64\)"),
    ):
        with pytest.raises(InvalidInput, match=message) as error:
            start(vgg, bad, style)
        assert error.value.code == "invalid_input"
    with pytest.raises(InvalidInput, match=r"style 1 image should be a \(3, H, W\) tensor"):
        start(vgg, content, style[:1])
    with pytest.raises(InvalidInput, match="style image is missing"):
        Stylization(vgg, content, [], Parameters())
    with pytest.raises(InvalidInput, match="content image is missing"):
        Stylization(vgg, None, [style], Parameters())
    with pytest.raises(InvalidInput, match="2 values for 1 style"):
        start(vgg, content, style, style_weights=[1.0, 1.0])
    with pytest.raises(InvalidInput, match=r"mask 1 should be a \(H, W\) tensor"):
        Stylization(vgg, content, [style], small(), masks=[content])
    with pytest.raises(InvalidInput, match="2 masks for 1 style"):
        Stylization(vgg, content, [style], small(), masks=[content[0], content[0]])
    with pytest.raises(InvalidInput, match="init=image needs it"):
        start(vgg, content, style, init="image")
