"""Pictures in and out: every kind of file is read in its own colours, and written to last."""

import contextlib
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from torch import Tensor

from shared.errors import ImpastoError, InvalidImage, UnsupportedMedia
from shared.images import ImageLimits
from shared.parameters import Output
from tests.shared.pictures import NOT_IMAGES, RED, UNUSABLE, chunk, encoded, png
from tests.shared.strategies import patient
from tests.worker.files import (
    ADOBE_RGB,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    SRGB_CURVE,
    deep_png,
    deep_tiff,
    gray_profile,
    rgb_profile,
)
from worker.pictures import (
    encode_picture,
    read_mask,
    read_metadata,
    read_picture,
)

BLUE = (0, 0, 255)
# Red above, blue below, twice as wide as high.
FLAG = Image.new("RGB", (64, 32), RED)
FLAG.paste(BLUE, (0, 16, 64, 32))
DEEP_FLAG = np.array(FLAG).astype(np.uint16) * 257
ICC_PROFILE, ORIENTATION = 34675, 274

LOSSLESS = [("png", 8), ("png", 16), ("tiff", 8), ("tiff", 16)]
WRITABLE = [*LOSSLESS, ("jpeg", 8), ("webp", 8)]


def output(kind: str, bit_depth: int = 8, quality: int = 92) -> Output:
    return Output.model_validate({"format": kind, "bit_depth": bit_depth, "quality": quality})


def color_at(pixels: Tensor, x: int, y: int) -> list[float]:
    """In 8-bit units."""
    return (pixels[:, y, x] * 255).tolist()


def near(color: list[float], expected: tuple[float, ...], tolerance: float = 1.0) -> bool:
    return color == pytest.approx(list(expected), abs=tolerance)


def deep(color: tuple[float, ...], size: int = 32) -> np.ndarray:
    """A picture of one colour, given in [0, 1]."""
    values = np.round(np.array(color) * 65535).astype(np.uint16)
    return np.broadcast_to(values, (size, size, len(color)))


def profile_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))


# Reading: kinds of files


def test_a_picture_much_larger_than_it_is_needed_is_read_smaller() -> None:
    ramp = np.tile(np.linspace(0, 255, 900).astype(np.uint8), (301, 1))
    file = encoded(Image.fromarray(ramp), "PNG")
    whole, small = read_picture(file), read_picture(file, size=64)
    assert whole.pixels.shape == (3, 301, 900)
    assert small.pixels.shape == (3, 2 * round(301 * 64 / 900), 128)
    assert (small.pixels[0, 20, 60:68].mean() - 0.5).abs() < 0.01
    assert read_picture(file, size=450).pixels.equal(whole.pixels)
    assert read_mask(file, size=64).shape == (42, 128)
    cut_out = encoded(Image.fromarray(np.dstack([ramp] * 4)), "PNG")
    alpha = read_picture(cut_out, size=64).alpha
    assert alpha is not None
    assert alpha.shape == (42, 128)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_readable_kind_gives_the_picture(kind: str) -> None:
    picture = read_picture(encoded(FLAG, kind))
    assert (picture.pixels.shape, picture.pixels.dtype) == ((3, 32, 64), torch.float32)
    assert picture.pixels.is_contiguous()
    assert picture.alpha is None
    assert near(color_at(picture.pixels, 5, 4), RED, tolerance=12)
    assert near(color_at(picture.pixels, 5, 28), BLUE, tolerance=12)


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("JPEG", "CMYK", RED),
        ("TIFF", "CMYK", RED),
        ("TIFF", "LAB", RED),
        ("TIFF", "YCbCr", RED),
        ("TIFF", "RGBX", RED),
        ("TIFF", "P", RED),
        ("TIFF", "1", (0, 0, 0)),
        ("PNG", "P", RED),
        ("PNG", "L", (76, 76, 76)),
        ("JPEG", "L", (76, 76, 76)),
        ("PNG", "LA", (76, 76, 76)),
        ("PNG", "RGBA", RED),
        ("PNG", "1", (0, 0, 0)),
    ],
)
def test_every_colour_mode_becomes_rgb(
    kind: str, mode: str, expected: tuple[int, int, int]
) -> None:
    source = Image.new("RGB", (32, 32), RED).convert(mode, dither=Image.Dither.NONE)
    picture = read_picture(encoded(source, kind))
    assert near(color_at(picture.pixels, 9, 9), expected, tolerance=6)
    assert picture.alpha is None


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_gray_png_reaches_from_black_to_white_at_any_depth(depth: int) -> None:
    rows = (b"\0" + b"\0" * (2 * depth) + b"\xff" * (2 * depth)) * 32
    picture = read_picture(png(32, 32, depth=depth, rows=rows))
    assert near(color_at(picture.pixels, 0, 0), (0, 0, 0), tolerance=0)
    assert near(color_at(picture.pixels, 31, 0), (255, 255, 255), tolerance=0)


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if kind == "PNG of 16 bits":
        return deep_png(DEEP_FLAG, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    if kind == "TIFF of 16 bits":
        return deep_tiff(DEEP_FLAG, orientation=orientation)
    return encoded(FLAG, kind, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "TIFF", "PNG of 16 bits", "TIFF of 16 bits"]
)
def test_the_camera_s_orientation_is_applied(kind: str, orientation: int) -> None:
    pixels = read_picture(turned(kind, orientation)).pixels
    height, width = pixels.shape[1:]
    assert (width, height) == ((64, 32) if orientation < 5 else (32, 64))
    # Where the upper half of the stored picture is seen.
    red_edge = {1: "top", 2: "top", 3: "bottom", 4: "bottom"}
    red_edge |= {5: "left", 6: "right", 7: "right", 8: "left"}
    edges = {
        "top": (width // 2, 2),
        "bottom": (width // 2, height - 3),
        "left": (2, height // 2),
        "right": (width - 3, height // 2),
    }
    assert near(color_at(pixels, *edges[red_edge[orientation]]), RED, tolerance=12)


def test_a_phone_s_photograph_with_a_second_picture_behind_it_is_read() -> None:
    data = encoded(FLAG, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 32), "lime")])
    assert near(color_at(read_picture(data).pixels, 5, 4), RED, tolerance=12)


# Reading: 16 bits


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF, big-endian"])
def test_sixteen_bits_are_kept(kind: str, channels: int) -> None:
    every_value = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(channels, axis=2)
    if kind == "PNG":
        data = deep_png(every_value)
    else:
        photometric = 1 if channels == 1 else 2
        big_endian = kind.endswith("big-endian")
        data = deep_tiff(every_value, photometric=photometric, big_endian=big_endian)
    pixels = read_picture(data).pixels
    for channel in pixels:
        assert torch.equal(channel.flatten(), torch.arange(65536) / 65535)


def test_sixteen_bits_of_transparency_are_kept() -> None:
    half = 0x8001 / 0xFFFF
    sources = {
        "PNG, gray": deep_png(deep((half, half))),
        "PNG": deep_png(deep((half, half, half, half))),
        "TIFF": deep_tiff(deep((half, half, half, half)), extra_sample=2),
        "TIFF, multiplied": deep_tiff(deep((half**2,) * 3 + (half,)), extra_sample=1),
    }
    for kind, data in sources.items():
        picture = read_picture(data)
        assert picture.alpha is not None, kind
        assert picture.alpha[3, 3].item() == pytest.approx(half, abs=1e-6), kind
        expected = 255 * (half * half + 1 - half)
        assert near(color_at(picture.pixels, 3, 3), (expected,) * 3, tolerance=0.01), kind


def test_a_channel_that_a_tiff_does_not_explain_is_no_transparency() -> None:
    picture = read_picture(deep_tiff(deep((0.25, 0.5, 0.75, 0.1)), extra_sample=0))
    assert picture.alpha is None
    assert near(color_at(picture.pixels, 3, 3), (63.75, 127.5, 191.25), tolerance=0.01)


def test_a_tiff_whose_zero_is_white_is_no_negative() -> None:
    picture = read_picture(deep_tiff(deep((0.75,)), photometric=0))
    assert near(color_at(picture.pixels, 3, 3), (63.75,) * 3, tolerance=0.01)


def test_a_cmyk_tiff_of_sixteen_bits_is_read() -> None:
    picture = read_picture(deep_tiff(deep((0.0, 0.5, 1.0, 0.5)), photometric=5))
    assert near(color_at(picture.pixels, 3, 3), (127.5, 63.75, 0), tolerance=0.01)


def test_a_file_that_two_readers_see_differently_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limits were checked on what the other one saw."""
    large = deep_tiff(deep((0.5, 0.5, 0.5), size=64))
    load = pyvips.Image.tiffload_buffer
    monkeypatch.setattr(pyvips.Image, "tiffload_buffer", lambda _: load(large), raising=False)
    with pytest.raises(InvalidImage, match="contradicts itself"):
        read_picture(deep_tiff(DEEP_FLAG))


# Reading: colour profiles


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("primaries", "curve", "color"),
    [
        # #009900, and for ProPhoto #008000: by Lindbloom's matrices for Adobe RGB, and as the CSS
        # Color tests of the web platform have them.
        (ADOBE_RGB, 563 / 256, (0.335827, 0.594416, 0.139344)),
        (DISPLAY_P3, SRGB_CURVE, (0.26374, 0.59085, 0.16434)),
        (PROPHOTO, 1.8, (0.230479, 0.395789, 0.129968)),
        (SRGB, SRGB_CURVE, (0.0, 0.6, 0.0)),
    ],
    ids=["Adobe RGB", "Display P3", "ProPhoto", "sRGB"],
)
def test_a_colour_of_another_space_is_the_same_colour_in_srgb(
    primaries: tuple[tuple[float, ...], ...],
    curve: float | tuple[float, ...],
    color: tuple[float, ...],
    bits: int,
) -> None:
    profile = rgb_profile(primaries, curve)
    green = (0, 128 if primaries is PROPHOTO else 153, 0)
    if bits == 16:
        sources = [
            deep_png(deep(color), profile_chunk(profile)),
            deep_tiff(deep(color), more_tags={ICC_PROFILE: profile}),
        ]
        tolerance = 1.5
    else:
        image = Image.new("RGB", (32, 32), tuple(round(255 * value) for value in color))
        sources = [
            encoded(image, "PNG", icc_profile=profile),
            encoded(image, "TIFF", icc_profile=profile),
            encoded(image, "WEBP", icc_profile=profile, lossless=True),
        ]
        tolerance = 8  # 8 bits of a wide space are coarse in the darkest channels
    for data in sources:
        assert near(color_at(read_picture(data).pixels, 5, 5), green, tolerance=tolerance)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_profile_with_red_and_blue_exchanged_exchanges_them(kind: str) -> None:
    profile = rgb_profile((SRGB[2], SRGB[1], SRGB[0]), SRGB_CURVE)
    pixels = read_picture(encoded(FLAG, kind, icc_profile=profile)).pixels
    assert near(color_at(pixels, 5, 4), BLUE, tolerance=12)
    assert near(color_at(pixels, 5, 28), RED, tolerance=12)


def test_a_wide_space_keeps_its_shades_at_sixteen_bits() -> None:
    ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64, 1).repeat(3, axis=2)
    data = deep_png(ramp, profile_chunk(rgb_profile(PROPHOTO, 461 / 256)))
    gray = read_picture(data).pixels[1].flatten()
    linear = torch.linspace(0, 1, 4096) ** (461 / 256)
    expected = torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    off = (gray - expected).abs() * 255
    assert off.max() < 1.5  # LittleCMS's curves are tables, coarse next to black
    assert off[300:].max() < 0.25
    assert (gray.diff() > 0).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PNG of 16 bits"])
def test_a_gray_picture_has_a_profile_too(kind: str) -> None:
    """Half of the light, which sRGB encodes as 188."""
    profile = gray_profile(1.0)
    if kind == "PNG of 16 bits":
        data = deep_png(deep((0.5,)), profile_chunk(profile))
    else:
        data = encoded(Image.new("L", (32, 32), 128), kind, icc_profile=profile)
    assert near(color_at(read_picture(data).pixels, 5, 5), (188, 188, 188), tolerance=1.5)


def test_transparency_and_a_profile_go_together() -> None:
    profile = rgb_profile((SRGB[2], SRGB[1], SRGB[0]), SRGB_CURVE)
    half = Image.new("RGBA", (32, 32), (255, 0, 0, 51))
    shades = Image.new("LA", (32, 32), (128, 51))
    for data, expected in (
        (encoded(half, "PNG", icc_profile=profile), (204, 204, 255)),
        (deep_png(deep((1.0, 0.0, 0.0, 0.2)), profile_chunk(profile)), (204, 204, 255)),
        (encoded(shades, "PNG", icc_profile=gray_profile(1.0)), (241.6,) * 3),
    ):
        picture = read_picture(data)
        assert picture.alpha is not None
        assert picture.alpha[3, 3].item() == pytest.approx(0.2, abs=1e-4)
        assert near(color_at(picture.pixels, 3, 3), expected)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "TIFF of 16 bits"])
@pytest.mark.parametrize("inks", [(0, 0, 0, 0), (0, 200, 180, 20), (90, 30, 0, 100)])
def test_the_inks_of_a_cmyk_picture_are_those_of_its_profile(
    kind: str, inks: tuple[int, int, int, int]
) -> None:
    profile = pyvips.Image.profile_load("cmyk")
    image = Image.new("CMYK", (32, 32), inks)
    if kind == "TIFF of 16 bits":
        pixels = deep(tuple(ink / 255 for ink in inks))
        data = deep_tiff(pixels, photometric=5, more_tags={ICC_PROFILE: profile})
    else:
        quality = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
        data = encoded(image, kind, icc_profile=profile, **quality)
    by_pillow = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert by_pillow is not None
    expected = by_pillow.getpixel((5, 5))
    assert isinstance(expected, tuple)
    assert near(color_at(read_picture(data).pixels, 5, 5), expected, tolerance=3)
    assert not near(list(expected), image.convert("RGB").getpixel((5, 5)), 3) or inks == (0,) * 4


@pytest.mark.parametrize(
    "profile",
    [b"garbage" * 40, rgb_profile(SRGB, 2.2)[:200], gray_profile(1.0), bytes(128)],
    ids=["no profile", "half a profile", "a gray picture's", "zeros"],
)
def test_a_profile_that_cannot_be_used_is_ignored(
    profile: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    for data in (
        encoded(FLAG, "PNG", icc_profile=profile),
        encoded(FLAG, "TIFF", icc_profile=profile),
        encoded(FLAG, "WEBP", icc_profile=profile, lossless=True),
        deep_png(DEEP_FLAG, profile_chunk(profile)),
        deep_tiff(DEEP_FLAG, more_tags={ICC_PROFILE: profile}),
    ):
        pixels = read_picture(data).pixels
        assert near(color_at(pixels, 5, 4), RED)
        assert near(color_at(pixels, 5, 28), BLUE)
    assert capfd.readouterr() == ("", "")


def test_corrupt_exif_does_not_spoil_the_picture() -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff garbage"
    assert read_picture(encoded(FLAG, "JPEG", exif=exif)).pixels.shape == (3, 32, 64)
    corrupt = deep_png(DEEP_FLAG, chunk(b"eXIf", exif[6:]))
    assert read_picture(corrupt).pixels.shape == (3, 32, 64)


# Reading: transparency


def half_transparent() -> Image.Image:
    """Nothing above, and a black that would show; half of red below."""
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 128))
    image.paste((0, 0, 0, 0), (0, 0, 32, 8))
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_kept_and_laid_on_white(kind: str) -> None:
    lossless = {"lossless": True} if kind == "WEBP" else {}
    picture = read_picture(encoded(half_transparent(), kind, **lossless))
    assert picture.alpha is not None
    assert (picture.alpha.shape, picture.alpha.dtype) == ((32, 32), torch.float32)
    assert picture.alpha[4, 4] == 0
    assert picture.alpha[20, 4] == pytest.approx(128 / 255)
    assert near(color_at(picture.pixels, 4, 4), (255, 255, 255), tolerance=0)
    assert near(color_at(picture.pixels, 4, 20), (255, 127, 127))


def test_transparent_colours_and_palettes_are_transparent() -> None:
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(0, (0, 0, 32, 8))
    rgb = palette.convert("RGB")
    gray = rgb.convert("L")
    deep_rgb = np.array(rgb).astype(np.uint16) * 257
    deep_gray = np.array(gray).astype(np.uint16)[:, :, None] * 257
    for data in (
        encoded(palette, "PNG", transparency=0),
        encoded(palette, "PNG", transparency=b"\0\xff"),
        encoded(rgb, "PNG", transparency=(0, 0, 0)),
        encoded(gray, "PNG", transparency=0),
        deep_png(deep_rgb, chunk(b"tRNS", bytes(6))),
        deep_png(deep_gray, chunk(b"tRNS", bytes(2))),
    ):
        picture = read_picture(data)
        assert picture.alpha is not None
        assert (picture.alpha[4, 4], picture.alpha[20, 4]) == (0, 1)
        assert near(color_at(picture.pixels, 4, 4), (255, 255, 255), tolerance=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_beyond_eight_bits_matches_all_sixteen(channels: int) -> None:
    pixels = np.full((32, 32, channels), 0x4040, np.uint16)
    pixels[:8] += 1  # another colour, though the same in 8 bits
    key = chunk(b"tRNS", struct.pack(">H", 0x4041) * channels)
    picture = read_picture(deep_png(pixels, key))
    assert picture.alpha is not None
    assert (picture.alpha[4, 4], picture.alpha[20, 4]) == (0, 1)


def test_a_picture_in_which_nothing_is_transparent_has_no_alpha() -> None:
    assert read_picture(encoded(FLAG.convert("RGBA"))).alpha is None
    assert read_picture(deep_png(deep((0.2, 0.4, 0.6, 1.0)))).alpha is None


# Masks


def test_a_mask_is_the_lightness_of_its_picture() -> None:
    for mode, lightness in (("1", 1), ("L", 1), ("RGB", 1)):
        white = Image.new(mode, (32, 32), "white")
        white.paste("black", (0, 0, 32, 8))
        mask = read_mask(encoded(white))
        assert (mask.shape, mask.dtype) == ((32, 32), torch.float32)
        assert (mask[4, 4], mask[20, 4]) == (0, pytest.approx(lightness))
    assert read_mask(deep_png(deep((0.2501,))))[3, 3] == pytest.approx(0.2501, abs=1e-5)
    green, blue = (read_mask(encoded(Image.new("RGB", (32, 32), c))) for c in ("lime", "blue"))
    assert green[0, 0] > 0.6 > 0.1 > blue[0, 0]


def test_what_is_transparent_in_a_mask_counts_less() -> None:
    image = Image.new("LA", (32, 32), (255, 51))
    image.paste((255, 0), (0, 0, 32, 8))
    mask = read_mask(encoded(image))
    assert mask[4, 4] == 0
    assert mask[20, 4] == pytest.approx(0.2)


# Hostile files


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_no_image_of_a_known_kind_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="expected one of JPEG, PNG, WEBP, TIFF"):
        read_picture(data)


@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_an_image_that_cannot_be_used_is_refused(data: bytes) -> None:
    for read in (read_picture, read_mask):
        with pytest.raises(InvalidImage):
            read(data)


def test_sixteen_bits_are_read_within_the_limits() -> None:
    limits = ImageLimits(max_side_px=48)
    for data in (deep_png(DEEP_FLAG), deep_tiff(DEEP_FLAG)):
        with pytest.raises(InvalidImage, match="64 x 32 px"):
            read_picture(data, limits)
    for data in (deep_png(DEEP_FLAG)[:-60], deep_tiff(DEEP_FLAG)[:-60]):
        with pytest.raises(InvalidImage):
            read_picture(data)


PROFILE = rgb_profile(ADOBE_RGB, 2.2)
DAMAGEABLE = [
    deep_png(DEEP_FLAG, profile_chunk(PROFILE)),
    deep_tiff(DEEP_FLAG, more_tags={ICC_PROFILE: PROFILE}),
    deep_tiff(deep((0.2, 0.4, 0.6, 0.8)), extra_sample=2),
    encoded(half_transparent(), "WEBP", icc_profile=PROFILE),
    encoded(FLAG, "JPEG", icc_profile=PROFILE),
    encoded(FLAG.convert("CMYK"), "TIFF", icc_profile=pyvips.Image.profile_load("cmyk")),
]


@patient
@given(
    st.sampled_from(DAMAGEABLE),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 40),
)
def test_damaged_bytes_give_a_picture_or_our_error(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(data[: len(data) - cut])
    for position, value in changes:
        damaged[position % len(damaged)] = value
    with contextlib.suppress(ImpastoError):
        pixels = read_picture(bytes(damaged)).pixels
        assert pixels.shape[0] == 3
        assert 0 <= pixels.min() <= pixels.max() <= 1


# Writing


def painted(bit_depth: int = 8, height: int = 24, width: int = 40, seed: int = 0) -> Tensor:
    kind = np.uint16 if bit_depth == 16 else np.uint8
    random = np.random.default_rng(seed)
    return torch.from_numpy(
        random.integers(0, 2**bit_depth, (height, width, 3), dtype=kind, endpoint=False)
    )


def as_pixels(painting: Tensor) -> Tensor:
    full = 65535 if painting.dtype == torch.uint16 else 255
    return painting.permute(2, 0, 1).to(torch.float32) / full


@pytest.mark.parametrize(("kind", "bit_depth"), WRITABLE)
def test_a_picture_is_written_as_asked(kind: str, bit_depth: int) -> None:
    smooth = torch.linspace(0, 1, 40).expand(3, 24, 40).permute(1, 2, 0)
    full = 65535 if bit_depth == 16 else 255
    painting = (smooth * full).round().to(torch.uint16 if bit_depth == 16 else torch.uint8)
    data = encode_picture(painting, output(kind, bit_depth))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == (kind.upper(), "RGB", (40, 24))
        profile = image.info["icc_profile"]
    assert pyvips.Image.new_from_buffer(data, "").format == {8: "uchar", 16: "ushort"}[bit_depth]
    name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert "sRGB" in name
    assert (read_picture(data).pixels - as_pixels(painting)).abs().max() < 0.04


@patient
@given(st.sampled_from(LOSSLESS), st.integers(16, 40), st.integers(16, 40), st.integers(0, 99))
def test_a_lossless_file_gives_back_every_value(
    kind: tuple[str, int], height: int, width: int, seed: int
) -> None:
    painting = painted(kind[1], height, width, seed)
    picture = read_picture(encode_picture(painting, output(*kind)))
    assert torch.equal(picture.pixels, as_pixels(painting))
    assert picture.alpha is None


@patient
@given(st.sampled_from(LOSSLESS), st.integers(0, 99))
def test_on_white_a_transparent_file_shows_what_was_painted(
    kind: tuple[str, int], seed: int
) -> None:
    painting = painted(kind[1], seed=seed)
    alpha = torch.rand(24, 40, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    picture = read_picture(encode_picture(painting, output(*kind), alpha=alpha))
    assert picture.alpha is not None
    step = 1 / (65535 if kind[1] == 16 else 255)
    assert (picture.alpha - alpha).abs().max() < step
    # Black cannot be painted on what white shines through.
    expected = torch.maximum(as_pixels(painting), 1 - alpha)
    assert (picture.pixels - expected).abs().max() < 2 * step


def test_a_transparent_picture_that_was_not_painted_on_comes_back_as_it_was() -> None:
    image = Image.new("RGBA", (32, 32), (40, 90, 200, 255))
    image.paste((0, 0, 0, 77), (0, 20, 32, 32))  # a shadow
    image.paste((255, 255, 255, 0), (0, 0, 32, 8))
    picture = read_picture(encoded(image))
    painting = (picture.pixels * 255).round().to(torch.uint8).permute(1, 2, 0)
    data = encode_picture(painting, output("png"), alpha=picture.alpha)
    difference = np.array(Image.open(io.BytesIO(data))).astype(int) - np.array(image)
    assert np.abs(difference).max() <= 2


def test_transparency_is_brought_to_the_size_of_the_result() -> None:
    alpha = torch.zeros(10, 10)
    alpha[:, 5:] = 1
    for kind in ("png", "webp", "tiff"):
        picture = read_picture(encode_picture(painted(), output(kind), alpha=alpha))
        assert picture.alpha is not None
        assert picture.alpha.shape == (24, 40)
        assert picture.alpha[:, :16].max() < 0.05
        assert picture.alpha[:, 24:].min() > 0.95


def test_jpeg_knows_no_transparency_and_shows_white_instead() -> None:
    alpha = torch.zeros(24, 40)
    alpha[:, 16:] = 1
    blue = torch.tensor([0, 0, 255], dtype=torch.uint8).expand(24, 40, 3)
    picture = read_picture(encode_picture(blue, output("jpeg"), alpha=alpha))
    assert picture.alpha is None
    assert near(color_at(picture.pixels, 4, 4), (255, 255, 255), tolerance=4)
    assert near(color_at(picture.pixels, 36, 4), BLUE, tolerance=4)


def test_quality_decides_how_large_a_jpeg_or_webp_is() -> None:
    for kind in ("jpeg", "webp"):
        rough, fine = (
            len(encode_picture(painted(8, 96, 96), output(kind, quality=quality)))
            for quality in (10, 95)
        )
        assert rough < fine / 2


def test_pixels_of_another_depth_than_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8 for an output of 16 bits"):
        encode_picture(painted(8), output("png", 16))


# Metadata

MANIFEST = json.dumps({"preset": "default", "seed": 7, "weights": "<oxford & co>", "é": "ß"})


@pytest.mark.parametrize(("kind", "bit_depth"), WRITABLE)
def test_what_was_written_into_a_picture_is_read_back(kind: str, bit_depth: int) -> None:
    painting = painted(bit_depth)
    data = encode_picture(painting, output(kind, bit_depth), metadata=MANIFEST)
    assert read_metadata(data) == MANIFEST
    plain = encode_picture(painting, output(kind, bit_depth))
    assert read_metadata(plain) is None
    assert torch.equal(read_picture(data).pixels, read_picture(plain).pixels)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@patient
@given(st.sampled_from(WRITABLE), JSON, st.sampled_from([None, 2]))
def test_any_json_survives_in_a_picture(
    kind: tuple[str, int], value: object, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent)
    data = encode_picture(painted(kind[1]), output(*kind), metadata=text)
    assert read_metadata(data) == text


@pytest.mark.parametrize(("kind", "bit_depth"), WRITABLE)
def test_other_programs_find_the_metadata_as_xmp(kind: str, bit_depth: int) -> None:
    data = encode_picture(painted(bit_depth), output(kind, bit_depth), metadata=MANIFEST)
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info["xmp"]
    root = ElementTree.fromstring(packet)  # noqa: S314 - written by ourselves
    texts = [element.text for element in root.iter() if element.text]
    assert texts == [texts[0], MANIFEST]
    assert texts[0].startswith("Impasto ")


def test_what_others_wrote_is_not_taken_for_ours() -> None:
    theirs = encode_picture(painted(), output("png"), metadata=MANIFEST).replace(
        b"Impasto ", b"Painter "
    )
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
    for data in (
        theirs,
        encoded(FLAG, "JPEG", xmp=b"<not xml"),
        encoded(FLAG, "JPEG", xmp=bomb),
        encoded(FLAG, "JPEG", comment=MANIFEST),
        *NOT_IMAGES.values(),
        *UNUSABLE.values(),
    ):
        assert read_metadata(data) is None


def test_metadata_that_does_not_fit_into_a_file_is_refused() -> None:
    for kind in ("png", "jpeg", "webp", "tiff"):
        fits = "x" * 50_000
        assert read_metadata(encode_picture(painted(), output(kind), metadata=fits)) == fits
        with pytest.raises(ValueError, match="metadata of"):
            encode_picture(painted(), output(kind), metadata="x" * 70_000)


# Processes

ENCODE_IN_A_CHILD = """
import hashlib, os
import torch
from shared.parameters import Output
from worker.pictures import encode_picture, read_picture

if os.fork() == 0:
    painting = torch.arange(3072).remainder(256).to(torch.uint8).reshape(32, 32, 3)
    files = [
        encode_picture(painting, Output(format=kind), metadata="{}")
        for kind in ("png", "jpeg", "webp", "tiff")
    ]
    for data in files:
        read_picture(data)
    print(hashlib.sha256(b"".join(files)).hexdigest(), flush=True)
    os._exit(0)
os.wait()
"""


def test_the_same_picture_gives_the_same_bytes_also_in_a_process_that_was_forked() -> None:
    result = subprocess.run(
        [sys.executable, "-c", ENCODE_IN_A_CHILD],
        env=os.environ | {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    painting = torch.arange(3072).remainder(256).to(torch.uint8).reshape(32, 32, 3)
    files = [
        encode_picture(painting, output(kind), metadata="{}")
        for kind in ("png", "jpeg", "webp", "tiff")
    ]
    assert result.stdout.strip() == hashlib.sha256(b"".join(files)).hexdigest()
