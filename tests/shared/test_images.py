"""Pictures: all usual kinds are read rightly, hostile ones refused before they cost anything."""

import contextlib
import io
import resource
import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.errors import ImpastoError, InvalidImage, UnsupportedMedia
from shared.images import ImageLimits, check_image, decode_image
from tests.shared.pictures import (
    NOT_IMAGES,
    RED,
    UNUSABLE,
    chunk,
    encoded,
    header_bomb,
    many_pages,
    many_scans,
    picture,
    png,
)
from tests.shared.strategies import patient

# Red above, blue below, twice as wide as high.
FLAG = Image.new("RGB", (64, 32), RED)
FLAG.paste((0, 0, 255), (0, 16, 64, 32))


def near(color: object, expected: tuple[int, int, int], tolerance: int = 12) -> bool:
    assert isinstance(color, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(color, expected, strict=True))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_readable_kind_gives_the_picture(kind: str) -> None:
    image = decode_image(encoded(FLAG, kind))
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert near(image.getpixel((5, 4)), RED)
    assert near(image.getpixel((5, 28)), (0, 0, 255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_s_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(FLAG, "JPEG", quality=95, exif=exif))

    assert image.size == ((64, 32) if orientation < 5 else (32, 64))
    # Where the upper half of the stored picture is seen.
    red_edge = {1: "top", 2: "top", 3: "bottom", 4: "bottom"}
    red_edge |= {5: "left", 6: "right", 7: "right", 8: "left"}
    middle_x, middle_y = image.width // 2, image.height // 2
    edges = {
        "top": (middle_x, 2),
        "bottom": (middle_x, image.height - 3),
        "left": (2, middle_y),
        "right": (image.width - 3, middle_y),
    }
    assert near(image.getpixel(edges[red_edge[orientation]]), RED)
    assert "exif" not in image.info


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("JPEG", "CMYK", RED),
        ("TIFF", "CMYK", RED),
        ("TIFF", "LAB", RED),
        ("TIFF", "YCbCr", RED),
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
    image = decode_image(encoded(source, kind))
    assert image.mode == "RGB"
    assert near(image.getpixel((9, 9)), expected)


def test_transparency_is_laid_on_white() -> None:
    half = Image.new("RGBA", (32, 32), (255, 0, 0, 128))
    half.paste((0, 0, 0, 0), (0, 0, 32, 8))
    for kind in ("PNG", "WEBP"):
        image = decode_image(encoded(half, kind, **({"lossless": True} if kind == "WEBP" else {})))
        assert image.getpixel((4, 4)) == (255, 255, 255)
        assert near(image.getpixel((4, 20)), (255, 127, 127), tolerance=1)


def test_a_transparent_colour_of_a_palette_is_laid_on_white() -> None:
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(0, (0, 0, 32, 8))
    image = decode_image(encoded(palette, "PNG", transparency=0))
    assert image.getpixel((4, 4)) == (255, 255, 255)
    assert image.getpixel((4, 20)) == RED


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    image = decode_image(encoded(Image.fromarray(np.tile(ramp, (32, 1))), kind))
    row = np.array(image)[0, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 255
    assert np.abs(row - np.arange(256)).max() <= 1


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_of_any_colour_type_is_read(color_type: int, channels: int) -> None:
    row = b"\0" + struct.pack(">H", 0x8080) * (32 * channels)
    image = decode_image(png(32, 32, depth=16, color_type=color_type, rows=row * 32))
    opaque = color_type in (0, 2)
    # Half transparent on white: half of 128 and half of 255.
    assert near(image.getpixel((3, 3)), (128,) * 3 if opaque else (191,) * 3, tolerance=1)


@pytest.mark.parametrize("color_type", [0, 2])
def test_a_transparent_colour_beyond_eight_bits_does_no_harm(color_type: int) -> None:
    channels = 1 if color_type == 0 else 3
    row = b"\0" + struct.pack(">H", 0x4040) * (32 * channels)
    key = chunk(b"tRNS", struct.pack(">H", 0xC0DE) * channels)
    image = decode_image(png(32, 32, depth=16, color_type=color_type, rows=row * 32, extra=key))
    assert near(image.getpixel((3, 3)), (64, 64, 64), tolerance=1)


def test_a_phone_s_photograph_with_a_second_picture_behind_it_is_read() -> None:
    data = encoded(FLAG, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 32), "lime")])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert near(decode_image(data).getpixel((5, 4)), RED)


def test_corrupt_exif_does_not_spoil_the_picture() -> None:
    data = encoded(FLAG, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert decode_image(data).size == (64, 32)


def test_a_corrupt_colour_profile_does_not_spoil_the_picture() -> None:
    assert decode_image(png(extra=chunk(b"iCCP", b"k\0\0garbage"))).size == (32, 32)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bytes_after_the_picture_are_ignored(kind: str) -> None:
    assert decode_image(encoded(FLAG, kind) + b"\0trailing" * 100).size == (64, 32)


def test_metadata_is_dropped() -> None:
    profile = b"\0" * 128
    image = decode_image(encoded(FLAG, "PNG", icc_profile=profile, dpi=(300, 300)))
    assert image.info == {}


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_no_image_of_a_known_kind_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="expected one of JPEG, PNG, WEBP, TIFF"):
        check_image(data)


@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_an_image_that_cannot_be_used_is_refused_within_a_moment(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InvalidImage):
        check_image(data)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", ["header bomb", "TIFF with a huge tile", "zTXt bomb", "ICC bomb"])
def test_a_bomb_takes_no_memory(name: str) -> None:
    data = UNUSABLE[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidImage):
        check_image(data)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 64


def test_the_limits_are_checked_before_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    for data in (png(10_000, 6_000, rows=b""), picture(size=(15, 64)), picture(size=(16, 513))):
        with pytest.raises(InvalidImage, match=r"\d+ x \d+ px"):
            check_image(data)
    with pytest.raises(InvalidImage, match="more pixels"):
        check_image(header_bomb())


def test_the_limits_are_those_that_were_given() -> None:
    data = picture(size=(100, 50))
    assert decode_image(data, ImageLimits(min_side_px=50, max_side_px=100, max_pixels=5000))
    for limits in (
        ImageLimits(min_side_px=51),
        ImageLimits(max_side_px=99),
        ImageLimits(max_pixels=4999),
        ImageLimits(max_aspect_ratio=1.9),
    ):
        with pytest.raises(InvalidImage):
            decode_image(data, limits)


def test_a_usual_progressive_jpeg_and_a_tiled_tiff_are_read() -> None:
    assert decode_image(many_scans(20)).size == (512, 512)
    assert decode_image(encoded(FLAG, "TIFF", compression="tiff_deflate")).size == (64, 32)


def test_pages_are_not_counted_to_refuse_a_file_of_many() -> None:
    started = time.process_time()
    with pytest.raises(InvalidImage, match="several pages"):
        decode_image(many_pages(20_000))
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused_rather_than_guessed_at(mode: str) -> None:
    with pytest.raises(InvalidImage, match="send one of 8 or 16 bits"):
        check_image(encoded(Image.new(mode, (32, 32)), "TIFF"))


SOUND = [picture(kind, (40, 30)) for kind in ("PNG", "JPEG", "WEBP", "TIFF")]


@patient
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 40),
)
def test_damaged_bytes_give_a_picture_or_our_error(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(data[: len(data) - cut])
    for position, value in changes:
        damaged[position % len(damaged)] = value
    with contextlib.suppress(ImpastoError):
        assert decode_image(bytes(damaged)).mode == "RGB"
