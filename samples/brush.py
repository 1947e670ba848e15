"""A bristle brush: curved strokes with ragged ends, their relief, and light raking across it."""

from dataclasses import dataclass

import numpy as np
from noise import Array, Indices, Noise, blur, smoothstep

WIDTH, HEIGHT = 1024, 800
X, Y = np.meshgrid(np.arange(WIDTH, dtype=np.float64), np.arange(HEIGHT, dtype=np.float64))
ACROSS, ALONG, VARIANTS = 64, 96, 24


@dataclass(frozen=True)
class Stroke:
    """Where a stroke lies: its middle, heading (radians), size, curvature (1/pixels) and taper."""

    x: float
    y: float
    angle: float
    length: float
    width: float
    bend: float = 0.0
    taper: float = 0.0


@dataclass(frozen=True)
class Mark:
    """What a stroke leaves: a window of the canvas, its cover and its bristle profile there."""

    window: tuple[slice, slice]
    cover: Array
    bristle: Array


class Brush:
    """Makes marks: `dryness` bares the canvas in their tails, `rim` heaps paint at their edges."""

    def __init__(self, seed: int, dryness: float, hair: float = 1.0, rim: float = 0.0) -> None:
        """Grow the bristle patterns, `hair` thick across the stroke and drawn out along it."""
        noise, self._rng = Noise(seed), np.random.default_rng(seed)
        self.dryness, self._rim = dryness, rim
        rows, columns = np.mgrid[0:ACROSS, 0:ALONG].astype(np.float64)
        patterns = [
            0.6 * noise.fbm(columns / 60 + 31 * i, rows / (3.2 * hair) + 7 * i, 2)
            + 0.4 * noise.fbm(columns / 16 + 13 * i, rows / (6 * hair) + 3 * i, 2)
            for i in range(VARIANTS)
        ]
        self._patterns = np.stack(patterns)

    def mark(self, stroke: Stroke, shape: tuple[int, ...]) -> Mark | None:
        """The mark of a stroke on a canvas of this shape; None where it misses it."""
        height, width = shape[:2]
        cosine, sine = np.cos(stroke.angle), np.sin(stroke.angle)
        sag = abs(stroke.bend) * stroke.length**2 / 8 + stroke.width * 0.6
        reach_x = abs(cosine) * stroke.length / 2 + abs(sine) * sag + 2
        reach_y = abs(sine) * stroke.length / 2 + abs(cosine) * sag + 2
        left, right = max(int(stroke.x - reach_x), 0), min(int(stroke.x + reach_x) + 1, width)
        top, bottom = max(int(stroke.y - reach_y), 0), min(int(stroke.y + reach_y) + 1, height)
        if left >= right or top >= bottom:
            return None
        dx = np.arange(left, right)[None, :] - stroke.x
        dy = np.arange(top, bottom)[:, None] - stroke.y
        along = dx * cosine + dy * sine
        u = along / stroke.length + 0.5
        press = 1 - stroke.taper * (1 - np.sin(np.pi * np.clip(u, 0.02, 0.98)) ** 0.8)
        v = (dy * cosine - dx * sine - stroke.bend * along**2 / 2) / (stroke.width * press) + 0.5
        pattern = self._patterns[self._rng.integers(VARIANTS)]
        row = np.clip(v * ACROSS, 0, ACROSS - 1).astype(np.int64)
        column = np.clip(u * ALONG, 0, ALONG - 1).astype(np.int64)
        bristle = pattern[row, column]
        edge = np.minimum(v, 1 - v) * stroke.width
        ragged = 0.10 * (bristle - 0.5) * 2
        ends = np.minimum(u - 0.04 + ragged, 0.97 - u + ragged) * stroke.length
        rounding = stroke.width * 1.1 * (2 * v - 1) ** 2
        cover = np.clip(edge + 0.5, 0, 1) * np.clip((ends - rounding * 0.4) / 2 + 0.5, 0, 1)
        gone = self.dryness * (0.25 + 0.55 * u)
        cover = cover * smoothstep(gone - 0.08, gone + 0.08, bristle)
        bristle = bristle + self._rim * np.exp(-((edge - 1.8) ** 2) / 3)
        return Mark((slice(top, bottom), slice(left, right)), cover, bristle)


class Canvas:
    """Wet paint: colour and relief."""

    def __init__(self, ground: Array, brush: Brush) -> None:
        """Start from a toned ground."""
        self.colour, self.relief, self.brush = ground.copy(), np.zeros(ground.shape[:2]), brush

    def paint(
        self, stroke: Stroke, colour: Array, load: float = 1.0, planes: Indices | None = None
    ) -> None:
        """Lay a stroke, streaked by its bristles, `load` thick; kept to its plane, given planes."""
        mark = self.brush.mark(stroke, self.relief.shape)
        if mark is None:
            return
        cover = mark.cover
        if planes is not None:
            cover = cover * (planes[mark.window] == planes[int(stroke.y), int(stroke.x)])
        streak = (mark.bristle - 0.5)[..., None] * np.array([0.34, 0.34, 0.28])
        under = self.colour[mark.window]
        tint = np.clip(colour * (1 + streak) + 0.10 * (under - colour), 0, 1)
        self.colour[mark.window] = under + (tint - under) * (cover * 0.96)[..., None]
        relief = self.relief[mark.window]
        laid = load * (0.35 + 1.1 * mark.bristle) + 0.3 * relief
        self.relief[mark.window] = relief + (laid - relief) * cover

    def lit(self, depth: float, gloss: float) -> Array:
        """The painting under a lamp at the upper left: relief shaded, crests glinting."""
        fine, broad = blur(self.relief, 0.7), blur(self.relief, 2.4)
        relief = 0.75 * fine + 0.5 * broad
        slope_x, slope_y = np.gradient(relief * depth, axis=1), np.gradient(relief * depth, axis=0)
        toward = -(slope_x * 0.62 + slope_y * 0.78)
        hollow = np.clip(blur(self.relief, 6) - fine, 0, 1)
        glint = np.clip(toward - 0.22, 0, 1) ** 1.5 * gloss
        shade = 1 + 0.55 * np.tanh(1.3 * toward) - 0.35 * hollow
        return np.asarray(np.clip(self.colour * shade[..., None] + glint[..., None], 0, 1))
