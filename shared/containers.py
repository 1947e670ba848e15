"""The parts of a picture file, counted before anything reads them.

A decoder looks at each part, Pillow often in Python: where a file has millions of empty ones, that
takes many seconds and hundreds of megabytes, however few pixels there are. What is malformed here
in any other way is left to the decoder.
"""

import re
import struct
from collections.abc import Iterator

from shared.errors import InvalidImage

# A progressive JPEG has about ten. Each costs a pass over all pixels, and may be a few bytes long.
MAX_JPEG_SCANS = 100
# A colour profile or a depth map of 25 MB comes in 400.
MAX_JPEG_SEGMENTS = 2000
MAX_JPEG_JUNK_BYTES = 65_536
# One segment: all that a JPEG may have, and other files have it from there.
MAX_EXIF_BYTES = 65_536
# One for each row, and more.
MAX_PNG_CHUNKS = 20_000
MAX_TIFF_TAGS = 1000
# Where strips or tiles lie and how long they are: so many of 32 px square make 60 megapixels.
MAX_TIFF_VALUES = 131_072

# Neither what stands for a byte of the pixels, nor fill bytes, nor what restarts the decoder.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_JPEG_END, _JPEG_SCAN, _JPEG_EXIF = 0xD9, 0xDA, 0xE1
_JPEG_ALONE = frozenset({0x01, 0xD8, _JPEG_END})  # markers without a segment
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = struct.Struct(">I4s")
_PNG_CRC_BYTES = 4
_PNG_MAX_LENGTH = 2**31 - 1
_PNG_METHODS = slice(26, 29)  # in IHDR, which comes first
# As the header says it: the byte order, and how the directory is written.
_TIFF_KINDS = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
# Values of these types stay bytes; of all others, Pillow makes a number each.
_TIFF_BYTES = frozenset({1, 2, 7})
# What says how the pixels are stored is one number each. Pillow guesses where it is not, for which
# other readers, a worker's among them, refuse the file.
_TIFF_WIDTH, _TIFF_LENGTH, _TIFF_COMPRESSION, _TIFF_PHOTOMETRIC = 256, 257, 259, 262
_TIFF_SAMPLES, _TIFF_ROWS, _TIFF_PLANAR = 277, 278, 284
_TIFF_NUMBERS = frozenset(
    {
        *(_TIFF_WIDTH, _TIFF_LENGTH, _TIFF_COMPRESSION, _TIFF_PHOTOMETRIC),
        *(_TIFF_SAMPLES, _TIFF_ROWS, _TIFF_PLANAR),
    }
)
_TIFF_UNSIGNED = frozenset({1, 3, 4})


def check_parts(data: bytes) -> int:
    """How often a decoder passes over the pixels, in a file that has no more parts than usual.

    Raises:
        InvalidImage: it has.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _checked_scans(data)
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data)
    elif kind := _TIFF_KINDS.get(data[:4]):
        _check_tiff(data, *kind)
    return 1


def _checked_scans(data: bytes) -> int:
    junk = exif = scans = 0
    for number, (marker, skipped, start, length) in enumerate(_jpeg_segments(data), 1):
        if not scans:
            junk += skipped  # later on, these are the pixels
        scans += marker == _JPEG_SCAN
        if marker == _JPEG_EXIF and data.startswith(b"Exif\0\0", start + 2):
            exif += length
        if junk > MAX_JPEG_JUNK_BYTES:
            raise InvalidImage("the image has more junk before its pixels than is looked through")
        if scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"the image has more than {MAX_JPEG_SCANS} scans")
        if number > MAX_JPEG_SEGMENTS:
            raise InvalidImage(f"the image has more than {MAX_JPEG_SEGMENTS:,} segments")
        if exif > MAX_EXIF_BYTES:
            raise InvalidImage("the image has more EXIF than fits into a JPEG")
    return scans


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Each marker, the bytes that were skipped before it, where its segment begins, its length.

    Up to the end of the picture, behind which may be a film; or of the file.
    """
    position = 2
    has_pixels = False
    while match := _JPEG_MARKER.search(data, position):
        marker = match[1][0]
        if marker == _JPEG_END and has_pixels:
            return
        has_pixels = has_pixels or marker == _JPEG_SCAN
        start = match.end()
        length = 0
        if marker not in _JPEG_ALONE:
            length = max(2, int.from_bytes(data[start : start + 2]))
        yield marker, match.start() - position, start, length
        position = start + length
    yield _JPEG_END, max(0, len(data) - position), len(data), 0


def _check_png(data: bytes) -> None:
    compression, filters, interlaced = data[_PNG_METHODS].ljust(3, b"\0")
    if compression or filters or interlaced > 1:  # which Pillow does not look at
        raise InvalidImage("the image is a PNG of a kind that there is not")
    position = len(_PNG_SIGNATURE)
    for _ in range(MAX_PNG_CHUNKS):
        if position + _PNG_CHUNK.size > len(data):
            return
        length, kind = _PNG_CHUNK.unpack_from(data, position)
        if length > _PNG_MAX_LENGTH:
            raise InvalidImage("a part of the image claims to be longer than a PNG's may be")
        if kind == b"IEND":
            return
        position += _PNG_CHUNK.size + length + _PNG_CRC_BYTES
    raise InvalidImage(f"the image has more than {MAX_PNG_CHUNKS:,} chunks")


def _check_tiff(data: bytes, order: str, big: bool) -> None:
    try:
        (start,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
        number = struct.Struct(f"{order}Q" if big else f"{order}H")
        (tags,) = number.unpack_from(data, start)
        if tags > MAX_TIFF_TAGS:
            raise InvalidImage(f"the image has more than {MAX_TIFF_TAGS:,} tags")
        tag = struct.Struct(f"{order}HHQ8x" if big else f"{order}HHI4x")
        begin = start + number.size
        found = [tag.unpack_from(data, begin + i * tag.size) for i in range(tags)]
    except struct.error:  # it ends before, which the decoder will notice
        return
    if sum(count for _, kind, count in found if kind not in _TIFF_BYTES) > MAX_TIFF_VALUES:
        raise InvalidImage(f"the tags of the image have more than {MAX_TIFF_VALUES:,} values")
    numbers = {name: (kind, count) for name, kind, count in found if name in _TIFF_NUMBERS}
    sound = all(kind in _TIFF_UNSIGNED and count == 1 for kind, count in numbers.values())
    if not sound or _TIFF_PHOTOMETRIC not in numbers:
        raise InvalidImage("the image does not say as a TIFF does how its pixels are stored")
