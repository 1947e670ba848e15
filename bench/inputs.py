"""What the worst pictures that the API takes in, or refuses, cost it: seconds and memory.

Each file is checked in a process of its own, as a request's is: `shared.images.check_image`.
"""

import io
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.remote import ROOT

# The largest square within the limits: 49,984,900 px. No file is larger than is taken.
SIDE_PX = 7070
MAX_BYTES = 25 * 2**20
PHOTOGRAPH_PX = (4000, 3000)

# `VmHWM` and not getrusage, whose peak a child inherits from whoever starts it.
FRESH = """
import json, pathlib, sys, time
from shared.errors import ImpastoError
from shared.images import check_image
from PIL import Image
Image.init()

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

data = pathlib.Path(sys.argv[1]).read_bytes()
before, began = peak(), time.perf_counter()
try:
    check_image(data)
    answer = "taken"
except ImpastoError as error:
    answer = str(error)
print(json.dumps([answer, time.perf_counter() - began, peak() - before]))
"""


@dataclass(frozen=True)
class Cost:
    """What it took to check a file."""

    answer: str
    seconds: float
    memory_bytes: int


def measure(console: Console, names: Iterable[str] = ()) -> None:
    """Print what each of the worst files costs; all of them, unless some are named."""
    console.rule("The worst pictures: what it costs to check them")
    table = Table("", "file, kB", "s", "memory, MB", "answer")
    for name in track(list(names) or WORST, console=console, transient=True):
        data = WORST[name]()
        cost = check(data)
        size, memory = f"{len(data) / 1e3:.0f}", f"{cost.memory_bytes / 1e6:.0f}"
        table.add_row(name, size, f"{cost.seconds:.2f}", memory, cost.answer)
    console.print(table)


def check(data: bytes) -> Cost:
    """Check a file in a fresh process."""
    with tempfile.NamedTemporaryFile(prefix="impasto-bench-") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-c", FRESH, file.name]
        printed = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
    return Cost(*json.loads(printed))


# -- JPEG ---------------------------------------------------------------------------------------


def flat(mode: str, kind: str, **options: Any) -> bytes:
    """As many pixels as are taken, all the same."""
    return encoded(Image.new(mode, (SIDE_PX, SIDE_PX)), kind, **options)


def photograph(kind: str, **options: Any) -> bytes:
    """12 megapixels that are hard to compress, which is what a camera's look like to a decoder."""
    height, width = PHOTOGRAPH_PX[1], PHOTOGRAPH_PX[0]
    noise = np.random.default_rng(0).normal(128, 30, (height // 2, width // 2, 3))
    image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    return encoded(image.resize(PHOTOGRAPH_PX, Image.Resampling.BICUBIC), kind, **options)


def noise(mode: str, kind: str, **options: Any) -> bytes:
    """As many pixels as are taken, and as much to decode as fits into a file."""
    tile = np.random.default_rng(0).integers(0, 256, (256, 7070), dtype=np.uint8)
    image = Image.fromarray(np.resize(tile, (SIDE_PX, SIDE_PX))).convert(mode)
    return encoded(image, kind, **options)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scans(mode: str, count: int, side: int = SIDE_PX) -> bytes:
    """A progressive JPEG whose last scan, of a few bytes, is there `count` times more."""
    data = encoded(Image.new(mode, (side, side)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def in_front(segments: bytes) -> bytes:
    """A small JPEG with `segments` at its beginning."""
    data = encoded(Image.new("RGB", (64, 64)), "JPEG")
    return data[:2] + segments + data[2:]


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG's marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def repeated(part: bytes) -> bytes:
    """As often as it fits into a file, with some room for the picture."""
    return part * ((MAX_BYTES - 8192) // len(part))


# -- PNG ----------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    depth: int, color_type: int, bytes_per_row: int, *, filter_type: int = 0, interlaced: int = 0
) -> bytes:
    """As many pixels as are taken, all zero."""
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, depth, color_type, 0, 0, interlaced)
    row = bytes([filter_type]) + bytes(bytes_per_row)
    # The passes of an interlaced one have more rows, each with its filter.
    pixels = zlib.compress(row * (SIDE_PX * (2 if interlaced else 1)), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")


def small_png(extra: bytes = b"", split: int = 1 << 20) -> bytes:
    """64 x 64 px with `extra` chunks, its pixels in chunks of `split` bytes."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(65 * 64), 0)
    parts = [chunk(b"IDAT", pixels[i : i + split]) for i in range(0, len(pixels), split)]
    signature = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return signature + extra + b"".join(parts) + chunk(b"IEND")


def texts(kind: bytes, length: int, count: int) -> bytes:
    """A PNG with `count` compressed comments that are `length` zeros each."""
    text = zlib.compress(bytes(length), 9)
    body = {b"zTXt": b"\0\0", b"iTXt": b"\0\1\0\0\0"}[kind] + text
    return small_png(b"".join(chunk(kind, b"%d" % i + body) for i in range(count)))


# -- TIFF ---------------------------------------------------------------------------------------

TAGS = {"width": 256, "length": 257, "bits": 258, "compression": 259, "photometric": 262}
TAGS |= {"offsets": 273, "samples": 277, "rows": 278, "counts": 279, "planar": 284}
TAGS |= {"tile_width": 322, "tile_length": 323, "tile_offsets": 324, "tile_counts": 325}
SHORT, LONG = 3, 4


def tiff(data: bytes, extra: list[tuple[int, int, int, int]] | None = None, **tags: Any) -> bytes:
    """A TIFF: the header, `data` at byte 8, long values, and the tags at its end.

    Args:
        data: what the offsets in the tags point to.
        extra: more tags as they are written: number, type, count, value.
        tags: their values; a list of numbers is written behind the data.
    """
    body = bytearray(data)
    entries = list(extra or [])
    for name, value in tags.items():
        if isinstance(value, list):
            entries.append((TAGS[name], LONG, len(value), 8 + len(body)))
            body += np.array(value, dtype="<u4").tobytes()
        else:
            entries.append((TAGS[name], LONG, 1, value))
    body += bytes(len(body) % 2)
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(body))
        + bytes(body)
        + struct.pack("<H", len(entries))
        + directory
        + bytes(4)
    )


GRAY = {"bits": 8, "compression": 1, "photometric": 1, "samples": 1}


def shared_tags(count: int, size: int) -> bytes:
    """A TIFF of `count` unknown tags that all are the same `size` bytes."""
    pixels = bytes(max(size, 64 * 64))
    extra = [(40_000 + i, 1, size, 8) for i in range(count)]
    shape = {"width": 64, "length": 64, "rows": 64}
    return tiff(pixels, extra, **GRAY, **shape, offsets=8, counts=64 * 64)


def tiny_strips() -> bytes:
    """A TIFF that says where its strips are 3 million times."""
    shape = {"width": 64, "length": 64, "rows": 1}
    count = 3_000_000
    return tiff(bytes(64), **GRAY, **shape, offsets=[8] * count, counts=[64] * count)


def tiny_tiles(side: int, compression: int = 1) -> bytes:
    """A TIFF of as many pixels as are taken, in tiles of `side` px, which all are the same."""
    tile = bytes(side * side) if compression == 1 else zlib.compress(bytes(side * side))
    count = (-(-SIDE_PX // side)) ** 2
    shape = {"width": SIDE_PX, "length": SIDE_PX, "tile_width": side, "tile_length": side}
    values = {"tile_offsets": [8] * count, "tile_counts": [len(tile)] * count}
    return tiff(tile, **(GRAY | {"compression": compression}), **shape, **values)


def one_strip(mode: str, compression: str) -> bytes:
    """A compressed TIFF of as many pixels as are taken, all of them in one strip."""
    image = Image.new(mode, (SIDE_PX, SIDE_PX))
    return encoded(image, "TIFF", compression=compression, strip_size=2**31 - 1)


def rows_of_strips(mode: str, compression: str) -> bytes:
    """A compressed TIFF with a strip for each row."""
    image = Image.new(mode, (3000, 16_384))
    return encoded(image, "TIFF", compression=compression, strip_size=1)


# -- EXIF ---------------------------------------------------------------------------------------


def exif(tags: int, size: int) -> bytes:
    """A block of `tags` tags that all are the same `size` bytes."""
    entries = b"".join(struct.pack("<HHII", 40_000 + i, 7, size, 8) for i in range(tags))
    directory = struct.pack("<H", tags) + entries + bytes(4)
    head = b"II*\0" + struct.pack("<I", 8 + size)
    return b"Exif\0\0" + head + bytes(size) + directory


def jpeg_with_exif(tags: int, size: int) -> bytes:
    """A JPEG whose EXIF block goes on over as many segments as it needs."""
    block = exif(tags, size)[6:]
    parts = [block[i : i + 60_000] for i in range(0, len(block), 60_000)]
    return in_front(b"".join(segment(0xE1, b"Exif\0\0" + part) for part in parts))


WORST: dict[str, Callable[[], bytes]] = {
    "JPEG, a photograph of 12 Mpx": lambda: photograph("JPEG", quality=95),
    "JPEG, RGB": lambda: flat("RGB", "JPEG", subsampling=0),
    "JPEG, RGB, noise": lambda: noise("RGB", "JPEG", quality=30, subsampling=0),
    "JPEG, CMYK": lambda: flat("CMYK", "JPEG", subsampling=0),
    "JPEG, progressive RGB": lambda: flat("RGB", "JPEG", progressive=True, subsampling=0),
    "JPEG, progressive CMYK": lambda: flat("CMYK", "JPEG", progressive=True, subsampling=0),
    "JPEG, progressive noise": lambda: noise(
        "RGB", "JPEG", quality=20, progressive=True, subsampling=0
    ),
    "JPEG, 80 scans": lambda: scans("RGB", 70),
    "JPEG, 80 scans of 1 Mpx": lambda: scans("RGB", 70, 1000),
    "JPEG, 5000 scans": lambda: scans("L", 5000, 512),
    "JPEG, empty comments": lambda: in_front(repeated(segment(0xFE, b""))),
    "JPEG, fill bytes": lambda: in_front(repeated(b"\xff")),
    "JPEG, escaped junk": lambda: in_front(b"\xff\xe0\0\2" + repeated(b"\0")),
    "JPEG, tables": lambda: in_front(repeated(segment(0xDB, (b"\0" + bytes(range(1, 65))) * 1000))),
    "JPEG, Photoshop's blocks": lambda: in_front(
        repeated(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000))
    ),
    "JPEG, profile in 400 parts": lambda: in_front(
        repeated(segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)))
    ),
    "JPEG, EXIF of shared bytes": lambda: jpeg_with_exif(2000, 20_000_000),
    "PNG, RGBA": lambda: png(8, 6, 4 * SIDE_PX),
    "PNG, RGBA, Paeth": lambda: png(8, 6, 4 * SIDE_PX, filter_type=4),
    "PNG, RGBA, interlaced": lambda: png(8, 6, 4 * SIDE_PX, interlaced=1),
    "PNG, RGBA of 16 bits, Paeth": lambda: png(16, 6, 8 * SIDE_PX, filter_type=4),
    "PNG, one bit": lambda: png(1, 0, -(-SIDE_PX // 8)),
    "PNG, noise": lambda: noise("1", "PNG"),
    "PNG, a photograph of 12 Mpx, palette": lambda: encoded(
        Image.open(io.BytesIO(photograph("JPEG"))).quantize(256), "PNG"
    ),
    "PNG, empty chunks": lambda: small_png(repeated(chunk(b"tEXt", b"a\0"))),
    "PNG, unknown chunks": lambda: small_png(repeated(chunk(b"abCd"))),
    "PNG, pixels in empty chunks": lambda: small_png(repeated(chunk(b"IDAT"))),
    "PNG, text": lambda: texts(b"zTXt", 1_000_000, 60),
    "PNG, much text": lambda: texts(b"iTXt", 1_000_000, 5000),
    "PNG, EXIF of shared bytes": lambda: small_png(chunk(b"eXIf", exif(2000, 20_000_000)[6:])),
    "WebP, lossy": lambda: flat("RGB", "WEBP", method=0),
    "WebP, lossless": lambda: flat("RGBA", "WEBP", lossless=True, method=0),
    "WebP, lossless noise": lambda: noise("1", "WEBP", lossless=True, method=0),
    "WebP, a photograph of 12 Mpx": lambda: photograph("WEBP", quality=95, method=0),
    "WebP, EXIF of shared bytes": lambda: encoded(
        Image.new("RGB", (64, 64)), "WEBP", exif=exif(2000, 20_000_000)
    ),
    "TIFF, deflate, one strip": lambda: one_strip("RGBA", "tiff_adobe_deflate"),
    "TIFF, LZW, one strip": lambda: one_strip("RGBA", "tiff_lzw"),
    "TIFF, LZW, CMYK": lambda: one_strip("CMYK", "tiff_lzw"),
    "TIFF, packbits, one strip": lambda: one_strip("RGBA", "packbits"),
    "TIFF, JPEG": lambda: one_strip("RGB", "jpeg"),
    "TIFF, LZMA": lambda: one_strip("RGB", "lzma"),
    "TIFF, Zstandard": lambda: one_strip("RGBA", "zstd"),
    "TIFF, 16 bits": lambda: one_strip("I;16", "tiff_adobe_deflate"),
    "TIFF, fax": lambda: encoded(Image.new("1", (SIDE_PX, SIDE_PX)), "TIFF", compression="group4"),
    "TIFF, a strip for each row": lambda: rows_of_strips("RGB", "tiff_lzw"),
    "TIFF, 3 million strips": tiny_strips,
    "TIFF, tiles of 16 px": lambda: tiny_tiles(16, 8),
    "TIFF, bare tiles of 16 px": lambda: tiny_tiles(16),
    "TIFF, bare tiles of 4 px": lambda: tiny_tiles(4),
    "TIFF, tags of shared bytes": lambda: shared_tags(1000, 20_000_000),
}
