"""The sizes of pictures, which an estimate has to know."""

import io
from pathlib import Path

import imagesize

from client.call import Picture, file_name
from client.errors import ClientError


def size_px(picture: Picture | tuple[int, int]) -> dict[str, int]:
    """Width and height of a picture when it is upright, px. Only its header is read.

    Raises:
        ClientError: it is no picture.
    """
    if isinstance(picture, tuple):
        return {"width_px": picture[0], "height_px": picture[1]}
    if isinstance(picture, bytes):
        width, height = imagesize.get(io.BytesIO(picture))
    else:
        width, height = imagesize.get(Path(picture))
    if width < 1 or height < 1:
        raise ClientError(f"{file_name(picture) or 'this'} is no picture whose size can be told")
    return {"width_px": width, "height_px": height}
