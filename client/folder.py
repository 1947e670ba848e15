"""The pictures of a folder, and where their paintings go."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.files import FORMATS

# How files begin that are pictures, whatever they are called: JPEG, PNG, TIFF; and WebP, below.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
WEBP = (b"RIFF", b"WEBP")  # at 0 and at 8
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}


@dataclass(frozen=True)
class Pair:
    """A picture, and the file that its painting becomes."""

    name: str  # relative to the folder, as people know it
    picture: Path
    painting: Path

    @property
    def sidecar(self) -> Path:
        """Where the manifest goes."""
        return self.painting.with_name(f"{self.painting.name}.json")


def pairs(folder: Path, output: Path, *, format_name: str, recursive: bool) -> list[Pair]:
    """What there is to paint, by name. Names are kept, with the suffix of the new format.

    Hidden files are left out, and so is `output`, wherever it lies. Two pictures that differ in
    their suffix only keep it.
    """
    suffix = SUFFIXES[format_name]
    found = sorted(_pictures(folder, output.resolve(), recursive=recursive))
    names = [picture.relative_to(folder) for picture in found]
    alike = Counter(name.with_suffix("") for name in names)
    return [
        Pair(
            str(name),
            picture,
            output / name.with_name(f"{name.stem if alone else name.name}{suffix}"),
        )
        for picture, name in zip(found, names, strict=True)
        for alone in (alike[name.with_suffix("")] == 1,)
    ]


def _pictures(folder: Path, output: Path, *, recursive: bool) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if recursive and path.resolve() != output and not path.is_symlink():
                yield from _pictures(path, output, recursive=True)
        elif path.suffix.lower() in FORMATS or _begins_like_a_picture(path):
            yield path


def _begins_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(BEGINNINGS) or (head[:4], head[8:]) == WEBP
