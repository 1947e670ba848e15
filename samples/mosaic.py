"""An invented regatta in palette-knife planes between dark contours."""

import numpy as np
from brush import HEIGHT, WIDTH, Brush, Canvas, Stroke, X, Y
from noise import Array, Indices, Mask, Noise, blur, mix, ramp, rgb, smoothstep, to_image
from PIL import Image


def polygon(corners: list[tuple[float, float]]) -> Mask:
    """Pixels inside a convex polygon."""
    inside_left = np.ones(X.shape, dtype=bool)
    inside_right = inside_left.copy()
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        side = (X - x0) * (y1 - y0) - (Y - y0) * (x1 - x0)
        inside_left, inside_right = inside_left & (side >= 0), inside_right & (side <= 0)
    return inside_left | inside_right


def mosaic_planes(rng: np.random.Generator) -> tuple[Indices, Indices, Array]:
    """A regatta taken apart: each pixel's form, its plane of that form, its colour."""
    sky, sea = "#7d1f1a #c8371f #ee7a1f #f7b53a", "#0d2b3a #12525c #1f8a86 #77bda6"
    colour = mix(ramp(sky, Y / 470), ramp(sea, (Y - 470) / 330), (Y > 470).astype(np.float64))
    label = (Y > 470).astype(np.int64)
    shapes: list[tuple[Mask, str, float]] = []
    for radius, tint, weight in (
        (205, "#f39a2b", 0.8),
        (140, "#fbd05a", 0.95),
        (78, "#fff0b5", 1.0),
    ):
        shapes.append((np.hypot(X - 705, Y - 215) < radius, tint, weight))
    for corners, tint, weight in (
        ([(0, 470), (0, 300), (130, 200), (360, 470)], "#5b1a2e", 0.9),
        ([(180, 470), (370, 330), (520, 470)], "#8a2b2b", 0.85),
        ([(800, 470), (1024, 300), (1024, 470)], "#3a2145", 0.9),
        ([(300, 90), (300, 600), (60, 600)], "#f6e7c4", 0.95),
        ([(318, 130), (318, 600), (500, 600)], "#d8412a", 0.95),
        ([(40, 618), (540, 618), (450, 690), (120, 690)], "#1c1a22", 0.95),
        ([(690, 250), (690, 560), (540, 560)], "#f2c14a", 0.95),
        ([(700, 280), (700, 560), (830, 560)], "#f4efe0", 0.95),
        ([(520, 574), (850, 574), (790, 628), (570, 628)], "#7a1d1d", 0.95),
        ([(925, 400), (925, 530), (860, 530)], "#e9e2cf", 0.9),
        ([(300, 690), (300, 800), (170, 800)], "#d9c79b", 0.7),
        ([(340, 690), (470, 690), (400, 800), (320, 800)], "#b8432a", 0.7),
        ([(600, 640), (760, 640), (720, 800), (640, 800)], "#e0a63c", 0.75),
    ):
        shapes.append((polygon([(float(x), float(y)) for x, y in corners]), tint, weight))
    for index, (inside, tint, weight) in enumerate(shapes):
        colour = mix(colour, rgb(tint), np.where(inside, weight, 0.0))
        label = label * 3 + inside * (index + 2)
        label %= 1_000_003
    forms = label.copy()
    for _ in range(9):
        turn = rng.choice([0.25, 0.95, 1.35, 2.2, 2.75]) + rng.normal(0, 0.12)
        px, py = rng.uniform(60, WIDTH - 60), rng.uniform(60, HEIGHT - 60)
        side = (X - px) * np.sin(turn) - (Y - py) * np.cos(turn) > 0
        tone = rng.uniform(0.04, 0.09)
        colour = colour * (1 + np.where(side, tone, -tone))[..., None]
        label = (label * 2 + side) % 1_000_003
    # Scaled, not clipped: clipping would turn bright oranges greenish.
    colour = colour / np.maximum(colour.max(axis=-1, keepdims=True), 1)
    numbers = np.unique(label, return_inverse=True)[1].reshape(label.shape)
    return forms, numbers.astype(np.int64), colour


def render_mosaic() -> Image.Image:
    """Palette-knife planes between dark contours: sails, a sun and hills, cut by long lines."""
    rng, noise = np.random.default_rng(4), Noise(4)
    wobble_x = (X + 9 * (noise.fbm(X / 70, Y / 70, 3) - 0.5)).clip(0, WIDTH - 1).astype(np.int64)
    wobble_y = (Y + 9 * (noise.fbm(X / 70 + 50, Y / 70, 3) - 0.5)).clip(0, HEIGHT - 1)
    forms, planes, colour = mosaic_planes(rng)
    bent = (wobble_y.astype(np.int64), wobble_x)
    forms, planes, colour = forms[bent], planes[bent], colour[bent]
    canvas = Canvas(colour * 0.55, Brush(4, 0.16, hair=2.6, rim=0.5))
    tilt = rng.choice([0.2, 0.8, 1.4, 2.1, 2.8], int(planes.max()) + 1)
    tone = 1 + rng.uniform(-0.16, 0.16, (len(tilt), 1)) + rng.normal(0, 0.015, (len(tilt), 3))
    for count, width, length in ((1500, 58, 100), (1500, 36, 78), (1100, 17, 52)):
        for _ in range(count):
            x, y = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
            plane = int(planes[int(y), int(x)])
            along = (x * np.cos(tilt[plane]) + y * np.sin(tilt[plane])) / 160
            shade = (0.9 + 0.14 * np.sin(along * 3 + plane)) * (1 + rng.normal(0, 0.09))
            tint = colour[int(y), int(x)] * tone[plane] * shade + rng.normal(0, 0.02, 3)
            stroke = Stroke(
                x, y, tilt[plane] + rng.normal(0, 0.14), length * rng.uniform(0.7, 1.4),
                width * rng.uniform(0.7, 1.2), rng.normal(0, 0.0015),
            )  # fmt: skip
            tint = tint / max(1.0, float(tint.max()))
            canvas.paint(stroke, np.clip(tint, 0, 1), rng.uniform(0.5, 1.4), planes)
    grain = noise.fbm(X / 26, Y / 26, 4)
    for numbers, weight, strength in ((forms, 3.4, 0.93), (planes, 1.5, 0.6)):
        edge = np.diff(numbers, axis=0, prepend=numbers[:1]) != 0
        edge |= np.diff(numbers, axis=1, prepend=numbers[:, :1]) != 0
        near = blur(edge.astype(np.float64), weight) * weight * 2.5
        line = smoothstep(0.42, 0.75, near * (0.1 + 1.8 * grain)) * strength
        canvas.colour = mix(canvas.colour, rgb("#17121a"), line)
        canvas.relief = canvas.relief * (1 - 0.6 * line) + 0.5 * line * grain
    return to_image(canvas.lit(1.9, 0.25))
