"""The solid things of the harbour scene: houses, church, bridge, quay, boats and the tree."""

from itertools import pairwise

import numpy as np
from noise import Array, Mask, mix, palette, rgb
from solid import Scene

UP = np.array([0.0, 1.0, 0.0])
QUAY_START = np.array([52.0, 0.0, 30.0])
ALONG = np.array([-0.5, 0.0, 0.8660254])
INWARD = np.array([0.8660254, 0.0, 0.5])
QUAY_HEIGHT = 1.7
WALLS = palette("#d0a36c #ddc8a6 #bd7455 #e2d9c8 #b08c6c #cfb27c #c59d8e #a3ada6")
ROOFS = palette("#8f4a33 #a1573a #7c4032 #94604a #6d4a42")
STONE, WOOD, COPPER = rgb("#a3978a"), rgb("#6b4a33"), rgb("#6f9c8b")


def inland(x: Array, z: Array) -> Array:
    """Distance behind the quay line (negative: over the water)."""
    result: Array = (x - QUAY_START[0]) * INWARD[0] + (z - QUAY_START[2]) * INWARD[2]
    return result


def box(
    scene: Scene, base: Array, p: Array, q: Array, height: float, material: str, tint: Array
) -> None:
    """Four walls and a lid on the parallelogram base, base + p, base + p + q, base + q."""
    ring, top = [base, base + p, base + p + q, base + q], UP * height
    for i in range(4):
        a, b = ring[i], ring[(i + 1) % 4]
        size = (float(np.linalg.norm(b - a)), height)
        scene.add([a, b, b + top, a + top], material, tint, size, seed=float(a.sum()))
    scene.add([corner + top for corner in ring], "stone", tint)


def gabled(
    scene: Scene,
    base: Array,
    p: Array,
    q: Array,
    eaves: float,
    pitch: float,
    colours: tuple[Array, Array],
    wall: str = "plaster",
) -> None:
    """A house with gable walls along `p` and its ridge along `q`."""
    span, run = float(np.linalg.norm(p)), float(np.linalg.norm(q))
    pn, qn, rise = p / span, q / run, span / 2 * pitch
    seed = float(np.abs(base).sum()) % 97
    for end in (base, base + q):
        apex = end + p / 2 + UP * (eaves + rise)
        outline = [end, end + p, end + p + UP * eaves, apex, end + UP * eaves]
        scene.add(outline, wall, colours[0], (span, eaves), seed)
    for side in (base, base + p):
        outline = [side, side + q, side + q + UP * eaves, side + UP * eaves]
        scene.add(outline, wall, colours[0], (run, eaves), seed + 1)
    over = 0.45
    ridge = base + p / 2 + UP * (eaves + rise + 0.05)
    for side, outward in ((base, -pn), (base + p, pn)):
        foot = side + outward * over + UP * (eaves - over * pitch + 0.05)
        low, high = foot - qn * over, foot + q + qn * over
        size = (run + 2 * over, 1.0)
        scene.add(
            [low, high, ridge + q + qn * over, ridge - qn * over], "tiles", colours[1], size, seed
        )


def add_houses(scene: Scene, rng: np.random.Generator) -> None:
    """The row on the quay, and rows above it on the hillside."""
    for row in range(5):
        along, back = rng.uniform(-10, -4), 6.0 + 16.5 * row
        while along < 128 - 9 * row:
            width, deep = rng.uniform(6.0, 9.5), rng.uniform(9, 12)
            floors = rng.choice([3, 4, 4, 5] if row == 0 else [2, 3, 3])
            eaves = 3.0 * float(floors) + 0.9
            setback = back + rng.uniform(0, 2.0 + 1.2 * row)
            base = QUAY_START + ALONG * along + INWARD * setback
            base = base + UP * (QUAY_HEIGHT + 6.4 * row - 0.8 * (row > 0))
            colours = (
                WALLS[rng.integers(len(WALLS))] * rng.uniform(0.85, 1.05),
                ROOFS[rng.integers(len(ROOFS))] * rng.uniform(0.8, 1.15),
            )
            p, q, pitch = ALONG * width, INWARD * deep, rng.uniform(0.85, 1.25)
            if rng.random() < 0.6:
                gabled(scene, base, p, q, eaves, pitch, colours)
            else:
                gabled(scene, base, q, p, eaves, pitch * 0.75, colours)
            chimney = base + p * rng.uniform(0.2, 0.7) + q * rng.uniform(0.25, 0.6) + UP * eaves
            box(scene, chimney, ALONG * 0.8, INWARD * 0.8, 0.45 * width + 1.4, "stone", STONE * 0.8)
            along += width + (rng.uniform(0.0, 0.15) if row == 0 else rng.uniform(0.3, 5.0))


def add_church(scene: Scene) -> None:
    """A stone tower with a clock and a copper spire, and its nave, at the far end of the quay."""
    base = QUAY_START + ALONG * 121 + INWARD * 9 + UP * QUAY_HEIGHT
    p, q, height = ALONG * 7.5, INWARD * 7.5, 27.0
    box(scene, base, p, q, height, "tower", STONE * 1.08)
    edge = -0.5 * (ALONG + INWARD)
    box(scene, base + edge + UP * (height - 0.4), p + ALONG, q + INWARD, 0.9, "stone", STONE)
    ring = [base, base + p, base + p + q, base + q]
    top = base + (p + q) / 2 + UP * (height + 15)
    for i in range(4):
        foot = [ring[i] + UP * (height + 0.5), ring[(i + 1) % 4] + UP * (height + 0.5)]
        scene.add([foot[0], foot[1], top], "copper", COPPER, (7.5, 15))
    nave = base + INWARD * 7.5 - ALONG * 3
    gabled(scene, nave, ALONG * 13, INWARD * 20, 11, 1.1, (STONE, ROOFS[0]), "stone")


class Arches:
    """True where a bridge wall is open: round arches on piers."""

    def __init__(self, span: float, rise: float) -> None:
        """Arches each `span` metres, `rise` metres high."""
        self.span, self.rise = span, rise

    def __call__(self, u: Array, v: Array) -> Mask:
        """Whether (u, v) lies in an opening."""
        offset = (np.mod(u, self.span) - self.span / 2) / (self.span / 2 - 1.1)
        open_to = self.rise * np.sqrt(np.clip(1 - offset**2, 0, 1))
        result: Mask = (np.abs(offset) < 1) & (v < open_to)
        return result


def add_bridge(scene: Scene) -> None:
    """Six stone arches from the end of the quay to the far bank."""
    start, run, spans, rise = np.array([-13.0, 0.0, 151.0]), 13.0, 7, 5.2
    p = np.array([-run * spans, 0.0, 13.0])
    q = np.array([0.6, 0.0, 5.0])
    length = float(np.linalg.norm(p))
    cut = Arches(length / spans, rise)
    for side in (start, start + q):
        corners = [side, side + p, side + p + UP * 7.6, side + UP * 7.6]
        scene.add(corners, "stone", STONE * 1.05, (length, 7.6), 3.0, cut)
    pn, span = p / length, length / spans
    for i in range(spans):
        angle = np.linspace(0, np.pi, 13)
        middle = start + pn * span * (i + 0.5)
        points = [
            middle - pn * (np.cos(t) * (span / 2 - 1.1)) + UP * np.sin(t) * rise for t in angle
        ]
        for a, b in pairwise(points):
            scene.add([a, b, b + q, a + q], "stone", STONE * 0.8, (1, 5))


def add_quay(scene: Scene) -> None:
    """The quay wall and its pavement, bollards along it, and the terrace in the foreground."""
    start, end = QUAY_START - ALONG * 15, QUAY_START + ALONG * 142
    top = UP * QUAY_HEIGHT
    scene.add([start, end, end + top, start + top], "stone", STONE * 0.7, (157, 1.7))
    scene.add(
        [start + top, end + top, end + INWARD * 40 + top, start + INWARD * 40 + top],
        "stone",
        STONE * 0.9,
    )
    for metre in np.arange(4.0, 132.0, 7.0):
        post = QUAY_START + ALONG * metre + INWARD * 0.5 + top
        box(scene, post, ALONG * 0.35, INWARD * 0.35, 0.8, "wood", rgb("#2c2723"))
    corner = np.array([-6.0, 0.0, 13.5])
    box(scene, corner, np.array([-26.0, 0, 0]), np.array([-2.4, 0, 11.0]), 1.5, "stone", STONE)
    rim = corner + UP * 1.5
    box(scene, rim, np.array([-0.6, 0, 0]), np.array([-2.4, 0, 11.0]), 0.75, "stone", STONE * 1.1)


def add_boat(scene: Scene, at: Array, heading: float, length: float, tint: Array) -> Array:
    """A hull of plank strips with a deck; the foot of its mast is returned."""
    bow = np.array([np.cos(heading), 0.0, np.sin(heading)])
    beam_axis = np.array([-bow[2], 0.0, bow[0]])
    stations = np.linspace(-0.5, 0.5, 9)
    half = length * 0.16 * np.clip(1 - (np.clip(stations + 0.12, -0.2, 1) / 0.62) ** 2, 0, 1) ** 0.7
    sheer = length * (0.11 + 0.24 * (stations**2) + 0.05 * stations)
    for side in (-1.0, 1.0):
        upper = [
            at + bow * s * length + beam_axis * (side * h) + UP * y
            for s, h, y in zip(stations, half, sheer, strict=True)
        ]
        lower = [
            at + bow * s * length * 0.86 + beam_axis * (side * h * 0.72)
            for s, h in zip(stations, half, strict=True)
        ]
        for i in range(8):
            corners = [lower[i], lower[i + 1], upper[i + 1], upper[i]]
            scene.add(corners, "hull", tint, (length / 8, length * 0.16), float(i))
            middle = at + bow * (stations[i] * length) + UP * (sheer[i] * 0.85)
            ahead = at + bow * (stations[i + 1] * length) + UP * (sheer[i + 1] * 0.85)
            scene.add([middle, ahead, upper[i + 1], upper[i]], "wood", WOOD * 1.5)
    foot: Array = at + bow * length * 0.08 + UP * length * 0.1
    return foot


def add_spar(scene: Scene, a: Array, b: Array, radius: float, tint: Array) -> None:
    """A thin round pole, as a strip turned to the camera."""
    side = np.cross(b - a, a)
    side = side / np.linalg.norm(side) * radius
    scene.add([a - side, a + side, b + side * 0.8, b - side * 0.8], "bark", tint, (2 * radius, 1))


def add_sails(scene: Scene, foot: Array, heading: float, height: float) -> None:
    """A bellied mainsail and a jib, each of narrow strips so that they shade as curves."""
    bow = np.array([np.cos(heading), 0.0, np.sin(heading)])
    out = np.array([-bow[2], 0.0, bow[0]])
    mast = foot + UP * height
    add_spar(scene, foot, mast, 0.09, WOOD)
    for tack, clew, head, belly in (
        (foot + UP * 1.1 - bow * 0.15, -bow * height * 0.46 + out * 0.5, 0.93, 0.085),
        (foot + bow * height * 0.40 + UP * 0.5, -bow * height * 0.30 + out * 0.4, 0.80, 0.07),
    ):
        peak = foot + UP * height * head + bow * 0.1
        steps = np.linspace(0, 1, 9)
        for s0, s1 in pairwise(steps):
            for t0, t1 in pairwise(steps):
                grid = [(s0, t0), (s1, t0), (s1, t1), (s0, t1)]
                corners = [
                    tack + (peak - tack) * t + clew * (s * (1 - t))
                    + out * (belly * height * np.sin(np.pi * s) * (1 - t) * np.sin(np.pi * t + 0.4))
                    for s, t in grid
                ]  # fmt: skip
                scene.add(corners, "sail", rgb("#efe6d2"), (1, 1), float(t0))


def add_boats(scene: Scene, rng: np.random.Generator) -> None:
    """A sailing boat under way, and small ones moored along the quay."""
    at, heading = np.array([-9.0, 0.0, 74.0]), 2.85
    foot = add_boat(scene, at, heading, 8.5, rgb("#7d2f25"))
    add_sails(scene, foot, heading, 12.5)
    hulls = palette("#2f5f7a #e8e2d4 #a63f2e #3d6b55 #d4a03c")
    for metre in (39.0, 48.0, 58.0, 69.0, 82.0, 95.0, 110.0):
        at = QUAY_START + ALONG * (metre + rng.uniform(-2, 2)) - INWARD * rng.uniform(2.0, 4.5)
        size, heading = rng.uniform(4.5, 7.0), 2.09 + rng.uniform(-0.25, 0.25)
        foot = add_boat(scene, at, heading, size, hulls[rng.integers(len(hulls))])
        if rng.random() < 0.75:
            add_spar(scene, foot, foot + UP * size * rng.uniform(1.0, 1.35), 0.07, WOOD * 1.3)


def add_tree(scene: Scene, rng: np.random.Generator) -> None:
    """A broad tree on the terrace: branching spars, then leaves about the ends of the twigs."""
    tips: list[tuple[Array, float]] = []

    def grow(start: Array, direction: Array, length: float, radius: float, level: int) -> None:
        end = start + direction * length
        add_spar(scene, start, end, radius, rgb("#4d3d30"))
        if level >= 2:
            tips.append((end, length))
        if level == 5:
            return
        for _ in range(3 if level in (0, 2) else 2):
            turn = rng.normal(0, 0.55, 3) + np.array([0.06, 0.10, 0.0])
            heading = direction + turn
            heading /= np.linalg.norm(heading)
            grow(end, heading, length * rng.uniform(0.66, 0.86), radius * 0.64, level + 1)

    grow(np.array([-10.6, 1.4, 19.5]), np.array([0.1, 1.0, 0.0]) / 1.005, 3.3, 0.36, 0)
    for tip, spread in tips:
        for _ in range(95):
            at = tip + rng.normal(0, 0.32 + 0.28 * spread, 3)
            a, b = rng.normal(0, 1, 3), rng.normal(0, 1, 3)
            a, b = a / np.linalg.norm(a) * 0.10, b / np.linalg.norm(b) * 0.065
            tint = mix(rgb("#33491f"), rgb("#8f8232"), float(rng.random() ** 1.6))
            scene.add([at - a, at - b, at + a, at + b], "leaf", tint)


def build_town() -> Scene:
    """Every solid of the scene."""
    rng, scene = np.random.default_rng(20), Scene()
    add_houses(scene, rng)
    add_church(scene)
    add_bridge(scene)
    add_quay(scene)
    add_boats(scene, rng)
    add_tree(scene, rng)
    return scene
