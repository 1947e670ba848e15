"""A run: the iteration from content and style images to a painted picture.

    network = VGG19(load_weights("oxford-q8"), device="cpu")
    run = Stylization(network, content, [style], Parameters(size=384))  # (3, H, W) float in [0, 1]
    for progress in run:
        print(progress.step, progress.losses().total)
    picture = run.picture()  # uint8 (H, W, 3)

Nothing here reads or writes files. A run can be left between any two steps, looked at at any time,
and saved and continued elsewhere.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from shared.parameters import Parameters
from worker.engine.average import Average
from worker.engine.errors import Diverged, InvalidInput, StateError
from worker.engine.hardware import PRECISIONS
from worker.engine.objective import Losses, LossValues, Objective, build_objective
from worker.engine.optimizers import Optimizer, build_optimizer
from worker.engine.pyramid import noise, plan_levels, resample, resize
from worker.engine.vgg import VGG19


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step."""

    step: int  # from 1
    total_steps: int
    level: int  # index into the run's levels, the coarsest is 0
    levels: int
    width_px: int
    height_px: int
    _losses: LossValues

    def losses(self) -> Losses:
        """The losses that this step started from. The only thing here that waits for the device.

        Raises:
            Diverged: a loss is infinite or not a number.
        """
        return _checked(self._losses.read(), self.step)


@dataclass(frozen=True)
class Provenance:
    """What computed a picture; with the parameters and inputs it decides every byte."""

    weights: str
    weights_sha256: str
    torch_version: str
    device: str
    device_name: str
    precision: str


@dataclass
class _Stage:
    """What belongs to one level."""

    index: int
    iterate: Tensor  # (3, H, W) in [0, 1]
    optimizer: Optimizer
    average: Average
    objective: Objective | None = None  # made when the first step needs it

    def delivered(self) -> Tensor:
        """The picture so far: the average of the iterates, or the start if there is none."""
        return self.average.value() if self.average.updates else self.iterate


class Stylization:
    """One picture being painted. Iterate over it to paint; each iteration is one optimiser step."""

    def __init__(
        self, vgg: VGG19, content: Tensor, styles: Sequence[Tensor], parameters: Parameters
    ) -> None:
        """`content` and `styles` are (3, H, W) RGB in [0, 1], of any size.

        Raises:
            InvalidInput: an image, or a combination of images and parameters, cannot be used.
        """
        _check_images(content, styles, parameters)
        self.parameters = parameters
        self.levels = plan_levels(content, styles, parameters)
        self._last_steps = list(accumulate(level.steps for level in self.levels))
        self.total_steps = self._last_steps[-1]
        self.step = 0
        self._vgg = vgg
        self._precision = vgg.precision(parameters.precision)
        # The originals stay where they are: only their resampled forms take memory of the device.
        self._content = content.float()
        self._styles = [style.float() for style in styles]
        self._generator = torch.Generator().manual_seed(parameters.seed)
        self._stage = self._open_stage(0, self._initial_iterate())

    def __iter__(self) -> Iterator[Progress]:
        """Go on from where the run is, to its end.

        Raises:
            Diverged: at the last step, if the picture is not made of numbers.
        """
        while self.step < self.total_steps:
            yield self._advance()

    def picture(self) -> Tensor:
        """The picture so far, in the size of the present level: (H, W, 3) uint8 on the CPU."""
        return _to_bytes(self._stage.delivered()).permute(1, 2, 0).contiguous().cpu()

    def delivered_losses(self, precision: str = "float32") -> Losses:
        """The losses of `picture()`, after its rounding to 8 bits.

        In float32 they can be compared between runs of any precision, and cost a forward pass of
        each image; in the precision of the run they cost one of the picture.

        Raises:
            Diverged: a loss is infinite or not a number.
        """
        stage = self._stage
        picture = _to_bytes(stage.delivered()).float() / 255
        objective = stage.objective if precision == self._precision else None
        objective = objective or self._objective(stage.index, precision)
        return _checked(objective.losses(picture).read(), self.step)

    @property
    def provenance(self) -> Provenance:
        """What computes this picture."""
        return Provenance(
            weights=self._vgg.name,
            weights_sha256=self._vgg.sha256,
            torch_version=torch.__version__,
            device=str(self._vgg.device),
            device_name=self._vgg.device_name,
            precision=self._precision,
        )

    def state_dict(self) -> dict[str, Any]:
        """The whole optimisation between two steps, as copies that `torch.load` takes safely.

        A run that loads it goes on as this one would have: on the same kind of device bit for bit.
        """
        stage = self._stage
        return {
            "parameters": self.parameters.model_dump(mode="json"),
            "step": self.step,
            "level": stage.index,
            "iterate": stage.iterate.clone(),
            "optimizer": stage.optimizer.state_dict(),
            "average": stage.average.state_dict(),
            "rng": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` of a run with the same images and parameters.

        Raises:
            StateError: it is the state of another run.
        """
        if state["parameters"] != self.parameters.model_dump(mode="json"):
            raise StateError("the saved state is that of a run with other parameters")
        iterate = state["iterate"].to(self._vgg.device)
        level = self.levels[state["level"]]
        if iterate.shape != (3, level.height, level.width):
            raise StateError(
                "the saved state is that of another content image: its picture is"
                f" {iterate.shape[2]} x {iterate.shape[1]} px,"
                f" this one {level.width} x {level.height} px"
            )
        self._stage = self._open_stage(state["level"], iterate)
        self._stage.optimizer.load_state_dict(state["optimizer"])
        self._stage.average.load_state_dict(state["average"])
        self._generator.set_state(state["rng"])
        self.step = state["step"]

    @torch.no_grad()
    def _advance(self) -> Progress:
        index = bisect_right(self._last_steps, self.step)
        if index != self._stage.index:
            level = self.levels[index]
            start = resize(self._stage.delivered(), level.height, level.width)
            self._stage = self._open_stage(index, start)
        stage = self._stage
        if stage.objective is None:
            stage.objective = self._objective(index, self._precision)
        losses, gradient = stage.objective(stage.iterate)
        stage.optimizer.step(stage.iterate, gradient)
        stage.average.update(stage.iterate)
        self.step += 1
        progress = Progress(
            step=self.step,
            total_steps=self.total_steps,
            level=index,
            levels=len(self.levels),
            width_px=self.levels[index].width,
            height_px=self.levels[index].height,
            _losses=losses,
        )
        if self.step == self.total_steps:
            self._check_end(progress)
        return progress

    def _initial_iterate(self) -> Tensor:
        level = self.levels[0]
        if self.parameters.init == "noise":
            return noise(level.height, level.width, self._generator).to(self._vgg.device)
        return resample(self._content, level.size).to(self._vgg.device)

    def _open_stage(self, index: int, start: Tensor) -> _Stage:
        iterate = start.clone(memory_format=torch.contiguous_format)
        return _Stage(
            index=index,
            iterate=iterate,
            optimizer=build_optimizer(iterate, self.parameters, self.levels[index].steps),
            average=Average(iterate, self.parameters.average),
        )

    def _objective(self, index: int, precision: str) -> Objective:
        size = self.levels[index].size
        return build_objective(
            self._vgg,
            resample(self._content, size).to(self._vgg.device),
            [resample(style, size).to(self._vgg.device) for style in self._styles],
            self.parameters,
            PRECISIONS[precision],
        )

    def _check_end(self, progress: Progress) -> None:
        progress.losses()
        if not self._stage.iterate.isfinite().all():
            raise Diverged(f"the picture is not made of numbers after step {self.step}")


def _check_images(content: Tensor, styles: Sequence[Tensor], parameters: Parameters) -> None:
    for name, image in [
        ("content", content),
        *((f"style {i}", s) for i, s in enumerate(styles, 1)),
    ]:
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise InvalidInput(
                f"the {name} image should be a (3, H, W) tensor of floats in [0, 1],"
                f" is {tuple(image.shape)} of {image.dtype}"
            )
    if not styles:
        raise InvalidInput("there is no style image: at least one is needed")
    shares = parameters.style_weights
    if shares is not None and len(shares) != len(styles):
        raise InvalidInput(f"style_weights has {len(shares)} shares for {len(styles)} style images")


def _checked(losses: Losses, step: int) -> Losses:
    if not isfinite(losses.total):
        raise Diverged(
            f"the loss is {losses.total} after step {step}: try a smaller learning_rate, or"
            " precision float32"
        )
    return losses


def _to_bytes(picture: Tensor) -> Tensor:
    return picture.clamp(0, 1).mul_(255).round_().to(torch.uint8)
