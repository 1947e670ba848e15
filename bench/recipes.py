"""Recipes side by side: a contact sheet to look at, and their losses under one fixed judge.

The judge is the same for all, whatever they minimise themselves: float32, mean squares of relu4_2
(content) and of Gram / (c h w) of relu1_1 ... relu5_1 (style), of the delivered 8-bit picture.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from bench.judge import judge
from bench.pictures import OTHERS, SAMPLES
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, load_weights
from worker.pictures import read_picture, to_image

# A photograph and a painting each; those of OTHERS take part where they are.
PAIRS = [
    (SAMPLES / "harbor.jpg", SAMPLES / "swirl.jpg"),
    (SAMPLES / "harbor.jpg", SAMPLES / "mosaic.jpg"),
    (SAMPLES / "harbor.jpg", SAMPLES / "ink.jpg"),
    (OTHERS / "tubingen.jpg", OTHERS / "starry_night.jpg"),
    (OTHERS / "golden_gate.jpg", OTHERS / "the_scream.jpg"),
    (OTHERS / "hoovertowernight.jpg", OTHERS / "shipwreck.jpg"),
    (OTHERS / "hoovertowernight.jpg", OTHERS / "starry_night.jpg"),
]

# What the sources do, for as long as the default takes.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "neural-style": {"preset": "neural-style"},
    "wasserstein": {"preset": "wasserstein"},
}

JUDGE = {
    "relative": False,
    "content_weight": 1.0,
    "style_weight": 1.0,
}
CAPTION_PX = 18


@dataclass(frozen=True)
class Painted:
    """What a recipe made of a pair."""

    picture: Tensor  # (H, W, 3) uint8
    seconds: float
    steps: int
    content_loss: float
    style_loss: float


def measure(console: Console, out: Path, size: int) -> None:
    """Paint every pair with every recipe, write a contact sheet to `out`, print the losses.

    All but the first recipe stop after the time that the first has taken.
    """
    console.rule(f"Recipes at {size} px")
    network = VGG19(load_weights("oxford-q8"))
    rows = []
    table = Table("content", "style", "recipe", "s", "steps", "content loss", "style loss")
    for content, style in track([pair for pair in PAIRS if pair[0].exists()], console=console):
        images = [read_picture(path.read_bytes()).pixels for path in (content, style)]
        row = [_thumbnail(content, size), _thumbnail(style, size)]
        seconds: float | None = None
        for name, values in RECIPES.items():
            limit = {} if seconds is None else {"deadline_seconds": seconds}
            parameters = Parameters.model_validate({**values, **limit, "size": size})
            painted = _paint(network, images, parameters)
            seconds = seconds or painted.seconds
            row.append(_captioned(to_image(painted.picture), name))
            table.add_row(
                content.stem,
                style.stem,
                name,
                f"{painted.seconds:.1f}",
                str(painted.steps),
                f"{painted.content_loss:.4g}",
                f"{painted.style_loss:.4g}",
            )
        rows.append(row)
    _sheet(rows).save(out, quality=85)
    console.print(table)
    console.print(f"contact sheet: {out}")


def _paint(network: VGG19, images: Sequence[Tensor], parameters: Parameters) -> Painted:
    run = Stylization(network, images[0], images[1:], parameters)
    started = time.perf_counter()
    for _ in run:
        pass
    picture = run.picture()
    seconds = time.perf_counter() - started
    objective = Parameters.model_validate({**JUDGE, "size": parameters.size})
    losses = judge(network, images, objective, picture)
    return Painted(picture, seconds, run.step, losses.content, losses.style)


def _thumbnail(path: Path, size: int) -> Image.Image:
    image = ImageOps.contain(Image.open(path).convert("RGB"), (size, size))
    return _captioned(image, path.stem)


def _captioned(image: Image.Image, text: str) -> Image.Image:
    page = Image.new("RGB", (image.width, image.height + CAPTION_PX), "white")
    page.paste(image, (0, CAPTION_PX))
    ImageDraw.Draw(page).text((4, 3), text, fill="black")
    return page


def _sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """The pictures in rows and columns."""
    width = max(image.width for row in rows for image in row)
    heights = [max(image.height for image in row) for row in rows]
    page = Image.new("RGB", (width * max(map(len, rows)), sum(heights)), "white")
    for index, row in enumerate(rows):
        for column, image in enumerate(row):
            page.paste(image, (column * width, sum(heights[:index])))
    return page
