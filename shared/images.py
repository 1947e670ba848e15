"""Pictures as they come in: every input is hostile until it is decoded within the limits."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from shared.errors import InvalidImage, UnsupportedMedia

# TIFF is what scanners and editors save; its risks are met in `_check_structure`.
READABLE_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
CONTENT_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
}
# A progressive JPEG has about ten. Each costs a pass over all pixels, and may be a few bytes long.
MAX_JPEG_SCANS = 100
START_OF_SCAN = b"\xff\xda"
TIFF_TILE_WIDTH, TIFF_TILE_LENGTH = 322, 323


@dataclass(frozen=True)
class ImageLimits:
    """What a picture may measure. Checked from the header, before its pixels are decoded."""

    min_side_px: int = 16
    max_side_px: int = 16_384
    max_pixels: int = 50_000_000
    max_aspect_ratio: float = 32.0


DEFAULT_LIMITS = ImageLimits()


def check_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Height and width of the picture, px, when it is upright.

    Raises:
        UnsupportedMedia, InvalidImage: as `decoded`.
    """
    with decoded(data, limits) as image:
        return image.size if _lies_on_its_side(image) else (image.height, image.width)


@contextmanager
def decoded(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Iterator[Image.Image]:
    """The picture as it lies in the file, its pixels decoded within `limits`.

    What goes wrong inside the block becomes one of our errors, too.

    Raises:
        UnsupportedMedia: the bytes are none of `READABLE_FORMATS`, whatever the file's name says.
        InvalidImage: empty, truncated, corrupt, animated, or outside `limits`.
    """
    if not data:
        raise InvalidImage("the image is empty: expected the bytes of a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # corrupt EXIF and the like
            with Image.open(io.BytesIO(data), formats=READABLE_FORMATS) as image:
                _check_limits(image, limits)
                _check_structure(image, data, limits)
                image.load()
                yield image
    except UnidentifiedImageError:
        raise UnsupportedMedia(
            f"not an image of a kind that is read here: expected one of"
            f" {', '.join(READABLE_FORMATS)}, gray, RGB or CMYK of 8 or 16 bits"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InvalidImage("the image claims more pixels than are taken here") from None
    except (InvalidImage, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on hostile bytes
        raise InvalidImage(f"the image is truncated or corrupt: {error}") from error


def _check_limits(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
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


def _check_structure(image: Image.Image, data: bytes, limits: ImageLimits) -> None:
    """Refuse what would cost far more to decode than its size says."""
    if image.mode in ("F", "I"):
        raise InvalidImage(
            "the image has pixels of 32 bits or with signs: send one of 8 or 16 bits"
        )
    if image.format in ("JPEG", "MPO") and data.count(START_OF_SCAN) > MAX_JPEG_SCANS:
        raise InvalidImage(f"the image has more than {MAX_JPEG_SCANS} scans")
    if isinstance(image, TiffImageFile):
        tile = (int(image.tag_v2.get(tag, 0)) for tag in (TIFF_TILE_WIDTH, TIFF_TILE_LENGTH))
        if math.prod(tile) > limits.max_pixels:
            raise InvalidImage("the tiles of the image are larger than the image may be")
    if _has_more_frames(image):
        raise InvalidImage("the image is animated or has several pages: send a single picture")


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


def _lies_on_its_side(image: Image.Image) -> bool:
    """Whether the picture is stored turned by a quarter."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except Exception:  # as below
        return False


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a corrupt EXIF block says nothing about the pixels
        return image
