"""Paints what each preset does, for the page: `python docs/preset_pictures.py [NAME...]`.

The same photograph after the same painting, in every manner, so that a glance at the cards compares
the manners and nothing else. Presets of many steps are painted with fewer: at this size they have
settled by then. On one core all of them together take about ten minutes.
"""

import sys
from pathlib import Path

from rich.progress import track

from shared.parameters import Parameters
from shared.presets import PRESETS
from worker.engine import VGG19, Stylization, load_weights
from worker.pictures import read_picture, to_image

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "api" / "web" / "presets"
PHOTOGRAPH = ROOT / "samples" / "harbor.jpg"
PAINTING = ROOT / "samples" / "swirl.jpg"
SIZE_PX = 256  # a card is less than half of that wide, and screens have two pixels to one
ASPECT_RATIO = 4 / 3  # of a card, for the one that has no photograph to take it from
MAX_STEPS = 300
JPEG_QUALITY = 68  # about 13 kB


def main() -> None:
    """Paint the presets that are named, or all."""
    network = VGG19(load_weights())
    photograph, painting = (
        read_picture(path.read_bytes()).pixels for path in (PHOTOGRAPH, PAINTING)
    )
    OUT.mkdir(exist_ok=True)
    for name in track(sys.argv[1:] or list(PRESETS), "painting"):
        parameters = _parameters(name)
        content = photograph if parameters.uses_content else None
        styles = [painting] if parameters.uses_styles else []
        run = Stylization(network, content, styles, parameters)
        for _ in run:
            pass
        picture = to_image(run.picture()).convert("RGB")
        picture.save(OUT / f"{name}.jpg", quality=JPEG_QUALITY, optimize=True, progressive=True)


def _parameters(name: str) -> Parameters:
    values = {"preset": name, "size": SIZE_PX}
    preset = Parameters.model_validate(values)
    values["steps"] = min(preset.steps, MAX_STEPS)
    if preset.pyramid is not None and preset.pyramid.steps is not None:
        values["pyramid"] = {"steps": None}  # shared equally, instead of thousands
    if not preset.uses_content:
        values["aspect_ratio"] = ASPECT_RATIO
    return Parameters.model_validate(values)


if __name__ == "__main__":
    main()
