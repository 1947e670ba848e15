"""Fractal noise and the small image helpers that every picture here is built from."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


class Noise:
    """Smooth, repeatable 2-D value noise; every method maps coordinates to about [0, 1]."""

    def __init__(self, seed: int) -> None:
        """Fill the lattice of random values from `seed`."""
        self._lattice = np.random.default_rng(seed).random((256, 256))

    def value(self, x: Array, y: Array) -> Array:
        """One octave: quintic interpolation of the lattice."""
        column, row = np.floor(x), np.floor(y)
        fx, fy = x - column, y - row
        fx = fx * fx * fx * (fx * (fx * 6 - 15) + 10)
        fy = fy * fy * fy * (fy * (fy * 6 - 15) + 10)
        left, top = column.astype(np.int64) & 255, row.astype(np.int64) & 255
        right, bottom = (left + 1) & 255, (top + 1) & 255
        table = self._lattice
        upper = table[top, left] * (1 - fx) + table[top, right] * fx
        lower = table[bottom, left] * (1 - fx) + table[bottom, right] * fx
        result: Array = upper * (1 - fy) + lower * fy
        return result

    def fbm(self, x: Array, y: Array, octaves: int = 5, gain: float = 0.5) -> Array:
        """Sum of octaves, each turned, twice as fine and `gain` times as strong."""
        total, weight, norm = np.zeros(np.broadcast_shapes(x.shape, y.shape)), 1.0, 0.0
        for _ in range(octaves):
            total += weight * self.value(x, y)
            norm += weight
            weight *= gain
            x, y = 1.62 * x + 1.18 * y + 17.3, 1.62 * y - 1.18 * x + 41.9
        return total / norm

    def ridged(self, x: Array, y: Array, octaves: int = 6) -> Array:
        """Sharp-crested noise: each octave folded at its middle, finer ones riding on crests."""
        total, weight, carry, norm = np.zeros(x.shape), 1.0, np.ones(x.shape), 0.0
        for _ in range(octaves):
            crest = (1 - np.abs(2 * self.value(x, y) - 1)) ** 2
            total += weight * crest * carry
            norm += weight
            carry, weight = np.clip(crest * 1.4, 0, 1), weight * 0.5
            x, y = 1.62 * x + 1.18 * y + 17.3, 1.62 * y - 1.18 * x + 41.9
        return total / norm


def smoothstep(low: float | Array, high: float | Array, value: Array) -> Array:
    """0 below `low`, 1 above `high`, an S-curve between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    result: Array = t * t * (3 - 2 * t)
    return result


def mix(first: Array | float, second: Array | float, amount: Array | float) -> Array:
    """Linear blend; an amount with one axis less than the colours is spread over channels."""
    weight = np.asarray(amount, dtype=np.float64)
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if weight.ndim and max(a.ndim, b.ndim) >= 1 and (a.shape[-1:] == (3,) or b.shape[-1:] == (3,)):
        weight = weight[..., None]
    result: Array = a * (1 - weight) + b * weight
    return result


def rgb(code: str) -> Array:
    """A `#rrggbb` colour as three floats in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64) / 255


def palette(codes: str) -> Array:
    """The colours of a string of codes, one a row."""
    return np.array([rgb(code) for code in codes.split()])


def ramp(codes: str, value: Array) -> Array:
    """Colours along a palette, `value` from 0 to 1."""
    stops = palette(codes)
    place = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(value, place, stops[:, i]) for i in range(3)], axis=-1)


def blur(plane: Array, radius: float) -> Array:
    """Gaussian blur of one plane, with mirrored edges."""
    margin = min(int(3 * radius) + 1, min(plane.shape) - 1)
    padded = np.pad(plane, margin, mode="reflect")
    fy, fx = np.fft.fftfreq(padded.shape[0])[:, None], np.fft.rfftfreq(padded.shape[1])
    transfer = np.exp(-2 * (np.pi * radius) ** 2 * (fx**2 + fy**2))
    spread = np.fft.irfft2(np.fft.rfft2(padded) * transfer, s=padded.shape)
    return np.asarray(spread[margin:-margin, margin:-margin], dtype=np.float64)


def to_image(pixels: Array) -> Image.Image:
    """Floats in [0, 1] to an 8-bit picture."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
