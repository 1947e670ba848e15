"""An invented night in thick impasto: discs and eddies over rolling fields."""

import numpy as np
from brush import HEIGHT, WIDTH, Brush, Canvas, Stroke, X, Y
from noise import Array, Noise, mix, ramp, rgb, smoothstep, to_image
from PIL import Image

DISCS = [(812.0, 150.0, 62.0), (188.0, 118.0, 38.0), (500.0, 84.0, 21.0),
         (948.0, 405.0, 27.0)]  # fmt: skip
EDDIES = [(380.0, 300.0, 150.0, 5.2), (700.0, 395.0, 85.0, -4.4), (150.0, 420.0, 75.0, -3.6)]

ACCENTS = np.array([rgb("#f3d27a"), rgb("#7fc4c9"), rgb("#0c1636")])


def swirl_flow(x: Array, y: Array) -> tuple[Array, Array]:
    """A wind blowing right, curled by eddies and bent round the discs."""
    calm = np.ones_like(x)
    for cx, cy, radius in DISCS:
        calm = calm * (1 - np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / (3.1 * radius) ** 2)))
    vx, vy = 1.3 * calm, 0.8 * np.sin(x / 120 + y / 300) * calm
    around = [(cx, cy, radius * 2.3, 4.0) for cx, cy, radius in DISCS]
    for cx, cy, reach, strength in EDDIES + around:
        dx, dy = (x - cx) / reach, (y - cy) / reach
        pull = strength * np.exp(-(dx**2 + dy**2) / 1.1)
        vx, vy = vx - dy * pull + 0.12 * dx * pull, vy + dx * pull + 0.12 * dy * pull
    speed = np.hypot(vx, vy) + 1e-6
    return vx / speed, vy / speed


def swirl_design(noise: Noise) -> tuple[Array, Array]:
    """Target colour and stroke direction of every pixel."""
    vx, vy = swirl_flow(X, Y)
    x, y = X.copy(), Y.copy()
    for _ in range(34):
        step_x, step_y = swirl_flow(x, y)
        x, y = x - 5 * step_x, y - 5 * step_y
    bands = noise.fbm(x / 62, y / 30, 3)
    mood = noise.fbm(X / 300 + 9, Y / 240, 3)
    value = np.clip(0.5 + 2.5 * (bands - 0.52) + 0.9 * (mood - 0.5), 0, 1)
    colour = ramp("#081430 #10265c #1d4a9c #2f78bd #6fb4cf #d5e6cf", value)
    for cx, cy, reach, _ in EDDIES:
        turn = np.hypot(X - cx, Y - cy) / reach
        arms = 0.5 + 0.5 * np.sin(np.arctan2(Y - cy, X - cx) * 2 - 7.5 * turn)
        glow = np.exp(-(turn**2) / 1.3) * arms
        colour = mix(
            colour, ramp("#5fa3c9 #e9e6b8 #f5d873", np.clip(1.3 - turn, 0, 1)), glow * 0.85
        )
    for cx, cy, radius in DISCS:
        away = np.hypot(X - cx, Y - cy) / radius + 0.14 * (bands - 0.5)
        halo = ramp("#fff6c8 #ffe27a #fbbf2c #e98a1c #f6d267 #b9cf8a #5f9fb5 #2c63a8", away / 2.9)
        colour = mix(colour, halo, smoothstep(3.0, 2.1, away))
    ridge = 560 + 46 * np.sin(X / 150 + 0.4) + 60 * (noise.fbm(X / 260, Y * 0, 3) - 0.5)
    lower = ridge + 78 + 34 * np.sin(X / 118 + 2.2) + 0.05 * X
    lowest = lower + 70 + 26 * np.sin(X / 170 + 4.4) - 0.04 * X
    rows = noise.fbm(X / 110, (Y - ridge) / 15, 3)
    angle = np.arctan2(vy, vx)
    for top, palette in (
        (ridge, "#071a35 #0f3a5c #1d6a78 #4d9a8a #a7c08a"),
        (lower, "#0a1f2e #14503f #3f7f3d #a3a437 #f0cf52"),
        (lowest, "#160f1f #4a2418 #a8541b #e29a2a #fbd866"),
    ):
        land = smoothstep(-3.0, 3.0, Y - top)
        lit = np.clip(0.42 + 2.7 * (rows - 0.5) - (Y - top) / 420, 0, 1)
        lit = np.clip(lit + 0.45 * np.exp(-(((Y - top) / 16) ** 2)), 0, 1)
        colour = mix(colour, ramp(palette, lit), land)
        angle = np.where(
            land > 0.5, np.arctan(np.gradient(top, axis=1)) + 0.3 * (rows - 0.5), angle
        )
    return colour, angle


def render_swirl() -> Image.Image:
    """Thick curling strokes under a lamp: a night of discs and eddies over rolling fields."""
    rng, noise = np.random.default_rng(11), Noise(11)
    target, angle = swirl_design(noise)
    canvas = Canvas(mix(target, rgb("#1a1c33"), 0.45), Brush(11, 0.35))
    for count, width, length, jitter in (
        (1500, 30, 130, 0.10), (4200, 17, 84, 0.13), (5200, 10, 52, 0.16), (2600, 6, 34, 0.22),
    ):  # fmt: skip
        for _ in range(count):
            x, y = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
            row, column = int(y), int(x)
            heading = angle[row, column]
            ahead_x = int(np.clip(x + 12 * np.cos(heading), 0, WIDTH - 1))
            ahead_y = int(np.clip(y + 12 * np.sin(heading), 0, HEIGHT - 1))
            turn = np.sin(angle[ahead_y, ahead_x] - heading)
            bend = float(np.clip(turn / 12, -0.03, 0.03))
            size = rng.uniform(0.7, 1.3)
            reach = min(length * rng.uniform(0.6, 1.25), 1.9 / (abs(bend) + 1e-3))
            colour = target[row, column] * (1 + rng.normal(0, jitter)) + rng.normal(0, 0.025, 3)
            colour = mix(colour, rng.choice(ACCENTS), rng.random() ** 9)
            stroke = Stroke(x, y, heading + rng.normal(0, 0.09), reach, width * size, bend)
            canvas.paint(stroke, np.clip(colour, 0, 1), rng.uniform(0.7, 1.3))
    return to_image(canvas.lit(2.8, 0.6))
