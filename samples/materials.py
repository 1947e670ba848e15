"""What the harbour is made of: plaster, windows, stone, tiles and paint, as colours."""

import numpy as np
from noise import Array, Noise, mix, rgb, smoothstep

GRAIN = Noise(7)


def surface(material: str, u: Array, v: Array, size: Array, seed: Array, tint: Array) -> Array:
    """Colour of a material at (u, v) metres, its joints, stains, windows and all."""
    grain = GRAIN.fbm(u * 1.7 + seed * 7, v * 1.7, 5)
    fine = GRAIN.fbm(u * 9 + seed, v * 9, 3)
    colour = tint * (0.72 + 0.36 * grain + 0.22 * fine)[:, None]
    if material in ("stone", "tower"):
        course = np.floor(v / 0.55)
        shift = u + 0.45 * np.mod(course, 2)
        block = GRAIN.value(np.floor(shift / 0.9) * 7.3 + seed, course * 5.1)
        joint = np.minimum(np.mod(v, 0.55), np.mod(shift, 0.9)) < 0.07
        colour *= np.where(joint, 0.66, 0.78 + 0.44 * block)[:, None]
        colour *= mix(0.62, 1.0, smoothstep(0.0, 1.3, v + 0.6 * grain))[:, None]
    if material == "tower":
        across = u - size[:, 0] / 2
        face = np.hypot(across, v - 21.3)
        dial = mix(rgb("#f3ead0"), rgb("#2a2622"), ((face > 1.45) | (face < 0.16)).astype(float))
        hand = (np.abs(across - (v - 21.3) * 0.55) < 0.14) & (v > 21.3)
        hand |= (np.abs(v - 21.3 + across * 0.2) < 0.14) & (across < 0)
        colour = np.where((face < 1.75)[:, None], np.where(hand[:, None], 0.08, dial), colour)
        arch = (
            (np.abs(np.abs(across) - 1.35) < 0.7)
            & (v > 15)
            & ((v < 17.4) | (np.hypot(np.abs(across) - 1.35, v - 17.4) < 0.7))
        )
        slit = (np.abs(across) < 0.35) & (np.mod(v, 6) > 3.6) & (v < 13)
        colour = np.where((arch | slit)[:, None], 0.05, colour)
        band = (np.mod(v, 9) < 0.4) | (np.abs(across) > size[:, 0] / 2 - 0.6)
        colour *= np.where(band, 1.16, 1.0)[:, None]
    elif material == "tiles":
        row = np.floor(v / 0.38)
        tile = GRAIN.value(np.floor(u / 0.3 + 0.5 * np.mod(row, 2)) * 3.7, row * 9.1 + seed)
        lip = 0.62 + 0.5 * np.mod(v / 0.38, 1) ** 0.6
        barrel = 0.82 + 0.25 * np.sin(u * 2 * np.pi / 0.3) ** 2
        colour *= (lip * barrel * (0.7 + 0.6 * tile))[:, None]
        colour = mix(colour, rgb("#5d5f3c") * 0.8, smoothstep(0.58, 0.8, grain) * 0.6)
    elif material == "plaster":
        colour = add_windows(colour, u, v, size, seed)
    elif material in ("hull", "wood"):
        colour *= np.where(np.mod(v, 0.22) < 0.03, 0.6, 1.0)[:, None]
    elif material == "copper":
        colour *= np.where(np.mod(u, 0.9) < 0.12, 0.7, 1.0)[:, None]
    return colour


def add_windows(colour: Array, u: Array, v: Array, size: Array, seed: Array) -> Array:
    """Stains, then rows of shuttered windows, sills and doors on a plaster wall."""
    width, eaves = size[:, 0], size[:, 1]
    streak = GRAIN.fbm(u * 3.3 + seed, v * 0.16, 4)
    colour = colour * mix(0.80, 1.04, smoothstep(0.25, 0.7, streak))[:, None]
    colour *= mix(0.6, 1.0, smoothstep(0, 2.2, v + 1.2 * streak))[:, None]
    bays = np.maximum(np.round(width / 2.3), 2)
    pitch = width / bays
    bay, floor = np.floor(u / pitch), np.floor((v - 0.5) / 3.0)
    across, up = (u / pitch - bay - 0.5) * pitch, v - 0.5 - floor * 3.0
    chance = GRAIN.value(bay * 5.7 + seed * 3.1, floor * 7.9 + seed)
    ground_floor = floor < 1
    half = np.where(ground_floor, 0.66, 0.50)
    low, high = np.where(ground_floor, -0.4, 0.75), np.where(ground_floor, 2.3, 2.45)
    usable = (v < eaves - 0.35) & (v > 0)
    attic = (v > eaves) & (np.abs(u - width / 2) < 0.5) & (v < eaves + 1.7) & (v > eaves + 0.3)
    pane = usable & (np.abs(across) < half) & (up > low) & (up < high)
    shutter = (
        usable & ~ground_floor & (np.abs(np.abs(across) - 0.80) < 0.25) & (up > low) & (up < high)
    )
    frame = usable & (np.abs(across) < half + 0.14) & (up > low - 0.14) & (up < high + 0.14)
    sill = (
        usable & ~ground_floor & (np.abs(across) < half + 0.25) & (np.abs(up - low + 0.16) < 0.08)
    )
    shadow = usable & (np.abs(across) < half + 0.3) & (up < low - 0.2) & (up > low - 0.65)
    cross = (np.abs(across) < 0.05) | (np.abs(up - 1.75) < 0.05)
    paint = mix(rgb("#31503f"), rgb("#6a3524"), (np.mod(seed, 2) > 1).astype(float))
    slats = 0.75 + 0.35 * (np.mod(up, 0.16) > 0.06)
    colour = np.where((shadow & ~ground_floor)[:, None], colour * 0.78, colour)
    colour = np.where(frame[:, None], rgb("#ddd2bf") * 0.9, colour)
    colour = np.where(shutter[:, None], paint * slats[:, None] * 1.1, colour)
    colour = np.where(sill[:, None], rgb("#e0d6c4"), colour)
    glass = mix(
        np.array([0.02, 0.025, 0.03]),
        np.array([0.20, 0.25, 0.31]),
        (up / 3 * chance * 1.6).clip(0, 1),
    )
    glass = np.where((chance > 0.72)[:, None], np.array([0.86, 0.50, 0.20]), glass)
    door = mix(rgb("#3a2a20"), rgb("#20414a"), (chance > 0.5).astype(float))
    glass = np.where(ground_floor[:, None] & (up < 1.0)[:, None], door, glass)
    colour = np.where((pane & ~cross)[:, None], glass, colour)
    colour = np.where(attic[:, None], np.array([0.05, 0.05, 0.06]), colour)
    eave_shade = smoothstep(eaves - 0.9, eaves - 0.1, v) * (v < eaves)
    return np.asarray(colour * (1 - 0.35 * eave_shade)[:, None], dtype=np.float64)
