"""The loop that tutorials and neural-style-pt write, as what the engine is compared with.

float32, autograd, modules and the L-BFGS of PyTorch. It shares nothing with the engine but its
weights, which take torchvision's input; the variable goes from 0 to 255 as in neural-style-pt.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import Normalize

from worker.engine import Weights

CONVOLUTIONS = (2, 2, 4, 4, 1)  # of each block; the last is conv5_1
STYLE_LAYERS = [f"relu{block}_1" for block in range(1, 6)]
CONTENT_LAYER = "relu4_2"
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 5.0, 100.0, 1e-3
HISTORY = 100


def vgg19(weights: Weights) -> nn.Sequential:
    """The network up to relu5_1, for RGB from 0 to 255; the modules carry the paper's names."""
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    net = nn.Sequential()
    net.add_module("normalize", Normalize(255 * mean, 255 * std))
    for block, count in enumerate(CONVOLUTIONS, start=1):
        if block > 1:
            net.add_module(f"pool{block - 1}", nn.MaxPool2d(2))
        for index in range(1, count + 1):
            kernel, bias = weights.convolutions[f"conv{block}_{index}"]
            convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
            convolution.load_state_dict({"weight": kernel, "bias": bias})
            net.add_module(f"conv{block}_{index}", convolution)
            net.add_module(f"relu{block}_{index}", nn.ReLU(inplace=True))
    return net.eval().requires_grad_(False)


def preprocess(picture: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] -> (1, 3, H, W) from 0 to 255."""
    return picture.unsqueeze(0) * 255


def gram(y: Tensor) -> Tensor:
    """(1, C, H, W) -> (C, C)."""
    flat = y.view(y.size(1), -1)
    return torch.mm(flat, flat.t()).div(y.nelement())


class LiteralLoop:
    """neural-style-pt with its defaults, from the content."""

    def __init__(self, net: nn.Sequential, content: Tensor, style: Tensor) -> None:
        """`content` and `style` are (3, H, W) RGB in [0, 1], on the device of `net`."""
        self.net = net
        with torch.no_grad():
            self.content_target = self.features(preprocess(content))[CONTENT_LAYER]
            found = self.features(preprocess(style))
            self.style_targets = {layer: gram(found[layer]) for layer in STYLE_LAYERS}
        self.x = nn.Parameter(preprocess(content))
        # With one iteration a call, each call goes on where the last has stopped
        self.optimizer = torch.optim.LBFGS(
            [self.x], max_iter=1, history_size=HISTORY, tolerance_grad=-1, tolerance_change=-1
        )

    def step(self) -> None:
        """One evaluation, and the step that L-BFGS makes of it."""
        self.optimizer.step(self.evaluate)

    def evaluate(self) -> Tensor:
        """The loss; its gradient is then in `x.grad`."""
        self.optimizer.zero_grad()
        loss = self.loss(self.x)
        loss.backward()
        return loss

    def loss(self, x: Tensor) -> Tensor:
        """5 · content + 100 · Σ style + 0.001 · total variation."""
        found = self.features(x)
        loss = CONTENT_WEIGHT * F.mse_loss(found[CONTENT_LAYER], self.content_target)
        for layer, target in self.style_targets.items():
            loss = loss + STYLE_WEIGHT * F.mse_loss(gram(found[layer]), target)
        down, across = x[:, :, 1:, :] - x[:, :, :-1, :], x[:, :, :, 1:] - x[:, :, :, :-1]
        return loss + TV_WEIGHT * (down.abs().sum() + across.abs().sum())

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """What the losses look at."""
        found = {}
        for name, module in self.net.named_children():
            x = module(x)
            if name in STYLE_LAYERS or name == CONTENT_LAYER:
                found[name] = x
        return found

    def picture(self) -> Tensor:
        """As it is saved: (H, W, 3) uint8 RGB."""
        pixels = self.x.detach()[0].clamp(0, 255).round()
        return pixels.permute(1, 2, 0).to("cpu", torch.uint8)
