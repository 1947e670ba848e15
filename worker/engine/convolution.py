"""The 3 x 3 convolutions of VGG-19, forward and back to their input, in one precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Convolution:
    """A convolution and its adjoint.

    The gradient by the input is a convolution of the gradient by the output, with the kernel
    rotated by 180° and its channels exchanged.
    """

    kernel: Tensor  # (O, I, 3, 3), laid out for the device
    bias: Tensor  # (O,)
    adjoint: Tensor  # (I, O, 3, 3), likewise

    @classmethod
    def prepare(
        cls,
        kernel: Tensor,
        bias: Tensor,
        device: torch.device,
        dtype: torch.dtype,
        *,
        of_picture: bool = False,
    ) -> "Convolution":
        """From float32 weights, (O, I, 3, 3) and (O,).

        The one that is `of_picture` takes what `picture_in_parts` makes of its input.
        """
        rounded = _rounded(kernel, dtype)
        forward = _in_parts(kernel, dtype, "weights") if of_picture else rounded
        return cls(
            kernel=_laid_out(forward, device, dtype),
            bias=bias.to(device, dtype),
            adjoint=_laid_out(rounded.flip(2, 3).transpose(0, 1), device, dtype),
        )

    def forward(self, image: Tensor, padding: str = "zero", *, relu: bool = False) -> Tensor:
        """(1, I, H, W) -> (1, O, H, W), with `relu` through a ReLU."""
        if padding == "replicate":
            image = F.pad(image, (1, 1, 1, 1), mode="replicate")
            return _convolve(image, self.kernel, self.bias, margin=0, relu=relu)
        return _convolve(image, self.kernel, self.bias, margin=1, relu=relu)

    def backward(self, gradient: Tensor, padding: str = "zero") -> Tensor:
        """(1, O, H, W) -> (1, I, H, W), without the way back through a ReLU."""
        if padding == "replicate":
            padded = _convolve(gradient, self.adjoint, None, margin=2)
            return _fold_border(_fold_border(padded, 2), 3)
        return _convolve(gradient, self.adjoint, None, margin=1)


def picture_in_parts(picture: Tensor, dtype: torch.dtype) -> Tensor:
    """(1, 3, H, W) float32 -> (1, 9, H, W) of bfloat16, such that a picture keeps its 8 bits and
    more; or as it is for float32."""
    return _in_parts(picture, dtype, "values")


def _in_parts(tensor: Tensor, dtype: torch.dtype, role: str) -> Tensor:
    """What rounding to `dtype` leaves of (N, C, H, W), and of the rest: x ≈ a + b, w ≈ c + d.

    Along the channels, a a b of values x and c d c of weights w, so that a product over them is
    x w but for b d.
    """
    if dtype == torch.float32:
        return tensor
    high = tensor.to(dtype)
    low = (tensor - high).to(dtype)
    parts = {"values": (high, high, low), "weights": (high, low, high)}[role]
    return torch.cat(parts, dim=1)


def _rounded(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """Round (O, I, 3, 3) to values of `dtype`, with error diffusion.

    What one of the nine lost is added to the next, so that their sum stays: features are smooth and
    positive, so the errors of nine roundings to the nearest would add up. A Gram loss in bfloat16
    is off by 0.1 % rather than 1 %.
    """
    if dtype == kernel.dtype:
        return kernel
    result = torch.empty_like(kernel)
    error = torch.zeros_like(kernel[:, :, 0, 0])
    for row, column in product(range(3), range(3)):
        wanted = kernel[:, :, row, column] + error
        result[:, :, row, column] = wanted.to(dtype)
        error = wanted - result[:, :, row, column]
    return result


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Have cuDNN take float32 at its word (no TF32) and give the same result every time."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _laid_out(kernel: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The kernel as the device wants it: on a CPU in the blocks of oneDNN, which else would bring
    it into these at every call."""
    kernel = kernel.to(device, dtype).contiguous(memory_format=torch.channels_last)
    if device.type == "cpu" and _onednn_takes(dtype):
        ones = [1, 1]
        return torch._C._nn.mkldnn_reorder_conv2d_weight(kernel.to_mkldnn(), ones, ones, ones, 1)
    return kernel


def _onednn_takes(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _convolve(
    image: Tensor, kernel: Tensor, bias: Tensor | None, *, margin: int, relu: bool = False
) -> Tensor:
    """Convolve (1, I, H, W) with zeros around it, `margin` wide."""
    if kernel.is_mkldnn:
        ones, margins = [1, 1], [margin, margin]
        after = "relu" if relu else "none"
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, kernel, bias, margins, ones, ones, 1, after, [], ""
        )
        return fused
    result = F.conv2d(image, kernel, bias, padding=margin)
    return result.relu_() if relu else result


def _fold_border(gradient: Tensor, dim: int) -> Tensor:
    """Give the gradient of a repeated border to what was repeated: (..., n + 2, ...) -> n."""
    inner = gradient.narrow(dim, 1, gradient.shape[dim] - 2).clone()
    inner.narrow(dim, 0, 1).add_(gradient.narrow(dim, 0, 1))
    last = inner.shape[dim] - 1
    inner.narrow(dim, last, 1).add_(gradient.narrow(dim, last + 2, 1))
    return inner
