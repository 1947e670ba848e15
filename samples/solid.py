"""A small ray-per-pixel rasteriser for flat convex polygons: depth, and which one is nearest."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from noise import Array, Indices, Mask

Cutout = Callable[[Array, Array], Mask]


@dataclass
class Face:
    """A flat convex polygon with its own (u, v) frame in metres and a material."""

    corners: Array
    material: str
    tint: Array
    size: tuple[float, float]
    seed: float = 0.0
    cutout: Cutout | None = None

    def __post_init__(self) -> None:
        """Derive the frame: u along the first edge, v square to it within the plane."""
        first = self.corners[1] - self.corners[0]
        self.u_axis: Array = first / np.linalg.norm(first)
        normal = np.cross(first, self.corners[2] - self.corners[0])
        self.normal: Array = normal / (np.linalg.norm(normal) + 1e-12)
        v_axis = np.cross(self.normal, self.u_axis)
        self.v_axis: Array = v_axis


@dataclass
class View:
    """Where rays start and go: a pinhole at `eye`, or parallel rays when `parallel`."""

    eye: Array
    right: Array
    up: Array
    forward: Array
    scale: float
    centre: tuple[float, float]
    shape: tuple[int, int]
    parallel: bool = False

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixel coordinates (column, row) of world points."""
        offset = points - self.eye
        depth = np.ones(len(points)) if self.parallel else offset @ self.forward
        columns = self.centre[0] + self.scale * (offset @ self.right) / depth
        rows = self.centre[1] - self.scale * (offset @ self.up) / depth
        return columns, rows

    def rays(self, columns: Array, rows: Array) -> tuple[Array, Array]:
        """Start and direction of the ray through each pixel."""
        x = ((columns - self.centre[0]) / self.scale)[..., None]
        y = ((self.centre[1] - rows) / self.scale)[..., None]
        sideways = x * self.right + y * self.up
        if self.parallel:
            return self.eye + sideways, np.broadcast_to(self.forward, sideways.shape)
        return np.broadcast_to(self.eye, sideways.shape), sideways + self.forward


@dataclass
class Scene:
    """The polygons of a scene."""

    faces: list[Face] = field(default_factory=list)

    def add(
        self,
        corners: list[Array],
        material: str,
        tint: Array,
        size: tuple[float, float] = (1.0, 1.0),
        seed: float = 0.0,
        cutout: Cutout | None = None,
    ) -> None:
        """Add one polygon."""
        self.faces.append(Face(np.array(corners), material, tint, size, seed, cutout))

    def trace(self, view: View) -> tuple[Array, Indices]:
        """Per pixel: the ray's depth to the nearest face (inf: none) and its index (-1)."""
        height, width = view.shape
        depth, owner = np.full(view.shape, np.inf), np.full(view.shape, -1, dtype=np.int64)
        for index, face in enumerate(self.faces):
            columns, rows = view.project(face.corners)
            left, right = max(int(columns.min()), 0), min(int(columns.max()) + 2, width)
            top, bottom = max(int(rows.min()), 0), min(int(rows.max()) + 2, height)
            if left >= right or top >= bottom:
                continue
            x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
            sides = [
                (x - columns[i - 1]) * (rows[i] - rows[i - 1])
                - (y - rows[i - 1]) * (columns[i] - columns[i - 1])
                for i in range(len(columns))
            ]
            inside = (np.min(sides, axis=0) >= 0) | (np.max(sides, axis=0) <= 0)
            start, direction = view.rays(x, y)
            facing = direction @ face.normal
            distance = ((face.corners[0] - start) @ face.normal) / np.where(
                np.abs(facing) < 1e-9, 1e-9, facing
            )
            window = (slice(top, bottom), slice(left, right))
            inside &= distance < depth[window]
            if face.cutout is not None:
                local = start + direction * distance[..., None] - face.corners[0]
                inside &= ~face.cutout(local @ face.u_axis, local @ face.v_axis)
            depth[window][inside] = distance[inside]
            owner[window][inside] = index
        return depth, owner
