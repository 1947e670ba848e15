"""An invented landscape in ink on rough paper: washes, dry brush and pressed leaves."""

import numpy as np
from brush import HEIGHT, WIDTH, Brush, Stroke, X, Y
from noise import Array, Noise, blur, mix, rgb, smoothstep, to_image
from PIL import Image


class InkSheet:
    """Paper and the ink soaked into it; what dries is `paper * exp(-ink)`."""

    def __init__(self, noise: Noise) -> None:
        """A warm, fibrous sheet."""
        self.noise = noise
        fibre = noise.fbm(X / 2.2, Y / 2.2, 3) + 0.6 * noise.fbm(X / 40 + Y / 9, Y / 7 - X / 60, 3)
        self.tooth = (fibre - fibre.min()) / np.ptp(fibre)
        self.paper = rgb("#f1e7d2") * (0.93 + 0.10 * self.tooth)[..., None]
        self.ink = np.zeros((HEIGHT, WIDTH, 3))

    def wash(self, amount: Array, tint: Array) -> None:
        """Pool wet ink: granulated by the paper's tooth, clouded, darker at drying edges."""
        cloud = self.noise.fbm(X / 90, Y / 70, 6, 0.62)
        pooled = amount * (0.35 + 1.3 * cloud) * (0.72 + 0.56 * self.tooth)
        soft = blur(np.clip(amount, 0, 1), 1.2)
        steep: Array = np.hypot(np.gradient(soft, axis=0), np.gradient(soft, axis=1))
        self.ink += (pooled + 1.6 * steep * amount)[..., None] * -np.log(tint)

    def brush(self, brush: Brush, stroke: Stroke, tint: Array, strength: float) -> None:
        """One stroke; a dry brush catches on the tooth of the paper."""
        mark = brush.mark(stroke, self.ink.shape)
        if mark is None:
            return
        contact = self.tooth[mark.window] + 0.9 * (mark.bristle - brush.dryness)
        caught = smoothstep(0.10, 0.55, contact)
        amount = mark.cover * caught * strength * (0.5 + mark.bristle)
        self.ink[mark.window] += amount[..., None] * -np.log(tint)

    def dried(self) -> Array:
        """The sheet as it looks."""
        return np.asarray(self.paper * np.exp(-np.minimum(self.ink, 3.1)))


BLACK, INDIGO, VERMILION = rgb("#2b2a2e"), rgb("#3d5a75"), rgb("#d8452c")


def ink_mountains(sheet: InkSheet, rng: np.random.Generator) -> None:
    """Ranges one before another, each fading into mist, scored with dry strokes down its flanks."""
    dry = Brush(31, 0.62)
    for index in range(5):
        near = index / 4
        base, peak = 250 + 84 * index, 300 - 40 * index
        along = X[0] / (330 - 30 * index) + 3.7 * index
        shape = sheet.noise.ridged(along, np.full(WIDTH, float(index)), 5)
        shape *= 0.5 + 0.5 * np.sin(X[0] / (240 - 20 * index) + 1.9 * index) ** 2
        ridge = base - peak * (shape - 0.22) + 7 * sheet.noise.fbm(X[0] / 9, X[0] * 0, 3)
        below = Y - ridge
        body = smoothstep(-2.0, 3.0, below) * np.exp(-np.clip(below, 0, None) / (64 + 26 * near))
        sheet.wash(body * (0.34 + 0.40 * near), mix(INDIGO, BLACK, 0.25 + 0.6 * near))
        slope = np.gradient(blur(np.tile(ridge, (9, 1)), 4)[4])
        for _ in range(150 + 75 * index):
            x = rng.uniform(0, WIDTH - 1)
            drop = rng.exponential(46 + 26 * near)
            fall = np.pi / 2 - 0.75 * np.arctan(slope[int(x)])
            stroke = Stroke(
                x, ridge[int(x)] + drop, fall + rng.normal(0, 0.2), rng.uniform(26, 84),
                rng.uniform(4, 15 + 9 * near), rng.normal(0, 0.006), 0.5,
            )  # fmt: skip
            sheet.brush(dry, stroke, BLACK, (0.28 + 0.42 * near) * np.exp(-drop / 80))


def ink_bamboo(sheet: InkSheet, rng: np.random.Generator) -> None:
    """Canes in the foreground, joint by joint, and sprays of leaves pressed and lifted."""
    cane, leaf = Brush(41, 0.40), Brush(43, 0.18)
    for foot, lean, width, tone in (
        (905, -0.10, 30, 1.0),
        (972, 0.04, 19, 0.65),
        (830, -0.2, 13, 0.5),
    ):
        x, y = float(foot), 830.0
        while y > -60:
            length = rng.uniform(92, 128)
            stroke = Stroke(
                x + lean * length / 2, y - length / 2, -np.pi / 2 + lean, length + 4, width, 0.0
            )  # fmt: skip
            sheet.brush(cane, stroke, BLACK, 1.15 * tone)
            sheet.brush(leaf, Stroke(x, y, 0.08, width * 1.5, 7, 0.02, 0.4), BLACK, 1.3 * tone)
            x, y = x + lean * length, y - length
            for _ in range(rng.integers(1, 4)):
                twig_x, twig_y = x + rng.normal(-40, 60), y + rng.normal(0, 42)
                for _ in range(rng.integers(4, 8)):
                    heading, size = rng.normal(1.9, 0.55), rng.uniform(58, 128)
                    spray = Stroke(
                        twig_x + np.cos(heading) * size / 2, twig_y + np.sin(heading) * size / 2,
                        heading, size, size * 0.17, rng.normal(0, 0.004), 0.95,
                    )  # fmt: skip
                    tint = mix(BLACK, INDIGO, float(rng.choice([0.0, 0.3, 1.0])))
                    sheet.brush(leaf, spray, tint, tone * rng.choice([0.3, 0.7, 1.3]))


def render_ink() -> Image.Image:
    """Ink on rough paper: a red sun, ranges in mist, water, bamboo close by."""
    rng, noise = np.random.default_rng(23), Noise(23)
    sheet = InkSheet(noise)
    haze = 0.30 * noise.fbm(X / 260, Y / 90, 5) * smoothstep(420, 0, Y)
    sheet.wash(haze, INDIGO)
    disc = np.hypot(X - 300, Y - 165) + 10 * (noise.fbm(X / 40, Y / 40, 4) - 0.5)
    sheet.wash(smoothstep(72, 67, disc) * 0.95 + 0.10 * smoothstep(190, 70, disc), VERMILION)
    ink_mountains(sheet, rng)
    water = Brush(37, 0.55)
    for _ in range(210):
        y = 640 + 160 * rng.random() ** 0.8
        size = rng.uniform(60, 260) * (0.5 + (y - 640) / 200)
        stroke = Stroke(rng.uniform(0, WIDTH), y, rng.normal(0, 0.02), size, rng.uniform(3, 15))
        sheet.brush(water, stroke, mix(INDIGO, BLACK, float(rng.random())), rng.uniform(0.06, 0.42))
    for _ in range(46):
        y = rng.uniform(650, 790)
        stroke = Stroke(rng.normal(300, 16), y, rng.normal(0, 0.03), rng.uniform(30, 120), 7)
        sheet.brush(water, stroke, VERMILION, rng.uniform(0.3, 0.9))
    ink_bamboo(sheet, rng)
    for _ in range(260):
        x, y, size = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 0.5 + rng.exponential(0.8)
        top, left = int(max(y - 12, 0)), int(max(x - 12, 0))
        window = (slice(top, top + 24), slice(left, left + 24))
        spot = np.clip(size - np.hypot(X[window] - x, Y[window] - y) + 0.5, 0, 1)
        sheet.ink[window] += (spot * rng.uniform(0.3, 1.4))[..., None] * -np.log(BLACK)
    return to_image(sheet.dried())
