"""How a picture grew: some of its steps as the frames of an animated WebP or GIF."""

import io

from PIL import Image
from torch import Tensor

FORMATS = {".webp": "WEBP", ".gif": "GIF"}
MAX_FRAMES = 60
MAX_SIDE_PX = 512
FRAME_MILLISECONDS = 80
LAST_FRAME_MILLISECONDS = 2500
WEBP_QUALITY = 80
# Frames lie at (k / n) ** this of the run: most happens in the early steps.
EARLY_BIAS = 2.0


class Animation:
    """Collects frames while a picture is painted.

    Every frame has the size of the finished picture, or a long side of `MAX_SIDE_PX` if that is
    less; the coarse levels of the pyramid are enlarged to it.
    """

    def __init__(self, total_steps: int, width_px: int, height_px: int) -> None:
        self._due = frame_steps(total_steps)
        scale = min(1.0, MAX_SIDE_PX / max(width_px, height_px))
        self._size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
        self._frames: dict[int, Image.Image] = {}

    def is_due(self, step: int) -> bool:
        """Whether the picture after `step` steps should be added; 0 is the start."""
        return step in self._due

    def add(self, step: int, picture: Tensor) -> None:
        """Take the picture after `step` steps, (H, W, 3) uint8, as a frame.

        A run that went back does some steps again: their first frames are dropped.
        """
        image = Image.fromarray(picture.cpu().numpy())
        if image.size != self._size:
            image = image.resize(self._size, Image.Resampling.LANCZOS)
        self._frames = {at: frame for at, frame in self._frames.items() if at < step}
        self._frames[step] = image

    def encode(self, suffix: str) -> bytes:
        """The animation as a file's bytes, in the format of `suffix`; its last frame stays longer.

        `FORMATS` has the suffixes. GIF has 256 colours a frame and is several times larger.
        """
        frames = list(self._frames.values())
        milliseconds = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
        buffer = io.BytesIO()
        if FORMATS[suffix] == "GIF":
            frames = [_with_palette(frame) for frame in frames]
        frames[0].save(
            buffer,
            FORMATS[suffix],
            save_all=True,
            append_images=frames[1:],
            duration=milliseconds,
            loop=0,
            quality=WEBP_QUALITY,  # which GIF does not have, and ignores
        )
        return buffer.getvalue()


def frame_steps(total_steps: int) -> frozenset[int]:
    """The steps to show, from 0 to `total_steps`: every one of a short run, else `MAX_FRAMES` of
    them, closer together early on."""
    intervals = MAX_FRAMES - 1
    if total_steps <= intervals:
        return frozenset(range(total_steps + 1))
    steps: list[int] = []
    for index in range(MAX_FRAMES):
        planned = round(total_steps * (index / intervals) ** EARLY_BIAS)
        steps.append(max(planned, steps[-1] + 1 if steps else 0))
    return frozenset(steps)


def _with_palette(frame: Image.Image) -> Image.Image:
    """The frame in 256 colours of its own, dithered. A smaller copy has the same colours and is
    quicker to look at."""
    palette = frame.reduce(2).quantize(256, method=Image.Quantize.MEDIANCUT)
    return frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
