"""Render the project's sample pictures: `python samples/render.py [--out DIR]`."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from harbor import render_harbor
from ink import render_ink
from mosaic import render_mosaic
from PIL import Image
from rich.console import Console
from swirl import render_swirl

PICTURES: dict[str, Callable[[], Image.Image]] = {
    "harbor": render_harbor,
    "swirl": render_swirl,
    "mosaic": render_mosaic,
    "ink": render_ink,
}
SIZE_LIMIT = 450_000


def save_jpeg(image: Image.Image, path: Path) -> int:
    """Save at quality 90, or as much less as keeps the file below the limit; its size."""
    for quality in range(90, 60, -2):
        image.save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size < SIZE_LIMIT:
            break
    return path.stat().st_size


def main() -> None:
    """Render every picture, or those named, into the output folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    options = parser.parse_args()
    names: list[str] = options.names or list(PICTURES)
    if unknown := [name for name in names if name not in PICTURES]:
        parser.error(f"no such picture: {', '.join(unknown)}")
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name in names:
        started = time.perf_counter()
        with console.status(f"painting {name}"):
            image = PICTURES[name]()
        path: Path = options.out / f"{name}.jpg"
        size = save_jpeg(image, path)
        seconds = time.perf_counter() - started
        extent = f"{image.width} x {image.height}"
        console.print(
            f"[green]{name:8}[/] {extent}  {size / 1000:4.0f} kB  {seconds:5.1f} s  {path}"
        )


if __name__ == "__main__":
    main()
