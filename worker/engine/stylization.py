"""A run: the iteration from content and style images to a painted picture.

    network = VGG19(load_weights("oxford-q8"), device="cpu")
    run = Stylization(network, content, [style], Parameters(size=384))  # (3, H, W) float in [0, 1]
    for progress in run:
        print(progress.step, progress.losses().total)
    picture = run.picture()  # uint8 (H, W, 3)

Nothing here reads or writes files. A run can be left between any two steps, looked at at any time,
and saved and continued elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shared.footprint import Images
from shared.parameters import Parameters
from worker.engine.average import Average
from worker.engine.errors import Diverged, OutOfMemory, StateError
from worker.engine.hardware import PRECISIONS
from worker.engine.inputs import Inputs
from worker.engine.memory import (
    available_bytes,
    has_to_recompute,
    is_out_of_memory,
    needed_bytes,
    release_memory,
    what_fits,
)
from worker.engine.objective import Losses, LossValues, Objective, build_objective
from worker.engine.optimizers import Adam, Optimizer, build_optimizer
from worker.engine.pyramid import plan_levels, resize
from worker.engine.space import Space
from worker.engine.stopping import Deadline, PlateauWatch
from worker.engine.vgg import VGG19

# Every so many steps it is seen whether the picture is still made of numbers: a look waits for the
# device, and what was done since the last one is lost when it is not.
LOOK_EVERY_STEPS = 10
# A run that diverges goes back this often, each time with steps of a quarter of the length.
MAX_RECOVERIES = 2
CAUTION = 0.25


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step."""

    step: int  # from 1; falls when a run that diverged goes back
    total_steps: int  # falls when a level ends early
    level: int  # index into the run's levels, the coarsest is 0
    levels: int
    width_px: int
    height_px: int
    _losses: LossValues

    def losses(self) -> Losses:
        """The losses that this step started from. The only thing here that waits for the device."""
        return self._losses.read()


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
    variable: Tensor  # (3, H, W) in units of the run's space
    optimizer: Optimizer
    average: Average
    plateau: PlateauWatch | None
    good: dict[str, Any]  # a `progress_dict` at which the loss was a number; at first the start
    steps: int = 0
    objective: Objective | None = None  # made when the first step needs it

    def progress_dict(self) -> dict[str, Any]:
        """How far the picture itself has come, as copies."""
        return {
            "steps": self.steps,
            "variable": self.variable.clone(),
            "average": self.average.state_dict(),
        }

    def load_progress_dict(self, progress: Mapping[str, Any]) -> None:
        """Go (back) to where `progress` was taken."""
        self.steps = progress["steps"]
        self.variable.copy_(progress["variable"])
        self.average.load_state_dict(progress["average"])


class Stylization:
    """One picture being painted. Iterate over it to paint; each iteration is one optimiser step."""

    def __init__(
        self,
        vgg: VGG19,
        content: Tensor | None,
        styles: Sequence[Tensor],
        parameters: Parameters,
        *,
        masks: Sequence[Tensor] = (),
        init: Tensor | None = None,
    ) -> None:
        """Get ready to paint; nothing is computed yet.

        Args:
            vgg: the network.
            content: (3, H, W) RGB in [0, 1], of any size, as all images; None for a texture.
            styles: none for a reconstruction of the content.
            parameters: what to paint.
            masks: (H, W) in [0, 1] over the content, one for each style, in their order: where it
                applies. None at all: the styles are mixed everywhere.
            init: where to start, for `init=image`.

        Raises:
            InvalidInput: an image, or a combination of images and parameters, cannot be used.
            OutOfMemory: the picture is far too large for the device.
        """
        self.parameters = parameters
        self._inputs = Inputs.prepare(parameters, content, styles, masks, init)
        self.levels = plan_levels(self._inputs.content_shape, self._inputs.style_shapes, parameters)
        self._level_steps = [level.steps for level in self.levels]  # those done, once it is over
        self._vgg = vgg
        self._precision = vgg.precision(parameters.precision)
        self._recoveries = 0
        self._has_released = False  # whether memory ran short on the way
        self._available = self._available_bytes()
        needed = needed_bytes(
            parameters, self._inputs.shapes, self._precision, vgg.device, recompute=False
        )
        if needed > self._available:  # what runs before have left counts as taken
            release_memory(vgg.device)
            self._available = self._available_bytes()
        self._recompute = has_to_recompute(
            parameters, self._inputs.shapes, self._precision, vgg.device, self._available
        )
        self._deadline = (
            Deadline(parameters.deadline_seconds, self.levels)
            if parameters.deadline_seconds is not None
            else None
        )
        self._space = Space.named(parameters.space, vgg.device)
        self._generator = torch.Generator().manual_seed(parameters.seed)
        start = self._inputs.start(self.levels[0], self._generator, vgg.device)
        self._stage = self._open_stage(0, self._space.from_pixels(start))

    @property
    def shapes(self) -> Images:
        """The shapes of the images that it is painted from."""
        return self._inputs.shapes

    @property
    def step(self) -> int:
        """Steps done, over all levels."""
        return sum(self._level_steps[: self._stage.index]) + self._stage.steps

    @property
    def total_steps(self) -> int:
        """Steps in all; fewer than were asked for once a stop rule has ended a level."""
        return sum(self._level_steps)

    def __iter__(self) -> Iterator[Progress]:
        """Go on from where the run is, to its end.

        Raises:
            Diverged: the losses are no numbers, and going back did not help.
            OutOfMemory: the picture is too large for the device.
        """
        while self.step < self.total_steps:
            try:
                progress = self._advance()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(
                    what_fits(
                        self.parameters,
                        self._inputs.shapes,
                        self._precision,
                        self._vgg.device,
                        self._available,
                    )
                ) from None
            yield progress

    @property
    def remaining_seconds(self) -> float | None:
        """Time until the deadline, less what the run has taken so far; None without a deadline."""
        return self._deadline.remaining_seconds if self._deadline else None

    def picture(self, bit_depth: int = 8) -> Tensor:
        """The picture so far, in the size of the present level: (H, W, 3) on the CPU.

        uint8, or uint16 for a `bit_depth` of 16.
        """
        stage = self._stage
        finished = self._inputs.finish(self._painted(), self.levels[stage.index])
        dtype = {8: torch.uint8, 16: torch.uint16}[bit_depth]
        rounded = finished.clamp(0, 1).mul_(2**bit_depth - 1).round_()
        return rounded.permute(1, 2, 0).contiguous().cpu().to(dtype)

    def delivered_losses(self, precision: str = "float32") -> Losses:
        """The losses of the painted picture, clamped and rounded to the bits of the output.

        In float32 they can be compared between runs of any precision, and cost a forward pass of
        each image; in the precision of the run they cost one of the picture.

        Raises:
            Diverged: a loss is infinite or not a number.
        """
        stage = self._stage
        values = 2**self.parameters.output.bit_depth - 1
        picture = (
            self._inputs.judged(self._painted()).clamp(0, 1).mul_(values).round_().div_(values)
        )
        objective = stage.objective if precision == self._run_precision else None
        # There is no way back: to compute again costs nothing, and saves memory
        objective = objective or self._objective(stage.index, precision, recompute=True)
        losses = objective.losses(self._space.from_pixels(picture)).read()
        if not losses.is_finite:
            raise Diverged("the losses of the picture are not numbers")
        return losses

    @property
    def device(self) -> torch.device:
        """Where it is painted."""
        return self._vgg.device

    @property
    def state_bytes(self) -> int:
        """About how large a `state_dict` is, most of which may be what the optimiser remembers."""
        stage = self._stage
        # Of the picture: now, the average, and both where all was well
        return 4 * stage.variable.nbytes + stage.optimizer.state_bytes

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

    @property
    def reproducing_parameters(self) -> Parameters:
        """Parameters that give this picture again, on a machine of any speed.

        Those that were asked for; in place of rules that end levels early, the steps that were done
        on each.
        """
        asked = self.parameters
        if asked.plateau is None and asked.deadline_seconds is None:
            return asked
        values = {**asked.model_dump(), "plateau": None, "deadline_seconds": None}
        steps = [*self._level_steps[: self._stage.index], self._stage.steps]
        if asked.pyramid is None:
            values["steps"] = sum(steps)
        else:
            # The coarsest level may have been left out, for images too small or steps too few
            values["pyramid"].update(min_size=self.levels[0].size, steps=steps)
        return Parameters.model_validate(values)

    def state_dict(self) -> dict[str, Any]:
        """The whole optimisation between two steps, as copies that `torch.load` takes safely.

        A run that loads it goes on as this one would have: on the same kind of device bit for bit.
        """
        stage = self._stage
        return {
            "parameters": self.parameters.model_dump(mode="json"),
            "level": stage.index,
            "level_steps": list(self._level_steps),
            "progress": stage.progress_dict(),
            "good": stage.good,  # is replaced, never changed
            "optimizer": stage.optimizer.state_dict(),
            "plateau": stage.plateau.last if stage.plateau else None,
            "recoveries": self._recoveries,
            "weights_sha256": self._vgg.sha256,
            "elapsed_seconds": self._deadline.elapsed_seconds if self._deadline else 0.0,
            "rng": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` of a run with the same images and parameters.

        Raises:
            StateError: it is the state of another run.
        """
        if state["parameters"] != self.parameters.model_dump(mode="json"):
            raise StateError("the saved state is that of a run with other parameters")
        if state["weights_sha256"] != self._vgg.sha256:
            raise StateError("the saved state is that of a run with other weights")
        variable = state["progress"]["variable"]
        level = self.levels[state["level"]]
        if variable.shape != (3, level.height, level.width):
            raise StateError(
                "the saved state is that of another content image: its picture is"
                f" {variable.shape[2]} x {variable.shape[1]} px,"
                f" this one {level.width} x {level.height} px"
            )
        self._level_steps = list(state["level_steps"])
        self._recoveries = state["recoveries"]
        self._stage = stage = self._open_stage(state["level"], variable)
        stage.load_progress_dict(state["progress"])
        stage.good = state["good"]
        stage.optimizer.load_state_dict(state["optimizer"])
        if stage.plateau is not None:
            stage.plateau.last = state["plateau"]
        if self._deadline is not None:
            self._deadline.resume(state["elapsed_seconds"])
        self._generator.set_state(state["rng"])

    @torch.no_grad()
    def _advance(self) -> Progress:
        """One step, and what it leads to: a look at the numbers, the end of the level."""
        if self._deadline is not None:
            self._deadline.start()
        stage = self._stage
        if stage.steps == self._level_steps[stage.index]:
            stage = self._next_stage()
        seen: list[LossValues] = []

        def evaluate(variable: Tensor) -> tuple[Tensor, Tensor]:
            losses, gradient = self._evaluate(stage, variable)
            seen.append(losses)
            return losses.total, gradient

        look = stage.steps % LOOK_EVERY_STEPS == 0
        before = stage.progress_dict() if look else stage.good
        stage.optimizer.step(stage.variable, evaluate)
        stage.average.update(stage.variable)
        stage.steps += 1
        loss = seen[0].total
        over = self._is_over(stage, loss)
        if look or over:
            if bool(stage.variable.isfinite().all() & loss.isfinite()):
                stage.good = before  # not where it is now: the loss there is not known yet
            else:
                stage, over = self._go_back(stage), False
        if over:
            self._level_steps[stage.index] = stage.steps
        level = self.levels[stage.index]
        return Progress(
            step=self.step,
            total_steps=self.total_steps,
            level=stage.index,
            levels=len(self.levels),
            width_px=level.width,
            height_px=level.height,
            _losses=seen[0],
        )

    def _evaluate(self, stage: _Stage, variable: Tensor) -> tuple[LossValues, Tensor]:
        """The losses and the gradient; where memory is short, once more and from then on with less
        of it. The numbers are the same."""
        try:
            if stage.objective is None:
                stage.objective = self._objective(
                    stage.index, self._run_precision, recompute=self._recompute
                )
            return stage.objective(variable)
        except (RuntimeError, MemoryError) as error:
            if self._has_released or not is_out_of_memory(error):
                raise
        # Not within the except: the error keeps alive what did not fit.
        self._has_released = self._recompute = True
        stage.objective = None
        self._vgg.targets.clear()
        release_memory(self._vgg.device)
        return self._evaluate(stage, variable)

    def _go_back(self, stage: _Stage) -> _Stage:
        """To where all was well, to go on from there in float32 and with smaller steps.

        Raises:
            Diverged: that has been tried often enough.
        """
        if self._recoveries == MAX_RECOVERIES:
            raise Diverged(
                f"the loss is not a number after step {self.step}, also in float32 and with smaller"
                " steps: try a smaller learning_rate, or smaller weights"
            )
        self._recoveries += 1
        good = stage.good
        self._stage = stage = self._open_stage(stage.index, good["variable"], good["steps"])
        stage.load_progress_dict(good)
        stage.good = good
        return stage

    def _is_over(self, stage: _Stage, loss: Tensor) -> bool:
        """Whether the level ends now: its steps are done, or a stop rule says so."""
        if stage.steps == self._level_steps[stage.index]:
            return True
        if stage.plateau is not None and stage.plateau.has_stopped(stage.steps, loss):
            return True
        if self._deadline is None:
            return False
        if self._vgg.device.type == "cuda":
            torch.cuda.synchronize(self._vgg.device)  # steps that are only queued take no time
        return self._deadline.has_passed(stage.index)

    def _next_stage(self) -> _Stage:
        before = self._stage
        level = self.levels[before.index + 1]
        before.objective = None
        start = resize(self._painted(), (level.height, level.width))
        after = self._open_stage(before.index + 1, self._space.from_pixels(start))
        if (
            self.parameters.warm_start
            and isinstance(before.optimizer, Adam)
            and isinstance(after.optimizer, Adam)
        ):
            after.optimizer.warm_start(before.optimizer)
        self._stage = after
        return after

    def _open_stage(self, index: int, start: Tensor, steps: int = 0) -> _Stage:
        """The level of this index, from `start`, a variable; `steps` of it are done."""
        variable = start.to(self._vgg.device, copy=True, memory_format=torch.contiguous_format)
        rule = self.parameters.plateau
        stage = _Stage(
            index=index,
            variable=variable,
            optimizer=build_optimizer(
                variable,
                self.parameters,
                steps=self.levels[index].steps,
                bounds=self._space.bounds if self.parameters.clamp else None,
                caution=CAUTION**self._recoveries,
                done=sum(self._level_steps[:index]) + steps,
            ),
            average=Average(variable, self.parameters.average),
            plateau=PlateauWatch(rule) if rule else None,
            good={},
        )
        stage.good = stage.progress_dict()
        return stage

    def _available_bytes(self) -> int:
        """Memory that there is for this run, as if all targets were kept already that may be: what
        fits does not depend on the runs before."""
        targets = self._vgg.targets
        return max(0, available_bytes(self._vgg.device) - targets.limit_bytes + targets.bytes)

    def _objective(self, index: int, precision: str, *, recompute: bool) -> Objective:
        return build_objective(
            self._vgg,
            self._inputs.targets(self.levels[index]),
            self.parameters,
            PRECISIONS[precision],
            recompute=recompute,
        )

    @property
    def _run_precision(self) -> str:
        return "float32" if self._recoveries else self._precision

    def _painted(self) -> Tensor:
        """The average of the iterates so far, as pixels of (3, H, W); not always within [0, 1]."""
        return self._space.to_pixels(self._stage.average.value())
