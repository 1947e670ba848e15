"""Files with 16 bits per channel and with colour profiles, which Pillow would not write."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.shared.pictures import png

WHITE_D50 = (0.9642, 1.0, 0.8249)
# The colours of the primaries and the white, in XYZ under D50, and the curve: what makes a profile.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.00009), (0.03134, 0.00009, 0.82491))
# Y = (aX + b)^g for X above d, else cX: g, a, b, c, d.
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def rgb_profile(primaries: Sequence[Sequence[float]], curve: float | Sequence[float]) -> bytes:
    tags = {
        f"{name}XYZ".encode(): _xyz(color) for name, color in zip("rgb", primaries, strict=True)
    }
    tags |= {f"{name}TRC".encode(): _curve(curve) for name in "rgb"}
    return _profile(b"RGB ", tags)


def gray_profile(curve: float) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve(curve)})


def deep_png(pixels: NDArray[np.uint16], extra: bytes = b"") -> bytes:
    """(H, W, C) as a PNG of 16 bits: gray, gray and alpha, RGB or RGBA."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png(width, height, depth=16, color_type=color_type, rows=rows, extra=extra)


def deep_tiff(
    pixels: NDArray[np.uint16],
    *,
    photometric: int = 2,
    extra_sample: int | None = None,
    orientation: int = 1,
    big_endian: bool = False,
    more_tags: Mapping[int, bytes] | None = None,
) -> bytes:
    """(H, W, C) as an uncompressed TIFF of 16 bits; `more_tags` are of undefined type."""
    order = ">" if big_endian else "<"
    height, width, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    shorts = {
        256: [width],
        257: [height],
        258: [16] * channels,
        259: [1],
        262: [photometric],
        274: [orientation],
        277: [channels],
        278: [height],
    }
    if extra_sample is not None:
        shorts[338] = [extra_sample]
    values = {
        tag: (3, len(numbers), struct.pack(f"{order}{len(numbers)}H", *numbers))
        for tag, numbers in shorts.items()
    }
    values[279] = (4, 1, struct.pack(f"{order}I", len(data)))
    values |= {tag: (7, len(value), value) for tag, value in (more_tags or {}).items()}
    behind = 8 + 2 + 12 * (len(values) + 1) + 4
    stored = b""
    entries = b""
    values[273] = (4, 1, b"")  # where the pixels begin: known at the end
    for tag, (kind, count, value) in sorted(values.items()):
        if tag == 273:
            size = sum(len(each) + len(each) % 2 for _, _, each in values.values() if len(each) > 4)
            value = struct.pack(f"{order}I", behind + size)
        elif len(value) > 4:
            place = behind + len(stored)
            stored += value + bytes(len(value) % 2)
            value = struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
    signature = b"MM\0*" if big_endian else b"II*\0"
    start = struct.pack(f"{order}IH", 8, len(values))
    return signature + start + entries + bytes(4) + stored + data


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """A display's ICC profile, version 2."""
    tags = {b"wtpt": _xyz(WHITE_D50), **tags}
    table, body = b"", b""
    behind = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", behind + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4xI", behind + len(body), 0x02400000) + b"mntr" + space + b"XYZ "
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _numbers(WHITE_D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _numbers(values: Sequence[float]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(color: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _numbers(color)


def _curve(curve: float | Sequence[float]) -> bytes:
    if isinstance(curve, float):
        return b"curv" + struct.pack(">4xIH2x", 1, round(curve * 256))
    return b"para" + struct.pack(">4xH2x", 3) + _numbers(curve)
