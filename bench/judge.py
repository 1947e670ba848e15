"""The losses of any picture, however it was made, under one objective."""

from collections.abc import Sequence

from torch import Tensor

from shared.parameters import Parameters
from worker.engine import VGG19, Losses, Stylization


def judge(
    network: VGG19, images: Sequence[Tensor], parameters: Parameters, picture: Tensor
) -> Losses:
    """Losses in float32 of `picture`, (H, W, 3) uint8, under the objective of `parameters`.

    `images` are the content and the styles, (3, H, W) in [0, 1]; `picture` has the size of
    `parameters`.
    """
    as_it_is = {
        "init": "image",
        "steps": 1,  # that is never made
        "pyramid": None,
        "precision": "float32",
    }
    run = Stylization(
        network,
        images[0],
        images[1:],
        Parameters.model_validate({**parameters.model_dump(), **as_it_is}),
        init=picture.permute(2, 0, 1) / 255,
    )
    return run.delivered_losses()
