"""Pictures: all usual kinds are read rightly, hostile ones refused before they cost anything."""

import contextlib
import io
import resource
import struct
import time
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from shared.errors import ImpastoError, InvalidImage, UnsupportedMedia
from shared.images import ImageLimits, check_image, decoded, upright
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


def size(data: bytes) -> tuple[int, int]:
    with decoded(data) as image:
        return image.size


def test_a_phone_s_photograph_with_a_second_picture_behind_it_is_read() -> None:
    data = encoded(FLAG, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 32), "lime")])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    with decoded(data) as image:
        red, green, blue = image.convert("RGB").getpixel((5, 4))
    assert red > 200 > 50 > max(green, blue)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_shape_is_that_of_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    shape = check_image(encoded(FLAG, "JPEG", exif=exif))
    assert shape == ((32, 64) if orientation < 5 else (64, 32))


def test_corrupt_exif_does_not_spoil_the_picture() -> None:
    data = encoded(FLAG, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert size(data) == (64, 32)


def test_a_corrupt_colour_profile_does_not_spoil_the_picture() -> None:
    assert size(png(extra=chunk(b"iCCP", b"k\0\0garbage"))) == (32, 32)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bytes_after_the_picture_are_ignored(kind: str) -> None:
    assert size(encoded(FLAG, kind) + b"\0trailing" * 100) == (64, 32)


def test_a_film_behind_a_photograph_is_not_taken_for_its_scans() -> None:
    film = b"\xff\xda" * 1000  # as any long run of bytes has them by chance
    assert check_image(encoded(FLAG, "JPEG") + film) == (32, 64)


def test_a_jpeg_of_scans_in_its_thumbnail_is_read() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff\xda" * 1000
    assert check_image(encoded(FLAG, "JPEG", exif=exif)) == (32, 64)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("missing", [3, 100, 0.5])
def test_a_truncated_jpeg_is_found_though_it_is_checked_at_an_eighth_of_its_size(
    options: dict[str, object], mode: str, missing: float
) -> None:
    noise = Image.effect_noise((256, 256), 90).convert(mode)
    data = encoded(noise, "JPEG", **options)
    assert check_image(data) == (256, 256)
    cut = int(missing if missing > 1 else missing * len(data))
    with pytest.raises(InvalidImage, match="truncated"):
        check_image(data[:-cut])


def test_a_jpeg_is_checked_in_less_memory_than_its_pixels_take() -> None:
    asked: list[int] = []

    @contextlib.contextmanager
    def room(size_bytes: int) -> Iterator[None]:
        asked.append(size_bytes)
        yield

    image = Image.new("RGB", (1000, 1000))
    check_image(encoded(image, "JPEG"), room=room)
    check_image(encoded(image, "JPEG", progressive=True), room=room)
    check_image(encoded(image, "WEBP"), room=room)
    assert asked == [100_000, 6_100_000, 16_000_000]


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
    check_image(data, ImageLimits(min_side_px=50, max_side_px=100, max_pixels=5000))
    for limits in (
        ImageLimits(min_side_px=51),
        ImageLimits(max_side_px=99),
        ImageLimits(max_pixels=4999),
        ImageLimits(max_aspect_ratio=1.9),
    ):
        with pytest.raises(InvalidImage):
            check_image(data, limits)


def test_a_usual_progressive_jpeg_and_a_tiled_tiff_are_read() -> None:
    assert size(many_scans(20)) == (512, 512)
    assert size(encoded(FLAG, "TIFF", compression="tiff_deflate")) == (64, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright_though_its_exif_cannot_be_written_anew(
    orientation: int,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = encoded(FLAG, "PNG", exif=exif)
    with decoded(turned) as image:
        sound = upright(image)
        image.getexif()[0x010E] = object()
        spoilt = upright(image)
    assert sound.size[::-1] == spoilt.size[::-1] == check_image(turned)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(turned)))
    assert sound.tobytes() == spoilt.tobytes() == expected.tobytes()


@pytest.mark.parametrize("at", [26, 27, 28], ids=["compression", "filters", "interlacing"])
def test_a_png_of_an_unknown_method_is_refused(at: int) -> None:
    data = bytearray(picture())
    data[at] = 2
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(InvalidImage):
        check_image(bytes(data))


@pytest.mark.parametrize("change", [(0, 9999), (2, 2), (4, 2)], ids=["missing", "text", "two"])
def test_a_tiff_that_only_pillow_would_read_is_refused(change: tuple[int, int]) -> None:
    """Of 16 bits, since libvips reads those in a worker, and needs to be told what pixels mean."""
    data = bytearray(encoded(Image.new("I;16", (32, 32), 40_000), "TIFF"))
    assert check_image(bytes(data)) == (32, 32)
    photometric = data.index(struct.pack("<HH", 262, 3))
    struct.pack_into("<H", data, photometric + change[0], change[1])
    with pytest.raises(InvalidImage):
        check_image(bytes(data))


def test_pages_are_not_counted_to_refuse_a_file_of_many() -> None:
    started = time.process_time()
    with pytest.raises(InvalidImage, match="several pages"):
        check_image(many_pages(20_000))
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
        check_image(bytes(damaged))
