"""Pictures as they come in: every input is hostile until it is decoded within the limits."""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from shared.containers import MAX_EXIF_BYTES, check_parts
from shared.errors import ImpastoError, InvalidImage, UnsupportedMedia

# TIFF is what scanners and editors save; its risks are met in `check_parts` and `_check_structure`.
READABLE_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
CONTENT_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
}
# Pillow's own reader of plain TIFFs takes many that libtiff, by which a worker reads those of 16
# bits, refuses; and looks at each tile in Python.
TiffImagePlugin.READ_LIBTIFF = True
TIFF_TILE_WIDTH, TIFF_TILE_LENGTH = 322, 323
# What it takes at most to decode a picture, as `bench inputs` measures it. Pillow has 4 bytes a
# pixel; a WebP is decoded to two canvases besides, and a TIFF to a strip that may be all of it. A
# JPEG of several scans is kept as coefficients, and not as pixels, since it is decoded reduced.
BYTES_PER_PIXEL = {"PNG": 4, "WEBP": 16, "TIFF": 14}
COEFFICIENT_BYTES = 2
REDUCED_JPEG_BYTES_PER_PIXEL = 0.1
# What undoes each EXIF orientation. Not `exif_transpose`, which writes the EXIF block anew besides,
# and leaves the picture as it lies where that fails.
TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Asked for the bytes that it takes, gives the room to decode a picture.
Room = Callable[[int], AbstractContextManager[None]]


@dataclass(frozen=True)
class ImageLimits:
    """What a picture may measure. Checked from the header, before its pixels are decoded."""

    min_side_px: int = 16
    max_side_px: int = 16_384
    max_pixels: int = 50_000_000
    max_aspect_ratio: float = 32.0


DEFAULT_LIMITS = ImageLimits()


def check_image(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, room: Room | None = None
) -> tuple[int, int]:
    """Height and width of the picture, px, when it is upright. It can be decoded to its end.

    A JPEG is decoded to an eighth of its size, which looks at all of its bytes.

    Args:
        data: the file.
        limits: what the picture may measure.
        room: where it has to wait until there is memory to decode it.

    Raises:
        UnsupportedMedia, InvalidImage: as `decoded`. What `room` raises.
    """
    with _opened(data, limits) as (image, passes):
        full = image.size
        needed = _decoding_bytes(image, passes)
        reduced = image.draft(None, (1, 1)) is not None
        with room(needed) if room else nullcontext():
            image.load()
            width, height = full if reduced else image.size
            return (width, height) if _lies_on_its_side(image) else (height, width)


@contextmanager
def decoded(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Iterator[Image.Image]:
    """The picture as it lies in the file, its pixels decoded within `limits`.

    What goes wrong inside the block becomes one of our errors, too.

    Raises:
        UnsupportedMedia: the bytes are none of `READABLE_FORMATS`, whatever the file's name says.
        InvalidImage: empty, truncated, corrupt, animated, or outside `limits`.
    """
    with _opened(data, limits) as (image, _):
        image.load()
        yield image


@contextmanager
def _opened(data: bytes, limits: ImageLimits) -> Iterator[tuple[Image.Image, int]]:
    """The picture before its pixels are decoded, and in how many passes they are.

    Errors as those of `decoded`.
    """
    if not data:
        raise InvalidImage("the image is empty: expected the bytes of a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # corrupt EXIF and the like
            passes = check_parts(data)
            with Image.open(io.BytesIO(data), formats=READABLE_FORMATS) as image:
                check_size(*image.size, limits)
                _check_structure(image, limits)
                yield image, passes
    except UnidentifiedImageError:
        raise UnsupportedMedia(
            f"not an image of a kind that is read here: expected one of"
            f" {', '.join(READABLE_FORMATS)}, gray, RGB or CMYK of 8 or 16 bits"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InvalidImage("the image claims more pixels than are taken here") from None
    except (ImpastoError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on hostile bytes
        raise InvalidImage(f"the image is truncated or corrupt: {error}") from error


def check_size(width: int, height: int, limits: ImageLimits = DEFAULT_LIMITS) -> None:
    """Raise `InvalidImage` if a picture of this size, px, is not taken."""
    shape = f"{width} x {height} px"
    if min(width, height) < limits.min_side_px:
        raise InvalidImage(f"the image is {shape}: each side needs {limits.min_side_px} px or more")
    if max(width, height) > limits.max_side_px or width * height > limits.max_pixels:
        raise InvalidImage(
            f"the image is {shape}: at most {limits.max_side_px} px a side"
            f" and {limits.max_pixels:,} pixels in all are taken"
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise InvalidImage(
            f"the image is {shape}: its sides may differ by a factor of {limits.max_aspect_ratio:g}"
        )


def _check_structure(image: Image.Image, limits: ImageLimits) -> None:
    """Refuse what would cost far more to decode than its size says."""
    if image.mode in ("F", "I"):
        raise InvalidImage(
            "the image has pixels of 32 bits or with signs: send one of 8 or 16 bits"
        )
    if len(image.info.get("exif", b"")) > MAX_EXIF_BYTES:
        raise InvalidImage(f"the image has more than {MAX_EXIF_BYTES:,} bytes of EXIF")
    if _tile_pixels(image) > limits.max_pixels:
        raise InvalidImage("the tiles of the image are larger than the image may be")
    if _has_more_frames(image):
        raise InvalidImage("the image is animated or has several pages: send a single picture")


def _tile_pixels(image: Image.Image) -> int:
    """How many pixels a tile of a TIFF has, which may be far more than the image."""
    if not isinstance(image, TiffImageFile):
        return 0
    return math.prod(int(image.tag_v2.get(tag, 0)) for tag in (TIFF_TILE_WIDTH, TIFF_TILE_LENGTH))


def _decoding_bytes(image: Image.Image, passes: int) -> int:
    """The memory that `check_image` takes to decode an image, at most."""
    pixels = max(math.prod(image.size), _tile_pixels(image))
    known = BYTES_PER_PIXEL.get(image.format or "")
    if known is not None:
        return pixels * known
    coefficients = COEFFICIENT_BYTES * len(image.getbands()) if passes > 1 else 0
    return math.ceil(pixels * (coefficients + REDUCED_JPEG_BYTES_PER_PIXEL))


def _has_more_frames(image: Image.Image) -> bool:
    if image.format == "MPO":  # a phone's JPEG, with a depth or gain map behind the picture
        return False
    if not isinstance(image, TiffImageFile):
        return getattr(image, "n_frames", 1) > 1
    try:
        image.seek(1)  # n_frames would follow the whole chain of pages, which may take minutes
    except EOFError:
        return False
    return True


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says."""
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _lies_on_its_side(image: Image.Image) -> bool:
    """Whether the picture is stored turned by a quarter."""
    return _orientation(image) in (5, 6, 7, 8)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a corrupt EXIF block says nothing about the pixels
        return None
