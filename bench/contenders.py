"""Who takes part: the literal loop, the bare convolutions, and the engine, each doing steps."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from bench.literal import LiteralLoop, vgg19
from bench.peak import forget_peak, peak_bytes
from bench.pictures import PAINTING, PHOTOGRAPH, landscape, read
from shared.network import LINE
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, load_weights, resolve_device
from worker.engine.convolution import Convolution
from worker.engine.hardware import PRECISIONS

WARM_PX = 64


class Contender(ABC):
    """Does one step of the `neural-style` objective, or what it stands for, when it is asked."""

    def __init__(self) -> None:
        self.device = resolve_device("auto")
        self._step: Callable[[], object] = lambda: None

    @abstractmethod
    def begin(self, shape: tuple[int, int], steps: int) -> Callable[[], object]:
        """What does one step of at most `steps`, on a picture of this height and width."""

    def open(self, size: int, steps: int) -> None:
        """Get ready for pictures of 4:3 with a long side of `size`."""
        self._step = lambda: None  # what it holds goes before the next comes
        self._step = self.begin(landscape(size), steps)

    def step(self) -> float:
        """One step; how long it took, s."""
        self._synchronize()
        started = time.perf_counter()
        self._step()
        self._synchronize()
        return time.perf_counter() - started

    def peak_bytes(self, size: int, steps: int) -> int:
        """The most memory that the pictures and `steps` steps take, beside the loaded network."""
        self.open(WARM_PX, 1)
        self.step()  # the weights are in their places now
        self._step = lambda: None
        before = forget_peak(self.device)
        self.open(size, steps)
        for _ in range(steps):
            self.step()
        return peak_bytes(self.device) - before

    def _pictures(self, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return read(PHOTOGRAPH, shape), read(PAINTING, shape)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Literal(Contender):
    """The loop of `bench.literal`, with L-BFGS as it has it."""

    def __init__(self) -> None:
        super().__init__()
        self._net = vgg19(load_weights("oxford-q8")).to(self.device)

    def begin(self, shape: tuple[int, int], steps: int) -> Callable[[], object]:
        """One evaluation and one step of L-BFGS."""
        content, style = (picture.to(self.device) for picture in self._pictures(shape))
        return LiteralLoop(self._net, content, style).step


class Engine(Contender):
    """The engine with the preset `neural-style`."""

    def __init__(self, precision: str) -> None:
        super().__init__()
        self._vgg = VGG19(load_weights("oxford-q8"))
        self._precision = precision

    def begin(self, shape: tuple[int, int], steps: int) -> Callable[[], object]:
        """One step of a run."""
        content, style = self._pictures(shape)
        parameters = Parameters.model_validate(
            {
                "preset": "neural-style",
                "size": max(shape),
                "steps": steps,
                "precision": self._precision,
            }
        )
        return iter(Stylization(self._vgg, content, [style], parameters)).__next__


class Floor(Contender):
    """The convolutions of the network, forward and backward to the input, and nothing else."""

    def __init__(self, precision: str) -> None:
        super().__init__()
        self._weights = load_weights("oxford-q8")
        vgg = VGG19(self._weights)  # the allocator is set up as it is for the engine
        self._dtype = PRECISIONS[vgg.precision(precision)]

    def begin(self, shape: tuple[int, int], steps: int) -> Callable[[], object]:
        """All convolutions once forward and once, with the rotated kernels, backward."""
        height, width = shape
        work = []
        for name in LINE[: LINE.index("relu5_1")]:
            if name.startswith("pool"):
                height, width = height // 2, width // 2
            elif name.startswith("conv"):
                kernel, bias = self._weights.convolutions[name]
                outputs, inputs = kernel.shape[:2]
                # With kernels laid out once, as in the engine
                convolution = Convolution.prepare(kernel, bias, self.device, self._dtype)
                x = self._place(torch.rand(1, inputs, height, width))
                gradient = self._place(torch.rand(1, outputs, height, width))
                work.append((convolution, x, gradient))

        @torch.no_grad()
        def step() -> None:
            for convolution, x, _ in work:
                convolution.forward(x)
            for convolution, _, gradient in reversed(work):
                convolution.backward(gradient)

        return step

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self._dtype).contiguous(memory_format=torch.channels_last)
