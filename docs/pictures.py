"""Lays the README's picture together.

    python docs/pictures.py OUT CONTENT STYLE RESULT STYLE RESULT STYLE RESULT

A result is what `impasto stylize CONTENT STYLE -o RESULT --size 768` makes.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

CELL = (640, 480)
INSET = (176, 132)
MARGIN = 12
BORDER = 4


def sheet(content: Path, pairs: list[tuple[Path, Path]]) -> Image.Image:
    """Two by two: the content, and three results, each with its style in a corner."""
    cells = [_fitted(content, CELL)]
    for style, result in pairs:
        cell = _fitted(result, CELL)
        inset = ImageOps.expand(_fitted(style, INSET), BORDER, "white")
        cell.paste(inset, (MARGIN, CELL[1] - inset.height - MARGIN))
        cells.append(cell)
    page = Image.new("RGB", (2 * CELL[0], 2 * CELL[1]))
    for index, cell in enumerate(cells):
        page.paste(cell, (index % 2 * CELL[0], index // 2 * CELL[1]))
    return page


def _fitted(path: Path, size: tuple[int, int]) -> Image.Image:
    return ImageOps.fit(Image.open(path).convert("RGB"), size)


if __name__ == "__main__":
    out, content, *rest = map(Path, sys.argv[1:])
    sheet(content, list(zip(rest[::2], rest[1::2], strict=True))).save(out, quality=85)
