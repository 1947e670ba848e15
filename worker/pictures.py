"""Pictures between files and the engine: colours, depth, transparency, and what is written beside.

Pillow decodes, as for the API's check. libvips does what Pillow cannot: 16 bits per channel, and
colour at that depth; it also writes every kind of file. It only reads files that Pillow took.

libvips starts threads with its first operation, not when it is imported: a process may import this
module and fork, but must not fork after it read or wrote a picture.
"""

import contextlib
import io
import logging
import struct
import warnings
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from shared.errors import InvalidImage
from shared.images import DEFAULT_LIMITS, READABLE_FORMATS, ImageLimits, decoded, upright
from shared.levels import scaled_shape
from shared.parameters import Output
from worker.engine.pyramid import resize

# Lightness of a mask: Rec. 709, whose primaries sRGB has.
LUMA: Final = (0.2126, 0.7152, 0.0722)
# CSS Color 4, section 10: from XYZ under D50 to linear sRGB, adapted by Bradford's method.
WHITE_D50: Final = (0.96422, 1.0, 0.82521)
XYZ_D50_TO_SRGB: Final = (
    (3.1341359569958707, -1.6173863321612538, -0.4906619460083532),
    (-0.978795502912089, 1.916254567259524, 0.03344273116131949),
    (0.07195537988411677, -0.2289768264158322, 1.405386058324125),
)
# A JPEG segment holds 64 kB, and its limit is taken for all formats.
MAX_METADATA_BYTES: Final = 60_000
PIXELS_PER_MM: Final = 72 / 25.4  # 72 dpi, what programs take to mean nothing in particular

PNG_HEADER_BYTES: Final = 33  # the signature and the chunk IHDR, which comes first
PNG_DEPTH_AT: Final = 24  # bits per channel, in IHDR
TIFF_BITS_PER_SAMPLE, TIFF_EXTRA_SAMPLES = 258, 338
TIFF_UNSPECIFIED: Final = (0,)

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP: Final = "http://ns.adobe.com/xap/1.0/"
DUBLIN_CORE: Final = "http://purl.org/dc/elements/1.1/"
# The description that other programs show, and the tool that made the picture, as XMP has them:
# the one place for metadata that all four formats share.
XMP_PACKET: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{RDF}">'
    f'<rdf:Description rdf:about="" xmlns:dc="{DUBLIN_CORE}" xmlns:xmp="{XMP}">'
    "<xmp:CreatorTool>{software}</xmp:CreatorTool>"
    '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>'
    "</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
)

# What it warns of, such as corrupt metadata, is dealt with here or does not matter.
logging.getLogger("pyvips").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Picture:
    """What the engine paints from.

    Attributes:
        pixels: (3, H, W) float32 sRGB in [0, 1]; what is transparent lies on white.
        alpha: (H, W) float32 in [0, 1], 0 transparent; None if nothing is.
    """

    pixels: Tensor
    alpha: Tensor | None


def read_picture(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, size: int | None = None
) -> Picture:
    """Decode `data`, upright and in sRGB, with all bits that it has.

    Made smaller where its long side exceeds twice the `size` at which it will be looked at: a
    photograph of 50 megapixels takes 600 MB as floats, and a job may have many.

    Transparent pixels lie on white, as a page would show them: what colours a file keeps under
    full transparency is chance, often black, and the painting would take it for a picture.

    Raises:
        UnsupportedMedia: not a file of a known kind.
        InvalidImage: truncated, corrupt, animated, or outside `limits`.
    """
    colors, alpha = _read(data, limits)
    if alpha is None or bool((alpha == 1).all()):
        return Picture(_at_most(colors, size), None)
    on_white = colors * alpha + (1 - alpha)
    return Picture(_at_most(on_white, size), _at_most(alpha.unsqueeze(0), size).squeeze(0))


def read_mask(data: bytes, limits: ImageLimits = DEFAULT_LIMITS, size: int | None = None) -> Tensor:
    """The lightness of a picture, times its alpha if it has one: (H, W) float32 in [0, 1].

    Made smaller as by `read_picture`.

    Raises:
        UnsupportedMedia, InvalidImage: as `read_picture`.
    """
    colors, alpha = _read(data, limits)
    lightness = torch.einsum("c,chw->hw", torch.tensor(LUMA), colors).clamp_(0, 1)
    covered = lightness if alpha is None else lightness * alpha
    return _at_most(covered.unsqueeze(0), size).squeeze(0)


def encode_picture(
    pixels: Tensor, output: Output, *, alpha: Tensor | None = None, metadata: str | None = None
) -> bytes:
    """The file that `output` asks for, in sRGB. The same arguments give the same bytes.

    Args:
        pixels: (H, W, 3), uint8 or, for `output.bit_depth` 16, uint16. Where `alpha` is not 1, as
            painted on white.
        output: format, quality and depth.
        alpha: (h, w) in [0, 1], brought to the size of the picture. JPEG has none: white there.
        metadata: text for `read_metadata`, such as JSON, of characters that XML can hold.

    Raises:
        ValueError: the pixels have another depth than `output`, or the metadata is too long.
    """
    array = pixels.cpu().numpy()
    if array.dtype != (np.uint16 if output.bit_depth == 16 else np.uint8):
        raise ValueError(f"pixels of {array.dtype} for an output of {output.bit_depth} bits")
    if alpha is not None:
        array = _transparent(array, alpha, keep_alpha=output.format != "jpeg")
    image = pyvips.Image.new_from_array(
        array, interpretation="rgb16" if output.bit_depth == 16 else "srgb"
    ).copy(xres=PIXELS_PER_MM, yres=PIXELS_PER_MM)
    packet = b"" if metadata is None else _xmp_packet(metadata)
    if packet and output.format != "png":
        image.set_type(pyvips.GValue.blob_type, "xmp-data", packet)
    data = _save(image, output)
    # libvips compresses XMP in a PNG, where others expect it plain.
    return _with_png_text(data, packet) if packet and output.format == "png" else data


def read_metadata(data: bytes) -> str | None:
    """The text that `encode_picture` stored, or None where there is none of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=READABLE_FORMATS) as image:
                packet = image.info.get("xmp")
        return _described_by_us(packet) if isinstance(packet, bytes) else None
    except Exception:  # Pillow raises almost anything on hostile bytes
        return None


def to_image(picture: Tensor) -> Image.Image:
    """(H, W, 3) uint8 as a picture."""
    return Image.fromarray(picture.cpu().numpy())


def _read(data: bytes, limits: ImageLimits) -> tuple[Tensor, Tensor | None]:
    """Colours, (3, H, W) sRGB, as they are under `alpha`, (H, W)."""
    with decoded(data, limits) as image:
        profile = None if image.mode == "LAB" else image.info.get("icc_profile")
        source = _deep(image, data) if _is_deep(image, data) else _shallow(image)
        alpha = None
        if source.hasalpha():
            alpha = _channels(source[source.bands - 1])[0]
            source = source[: source.bands - 1]
        colors, space = _colors(source, profile)
    # Outside the block, which would take PyTorch's lack of memory for a corrupt picture.
    return _to_srgb(colors, space), alpha


def _at_most(image: Tensor, size: int | None) -> Tensor:
    """(C, H, W), made smaller if its long side exceeds twice the `size`.

    To exactly twice what it will be there, so that its shape at that size stays the same.
    """
    shape = (image.shape[1], image.shape[2])
    if size is None or max(shape) <= 2 * size:
        return image
    height, width = scaled_shape(shape, size)
    return resize(image, (2 * height, 2 * width))


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether the file has 16 bits per channel, of which Pillow keeps 8 in all but grays."""
    if image.format == "PNG":
        return data[PNG_DEPTH_AT] == 16
    return isinstance(image, TiffImageFile) and 16 in image.tag_v2.get(TIFF_BITS_PER_SAMPLE, ())


def _deep(image: Image.Image, data: bytes) -> pyvips.Image:
    """The picture of 16 bits per channel that `data` is and Pillow has decoded to `image`."""
    if isinstance(image, TiffImageFile):
        deep = pyvips.Image.tiffload_buffer(data)
        extra_samples = image.tag_v2.get(TIFF_EXTRA_SAMPLES)
    else:
        deep = pyvips.Image.pngload_buffer(data)
        extra_samples = None
    # Sorted, since Pillow turns some files upright on its own.
    if sorted((deep.width, deep.height)) != sorted(image.size) or deep.format != "ushort":
        raise InvalidImage("the image contradicts itself about its size or depth")
    if extra_samples == TIFF_UNSPECIFIED:  # libvips would take it for alpha
        deep = deep[: deep.bands - 1]
    return deep.autorot()


def _shallow(image: Image.Image) -> pyvips.Image:
    """A picture of 8 bits per channel, in its own colours: gray, RGB or CMYK."""
    image = upright(image)
    if image.mode in ("1", "L", "LA", "La"):
        image = image.convert("LA" if image.has_transparency_data else "L")
    elif image.mode != "CMYK":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    interpretation = {"L": "b-w", "LA": "b-w", "CMYK": "cmyk"}.get(image.mode, "srgb")
    return pyvips.Image.new_from_array(np.asarray(image), interpretation=interpretation)


def _colors(image: pyvips.Image, profile: bytes | None) -> tuple[Tensor, str]:
    """The channels of gray, RGB or CMYK, (C, H, W), and what they are: `lab`, `cmyk` or `srgb`."""
    # The profile that is attached here moves no colour; skipping it keeps values to the bit.
    if profile and profile != pyvips.Image.profile_load("srgb"):
        with contextlib.suppress(pyvips.Error):  # corrupt, or for another kind of pixels
            return _through_profile(image, profile), "lab"
    return _channels(image), "cmyk" if image.interpretation == "cmyk" else "srgb"


def _to_srgb(channels: Tensor, space: str) -> Tensor:
    """What `_colors` gave, as (3, H, W) sRGB."""
    if space == "lab":
        return _lab_to_srgb(channels)
    if space == "cmyk":  # without a profile, as browsers do
        return (1 - channels[:3]) * (1 - channels[3:])
    return channels.expand(3, -1, -1).contiguous()


def _through_profile(image: pyvips.Image, profile: bytes) -> Tensor:
    """The colours as CIELAB under D50, which is where profiles meet: (3, H, W)."""
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    lab = image.icc_import(
        embedded=True, pcs="lab", intent="relative", black_point_compensation=True
    )
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(lab.numpy(), 2, 0)))


def _lab_to_srgb(lab: Tensor) -> Tensor:
    """CIELAB under D50 as sRGB, (3, H, W); what sRGB cannot show is clipped.

    Not by LittleCMS: from 16 bits, its table of 33 points is off by 4 % in dark saturated colours.
    """
    lightness, a, b = (lab[0] + 16) / 116, lab[1] / 500, lab[2] / 200
    f = torch.stack((lightness + a, lightness, lightness - b))
    white = torch.tensor(WHITE_D50).view(3, 1, 1)
    xyz = white * torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = torch.einsum("rx,xhw->rhw", torch.tensor(XYZ_D50_TO_SRGB), xyz).clamp_(0, 1)
    return torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _channels(image: pyvips.Image) -> Tensor:
    """An image of integers as (C, H, W) float32 in [0, 1]."""
    array = np.atleast_3d(image.numpy())
    full = np.float32(np.iinfo(array.dtype).max)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 2, 0)) / full)


def _transparent(
    painted: NDArray[np.integer], alpha: Tensor, *, keep_alpha: bool
) -> NDArray[np.integer]:
    """(H, W, 3) as painted on white, with `alpha`: as (H, W, 4), or laid on white again.

    The colours are those that give the painting when they are laid on white, as far as there are
    any: what was painted where nothing may be seen is gone.
    """
    full = np.iinfo(painted.dtype).max
    shape = (painted.shape[0], painted.shape[1])
    cover = resize(alpha.cpu().to(torch.float32).unsqueeze(0), shape).permute(1, 2, 0).numpy()
    on_white = np.maximum(painted / np.float32(full), 1 - cover)
    if not keep_alpha:
        return _rounded(on_white, painted.dtype)
    colors = np.ones_like(on_white)
    np.divide(on_white - (1 - cover), cover, out=colors, where=cover > 0)
    return _rounded(np.concatenate((colors, cover), axis=2), painted.dtype)


def _rounded(values: NDArray[np.floating], dtype: np.dtype[np.integer]) -> NDArray[np.integer]:
    full = np.iinfo(dtype).max
    rounded: NDArray[np.integer] = np.clip(np.rint(values * full), 0, full).astype(dtype)
    return rounded


def _save(image: pyvips.Image, output: Output) -> bytes:
    attached = {"profile": "srgb", "keep": "icc:xmp"}
    if output.format == "png":
        data = image.pngsave_buffer(filter="all", **attached)
    elif output.format == "tiff":
        data = image.tiffsave_buffer(compression="deflate", predictor="horizontal", **attached)
    elif output.format == "webp":
        data = image.webpsave_buffer(Q=output.quality, **attached)
    else:
        data = image.jpegsave_buffer(Q=output.quality, optimize_coding=True, **attached)
    return bytes(data)


def _xmp_packet(text: str) -> bytes:
    software = f"Impasto {version('impasto')}"
    packet = XMP_PACKET.format(software=software, text=escape(text, {"\r": "&#13;"})).encode()
    if len(packet) > MAX_METADATA_BYTES:
        raise ValueError(f"metadata of {len(packet)} bytes: {MAX_METADATA_BYTES} fit into a file")
    return packet


def _with_png_text(png: bytes, packet: bytes) -> bytes:
    """The PNG with XMP in it: keyword, no compression, no language, no translation of the word."""
    body = b"iTXt" + b"XML:com.adobe.xmp" + bytes(5) + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:PNG_HEADER_BYTES] + chunk + png[PNG_HEADER_BYTES:]


def _described_by_us(packet: bytes) -> str | None:
    if b"<!" in packet:  # XMP declares nothing: whoever does wants entities expanded
        return None
    root = ElementTree.fromstring(packet)  # noqa: S314 - without declarations there is no bomb
    software = root.findtext(f".//{{{XMP}}}CreatorTool", "")
    if not software.startswith("Impasto "):
        return None
    return root.findtext(f".//{{{DUBLIN_CORE}}}description/{{{RDF}}}Alt/{{{RDF}}}li")
