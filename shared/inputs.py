"""Which images go with which parameters: the one place for the API, the engine and the client."""

from shared.errors import Fault
from shared.parameters import Parameters


def faults(
    parameters: Parameters, *, content: bool, styles: int, masks: int, init: bool
) -> list[Fault]:
    """What is missing or does not fit; empty if the images and the parameters go together.

    Images that the parameters do not use are no fault: they are ignored. The arguments are those of
    `missing` and `misfits`.
    """
    return [
        *missing(parameters, content=content, styles=styles, init=init),
        *misfits(parameters, content=content, styles=styles, masks=masks, init=init),
    ]


def missing(parameters: Parameters, *, content: bool, styles: int, init: bool) -> list[Fault]:
    """Images that the parameters need and that are not there.

    Args:
        parameters: what is asked for.
        content: whether there is a content image.
        styles: number of style images.
        init: whether there is an image to start from.
    """
    found = []
    if parameters.uses_content and not content:
        detail = f"the content image is missing: {_content_user(parameters)} needs it"
        found.append(Fault("content", f"{detail}, preset texture does without"))
    if parameters.uses_styles and not styles:
        detail = f"a style image is missing: {_style_user(parameters)} needs one"
        found.append(Fault("style", f"{detail}, preset reconstruction does without"))
    if parameters.init == "image" and not init:
        found.append(Fault("init", "the image to start from is missing: init=image needs it"))
    return found


def misfits(
    parameters: Parameters, *, content: bool, styles: int, masks: int, init: bool
) -> list[Fault]:
    """Images and parameters that do not go together, where each is fine by itself.

    Args:
        parameters: what is asked for.
        content: whether there is a content image.
        styles: number of style images.
        masks: number of masks.
        init: whether there is an image to start from.
    """
    found = []
    shares = parameters.style_weights
    of_styles = _counted(styles, "style image")
    if parameters.uses_styles and shares is not None and len(shares) != styles:
        detail = f"style_weights has {_counted(len(shares), 'value')} for {of_styles}"
        found.append(Fault("params/style_weights", detail))
    if parameters.uses_styles and masks not in (0, styles):
        detail = f"{_counted(masks, 'mask')} for {of_styles}: give each style one, or none"
        found.append(Fault("mask", detail))
    if init and parameters.init != "image":
        detail = f"there is an image to start from, but init={parameters.init}: set init=image"
        found.append(Fault("init", detail))
    if content and parameters.uses_content and parameters.aspect_ratio is not None:
        detail = "aspect_ratio is given, but the picture has the shape of its content image"
        found.append(Fault("params/aspect_ratio", detail))
    return found


def _content_user(parameters: Parameters) -> str:
    """What in the parameters asks for the content image."""
    if parameters.content_layer_weights:
        return f"content_weight={parameters.content_weight:g}"
    if parameters.init == "content":
        return "init=content"
    return f"color={parameters.color}"


def _style_user(parameters: Parameters) -> str:
    """What in the parameters asks for style images."""
    if parameters.style_layer_weights:
        return f"style_weight={parameters.style_weight:g}"
    return "init=style"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
