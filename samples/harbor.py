"""The photograph-like sample: an old harbour under a low sun, ray by ray."""

import numpy as np
from materials import surface
from noise import Array, Indices, Mask, Noise, blur, mix, rgb, smoothstep, to_image
from PIL import Image
from solid import Scene, View
from town import UP, build_town, inland

WIDTH, HEIGHT, OVERSAMPLING = 1024, 768, 1.5
EYE, FOCAL, HORIZON = 5.2, 0.98, 0.575
GROUND_STEPS = 760
NOISE = Noise(7)


def unit(x: float, y: float, z: float) -> Array:
    """The direction (x, y, z) at length one."""
    vector = np.array([x, y, z])
    result: Array = vector / np.linalg.norm(vector)
    return result


SUN = unit(-0.20, 0.125, 1.0)  # where it stands in the picture
KEY = unit(-0.80, 0.36, 0.30)  # where its light comes from: turned aside to model the houses
KEY_COLOUR = np.array([1.0, 0.67, 0.38]) * 4.0
SKY_LIGHT, GROUND_LIGHT = np.array([0.42, 0.50, 0.66]), np.array([0.26, 0.22, 0.19])


def sky(direction: Array) -> Array:
    """Light from the sky: a gradient, the sun and its glow, and two decks of cloud."""
    ray = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    lift = np.clip(ray[..., 1], 0, 1)
    toward_sun = np.clip(ray @ SUN, 0, 1)
    colour = mix(np.array([0.95, 0.62, 0.38]), np.array([0.07, 0.17, 0.38]), (lift * 2.0) ** 0.6)
    colour += (toward_sun**14 * 0.55)[..., None] * np.array([1.0, 0.55, 0.22])
    colour += (toward_sun**260 * 2.5)[..., None] * np.array([1.0, 0.72, 0.40])
    colour += (smoothstep(0.99955, 0.99985, toward_sun) * 30)[..., None] * np.array([1, 0.8, 0.5])
    height = 1 / (lift + 0.07)
    x, z = ray[..., 0] * height, ray[..., 2] * height

    def cover(x: Array, z: Array) -> Array:
        bend = NOISE.fbm(0.35 * x + 3.1, 0.35 * z, 3) - 0.5
        return NOISE.fbm(0.50 * x + 2.0 * bend + 14.0, 0.95 * z + 1.6 * bend + 2.0, 8, 0.55)

    body = cover(x, z)
    density = smoothstep(0.44, 0.62, body)
    step = np.array([SUN[0], SUN[2]]) * 0.35
    shade = np.zeros_like(body)
    for reach in (0.5, 1.2):
        shade += smoothstep(0.46, 0.68, cover(x + step[0] * reach, z + step[1] * reach))
    detail = NOISE.fbm(2.6 * x + 3 * body, 4.2 * z, 6, 0.6) - 0.5
    lit = np.exp(-1.1 * shade + 1.6 * detail - 1.5 * smoothstep(0.46, 0.72, body))
    rim = toward_sun**10
    cloud = mix(
        np.array([0.10, 0.115, 0.17]), np.array([1.30, 0.80, 0.50]), np.clip(lit * 1.25, 0, 1)
    )
    cloud += (rim * lit * 2.4)[..., None] * np.array([1.0, 0.62, 0.30])
    cloud = mix(cloud, colour, np.exp(-lift * 22) * 0.85)
    wisps = smoothstep(0.5, 0.85, NOISE.fbm(0.9 * x + 0.4 * z, 0.22 * z + 9.0, 6)) * 0.5
    colour = mix(
        colour, np.array([1.0, 0.82, 0.70]) + rim[..., None] * 0.6, wisps * np.clip(lift * 6, 0, 1)
    )
    return mix(colour, cloud, density * np.clip(lift * 14 + 0.1, 0, 1) * 0.98)


def ground(x: Array, z: Array) -> Array:
    """Height of the land: the town's hill, the far bank and the mountains."""
    behind = inland(x, z)
    rise = np.clip(behind - 8, 0, 150)
    fade = smoothstep(330.0, 180.0, z)
    hill = np.where(behind > 8, 1.2 + rise * 0.40 * fade, -5.0)
    hill += smoothstep(14, 40, behind) * NOISE.fbm(x / 3.1, z / 3.1, 3) * 3.0 * fade
    bank_edge = -78 + 16 * NOISE.fbm(x / 60, z / 60, 2)
    bank = smoothstep(0, 90, bank_edge - x) * smoothstep(135, 190, z) * smoothstep(900, 400, z)
    bank = bank * (26 + 20 * NOISE.fbm(x / 45, z / 45, 5)) + (bank > 0.01) * (
        4.5 * NOISE.fbm(x / 4.0, z / 4.0, 3)
    )
    coast = 1500 + 900 * NOISE.fbm(x / 1500 + 3, x / 900, 3)
    foothill = smoothstep(0, 2600, z - coast) * (80 + 520 * NOISE.ridged(x / 2100, z / 2100, 7))
    range_ = smoothstep(4500, 10500, z) * 2900 * NOISE.ridged(x / 6400 + 0.35, z / 6400 + 0.6, 9)
    range_ *= 0.55 + 0.45 * smoothstep(-0.30, 0.15, np.abs(x / z + 0.23) - 0.12)
    far = np.where(z > coast, 4 + foothill + range_ * 0.8, -5.0)
    return np.maximum(np.maximum(hill, bank), far)


def trace_ground(columns: Array, slopes: Array, eye: float) -> Array:
    """Depth of the land along each ray of the picture (inf: none), walking outward by columns."""
    depths = np.geomspace(62, 26000, GROUND_STEPS)
    heights = ground(*np.broadcast_arrays(columns * depths[:, None], depths[:, None]))
    rise = np.where(heights > 0, (heights - eye) / depths[:, None], -1e9)
    crest = np.maximum.accumulate(rise, axis=0)
    result = np.full((len(slopes), len(columns)), np.inf)
    for column in range(len(columns)):
        hit = np.searchsorted(crest[:, column], slopes)
        low, high = np.clip(hit - 1, 0, None), np.clip(hit, None, GROUND_STEPS - 1)
        before, after = crest[low, column], crest[high, column]
        rising = (before > -1e8) & (after > before)
        part = np.where(rising, (slopes - before) / (after - before + 1e-12), 1)
        distance = depths[low] + (depths[high] - depths[low]) * np.clip(part, 0, 1)
        above_water = eye + slopes * distance > -0.5
        result[:, column] = np.where((hit < GROUND_STEPS) & above_water, distance, np.inf)
    return result


def shade_ground(position: Array) -> Array:
    """Forest low down, rock and snow high up, lit by the key."""
    x, y, z = position[:, 0], position[:, 1], position[:, 2]
    step = np.clip(z * 0.0016, 0.25, 60)
    here = ground(x, z)
    normal = np.stack([here - ground(x + step, z), step, here - ground(x, z + step)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    grain = NOISE.fbm(x / 9 + z / 31, z / 9, 5)
    wood = mix(rgb("#26331b"), rgb("#6d6a34"), smoothstep(0.3, 0.75, grain))
    rock = mix(rgb("#54504c"), rgb("#8d8378"), NOISE.fbm(x / 130, y / 60 + z / 200, 5))
    albedo = mix(
        wood**1.3, rock, smoothstep(250, 750, y + 500 * (NOISE.fbm(x / 400, z / 400, 4) - 0.5))
    )
    snow = smoothstep(1050, 1350, y + 900 * (normal[:, 1] - 0.75) + 300 * (grain - 0.5))
    albedo = mix(albedo, np.array([0.88, 0.88, 0.92]), snow)
    light = np.clip(normal @ KEY, 0, 1)[:, None] * KEY_COLOUR + 0.75 * SKY_LIGHT
    return np.asarray(albedo**1.25 * light * 0.85, dtype=np.float64)


class Shadows:
    """Depth of the scene as the key light sees it."""

    def __init__(self, scene: Scene) -> None:
        """Trace the scene from the light with parallel rays."""
        right = np.cross(UP, -KEY)
        right /= np.linalg.norm(right)
        up = np.cross(-KEY, right)
        centre = np.array([10.0, 0.0, 90.0]) + KEY * 300
        self.view = View(centre, right, up, -KEY, 9.0, (900, 600), (1200, 1800), parallel=True)
        self.depth = scene.trace(self.view)[0]

    def lit(self, position: Array, rng: np.random.Generator) -> Array:
        """Share of the light that reaches each point, softened over a small disc."""
        columns, rows = self.view.project(position)
        depth = (position - self.view.eye) @ self.view.forward
        total = np.zeros(len(position))
        for _ in range(10):
            x = np.clip(columns + rng.normal(0, 1.5, len(total)), 0, 1799).astype(np.int64)
            y = np.clip(rows + rng.normal(0, 1.5, len(total)), 0, 1199).astype(np.int64)
            total += self.depth[y, x] > depth - 0.45
        return total / 10


def shade_faces(
    scene: Scene, owner: Indices, position: Array, direction: Array, shadows: Shadows
) -> Array:
    """Material, sun, sky light and shadow at points on the scene's faces."""
    faces, rng = scene.faces, np.random.default_rng(3)
    origin = np.array([f.corners[0] for f in faces])[owner]
    u = np.einsum("ij,ij->i", position - origin, np.array([f.u_axis for f in faces])[owner])
    v = np.einsum("ij,ij->i", position - origin, np.array([f.v_axis for f in faces])[owner])
    size, seed = np.array([f.size for f in faces])[owner], np.array([f.seed for f in faces])[owner]
    tint, normal = (
        np.array([f.tint for f in faces])[owner],
        np.array([f.normal for f in faces])[owner],
    )
    normal = normal * -np.sign(np.einsum("ij,ij->i", normal, direction))[:, None]
    names = np.array([f.material for f in faces])
    material = names[owner]
    albedo = np.zeros_like(position)
    for name in np.unique(material):
        at = material == name
        albedo[at] = surface(str(name), u[at], v[at], size[at], seed[at], tint[at])
    facing, thin = np.clip(normal @ KEY, 0, 1), np.isin(material, ("leaf", "sail"))
    round_ = material == "bark"
    facing = np.where(round_, np.clip(0.55 - 0.9 * (u / size[:, 0] - 0.5), 0, 1), facing)
    facing = np.where(thin, 0.35 + 0.65 * np.abs(normal @ KEY), facing)
    sun = facing * shadows.lit(position + normal * 0.08, rng)
    sun *= 0.42 + 0.58 * smoothstep(
        0.34, 0.58, NOISE.fbm(position[:, 0] / 30, position[:, 2] / 30, 3)
    )
    sky_share = (0.5 + 0.5 * normal[:, 1])[:, None]
    near_ground = 0.55 + 0.45 * smoothstep(1.5, 6.0, position[:, 1])[:, None]
    ambient = mix(GROUND_LIGHT, SKY_LIGHT, sky_share[:, 0]) * near_ground
    ambient = ambient + np.clip(normal @ unit(-0.3, 0.1, -1), 0, 1)[:, None] * 0.16
    return np.asarray(
        (albedo**2.1) * (sun[:, None] * KEY_COLOUR + ambient * 1.15), dtype=np.float64
    )


def view_land(
    scene: Scene, shadows: Shadows, shape: tuple[int, int], flip: float
) -> tuple[Array, Array]:
    """Sky, land and solids from the eye (flip 1) or from its mirror image below the sea (-1)."""
    height, width = shape
    scale, centre = FOCAL * width, (width / 2, height * HORIZON)
    eye = np.array([0.0, EYE * flip, 0.0])
    view = View(eye, np.array([1.0, 0, 0]), UP * flip, np.array([0, 0, 1.0]), scale, centre, shape)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    direction = view.rays(columns, rows)[1]
    land = trace_ground(direction[0, :, 0], direction[:, 0, 1], eye[1])
    depth, owner = scene.trace(view)
    picture = sky(direction)
    solid: Mask = depth < land
    nearest = np.minimum(depth, land)
    seen = np.isfinite(nearest)
    position = eye + direction * np.where(seen, nearest, 0)[..., None]
    hill = seen & ~solid
    picture_land = picture.copy()
    picture_land[hill] = shade_ground(position[hill])
    picture_land[solid] = shade_faces(
        scene, owner[solid], position[solid], direction[solid], shadows
    )
    haze = np.where(seen, 1 - np.exp(-((np.clip(nearest - 90, 0, None) / 9500) ** 0.9)), 0)
    glow = np.clip(direction @ SUN / np.linalg.norm(direction, axis=-1), 0, 1) ** 9
    air = mix(np.array([0.30, 0.35, 0.48]), np.array([1.05, 0.64, 0.36]), glow * 0.9)
    return mix(picture_land, air, np.where(seen, haze, 0)), nearest


def sea(direction: Array, mirror: Array) -> Array:
    """Water: the mirrored view drawn out by waves, over a dark green depth."""
    height, width = mirror.shape[:2]
    slope = np.clip(-direction[..., 1], 2e-3, None)
    distance = EYE / slope
    x, z = direction[..., 0] * distance, distance
    fade = 1 / (1 + distance / 60)
    swell = NOISE.fbm(x / 1.9, z / 0.8, 5, 0.62) - 0.5
    chop = NOISE.fbm(x / 2.3 + 40, z / 1.0 + 7, 4, 0.6) - 0.5
    calm = 0.35 + 0.9 * smoothstep(0.35, 0.65, NOISE.fbm(x / 45, z / 16, 3))
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    scale, reflected = FOCAL * width, np.zeros_like(mirror)
    for shift in (0.55, 0.85, 1.15, 1.45):
        down = swell * shift * calm * (0.05 + 0.10 * fade) * scale
        side = chop * shift * calm * 0.05 * scale
        r = np.clip(rows + down, int(height * HORIZON), height - 1).astype(np.int64)
        c = np.clip(columns + side, 0, width - 1).astype(np.int64)
        reflected += np.minimum(mirror[r, c], 6.0) / 4
    grazing = np.clip(1 - slope / np.sqrt(1 + slope**2) - 0.9 * swell * calm * fade, 0, 1)
    fresnel = np.clip(0.10 + 0.86 * grazing**3.2, 0, 0.95)
    deep = np.array([0.035, 0.075, 0.085]) + 0.05 * np.clip(swell + 0.2, 0, 1)[..., None]
    return mix(deep, reflected, fresnel)


def develop(light: Array, rng: np.random.Generator) -> Array:
    """Exposure, bloom, film curve, grade, vignette and grain."""
    height, width = light.shape[:2]
    bright = np.clip(light - 0.9, 0, 5)
    for channel in range(3):
        bloom = blur(bright[..., channel], width / 90) + blur(bright[..., channel], width / 25)
        light[..., channel] += 0.16 * bloom
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = light * (1.04 - 0.26 * (x**2 + y**2) ** 1.2)[..., None] * 0.86
    film = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    tone = np.clip(film, 0, 1) ** (1 / 2.15)
    grey = tone.mean(axis=-1, keepdims=True)
    tone = grey + (tone - grey) * 0.98
    tone += (1 - grey) * np.array([-0.012, 0.0, 0.022]) + grey * np.array([0.012, 0.0, -0.018])
    return np.asarray(tone + rng.normal(0, 0.011, (height, width, 1)), dtype=np.float64)


def render_harbor() -> Image.Image:
    """The whole picture, rendered larger and scaled down."""
    shape = (round(HEIGHT * OVERSAMPLING), round(WIDTH * OVERSAMPLING))
    scene = build_town()
    shadows = Shadows(scene)
    picture, depth = view_land(scene, shadows, shape, 1.0)
    mirror, _ = view_land(scene, shadows, shape, -1.0)
    rows = (shape[0] * HORIZON - np.arange(shape[0]) - 0.5) / (FOCAL * shape[1])
    columns = (np.arange(shape[1]) + 0.5 - shape[1] / 2) / (FOCAL * shape[1])
    x, y = np.meshgrid(columns, rows)
    direction = np.stack([x, y, np.ones_like(x)], axis=-1)
    water = ~np.isfinite(depth) & (y < 0)
    picture = np.where(water[..., None], sea(direction, mirror), picture)
    image = to_image(develop(picture, np.random.default_rng(5)))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
