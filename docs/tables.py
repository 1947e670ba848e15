"""Writes the tables of the README from the code they describe: `python docs/tables.py`."""

import re
from pathlib import Path

from pydantic import SecretStr

from shared.presets import PRESETS
from shared.settings import Settings

README = Path(__file__).resolve().parents[1] / "README.md"


def presets() -> list[str]:
    """A row for each preset."""
    return [
        f"| `{name}` | {preset.summary} | {preset.source} |" for name, preset in PRESETS.items()
    ]


def settings() -> list[str]:
    """A row for each setting."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if default is None else f"`{default}`"
        rows.append(f"| `IMPASTO_{name.upper()}` | {shown} | {field.description} |")
    return rows


def filled(text: str) -> str:
    """`text` with the rows that the code says now under each `<!-- table -->` mark's header."""
    for name, rows in {"presets": presets(), "settings": settings()}.items():
        old = rf"(?<=\|---\|\n)(\| `[^\n]*\n)*<!-- {name} -->"
        new = "\n".join([*rows, f"<!-- {name} -->"])
        text = re.sub(old, new.replace("\\", r"\\"), text)
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
