"""Picture files by hand, since Pillow would not write most of the hostile ones."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

RED = (255, 0, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(kind: str = "PNG", size: tuple[int, int] = (48, 32), mode: str = "RGB") -> bytes:
    return encoded(Image.new("RGB", size, RED).convert(mode), kind)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 32,
    height: int = 32,
    depth: int = 8,
    color_type: int = 0,
    rows: bytes | None = None,
    extra: bytes = b"",
) -> bytes:
    """A PNG of these header fields; `extra` stands between header and pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    if rows is None:
        rows = (b"\0" + bytes(width)) * height
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def header_bomb() -> bytes:
    """10,000 megapixels, says the header, of which there is none."""
    return png(100_000, 100_000, rows=b"")


def text_bomb() -> bytes:
    """Fifty megabytes of zeros in a compressed comment."""
    return png(extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000), 9)))


def profile_bomb() -> bytes:
    """Fifty megabytes of zeros as a colour profile."""
    return png(extra=chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(50_000_000), 9)))


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan, of a few bytes, stands there `count` times more."""
    data = encoded(Image.new("L", (512, 512)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def many_pages(count: int) -> bytes:
    """A TIFF with `count` more pages, each a page as small as it can be."""
    data = bytearray(encoded(Image.new("L", (32, 32)), "TIFF"))
    (start,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[start : start + 2])
    page = bytes(data[start : start + 2 + 12 * entries])
    link = start + len(page)
    for _ in range(count):
        data[link : link + 4] = struct.pack("<I", len(data))
        data += page + bytes(4)
        link = len(data) - 4
    return bytes(data)


def huge_tile(side: int) -> bytes:
    """A TIFF of 32 x 32 px in one compressed tile of `side` x `side` px."""
    pixels = zlib.compress(bytes(1_000_000), 9)
    tags = [(256, 32), (257, 32), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side)]
    end = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(324, end), (325, len(pixels))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


NOT_IMAGES = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "text": b"not an image at all",
    "gif": picture("GIF", mode="P"),
    "bmp": picture("BMP"),
    "a signature alone": b"\xff\xd8\xff",
}
UNUSABLE = {
    "empty": b"",
    "truncated png": picture("PNG", (64, 64))[:-40],
    "truncated jpeg": picture("JPEG", (64, 64))[:-100],
    "truncated webp": picture("WEBP", (64, 64))[:-20],
    "corrupt png": picture("PNG")[:45] + b"\0\0\0\0" + picture("PNG")[49:],
    "header bomb": header_bomb(),
    "more pixels than taken": png(10_000, 6_000, rows=b""),
    "zTXt bomb": text_bomb(),
    "ICC bomb": profile_bomb(),
    "JPEG of 200 scans": many_scans(200),
    "TIFF with a huge tile": huge_tile(30_000),
    "TIFF of many pages": many_pages(2000),
    "animated png": animated("PNG"),
    "animated webp": animated("WEBP"),
    "two pages of tiff": animated("TIFF"),
    "floating-point tiff": encoded(Image.new("F", (32, 32)), "TIFF"),
    "too small": picture(size=(15, 64)),
    "too thin": picture(size=(16, 513)),
    "too long": picture(size=(16_385, 600)),
}
