"""What a job would take, as the service answers, and the sizes of pictures that it has to know."""

import io
from pathlib import Path

import imagesize
from pydantic import BaseModel, Field

from client.call import Picture, file_name
from client.errors import ClientError


class SecondsRange(BaseModel):
    """How long painting takes, without the wait for a worker."""

    low: float = Field(description="On the fastest of the workers.")
    high: float = Field(description="On the slowest.")


class JobEstimate(BaseModel):
    """What a job would take on the workers that are up."""

    steps: int
    width_px: int
    height_px: int
    memory_bytes: int
    seconds: SecondsRange | None
    workers: int
    able: int
    waiting_jobs: int


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
