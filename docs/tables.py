"""Writes the tables of the pages from the code they describe: `python docs/tables.py`."""

import re
from pathlib import Path

from pydantic import SecretStr

from client.reference import entries
from shared.parameters import Parameters
from shared.presets import PRESETS
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (README, ROOT / "docs" / "engine.md")


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


def parameters() -> list[str]:
    """A row for each parameter."""
    return [
        f"| `{entry.name}` | {entry.kind.replace('|', 'or')} | {_code(entry.default)} |"
        f" {entry.description} |"
        for entry in entries(Parameters.model_json_schema())
    ]


def filled(text: str) -> str:
    """`text` with the rows that the code says now under each `<!-- table -->` mark's header."""
    tables = {"presets": presets(), "settings": settings(), "parameters": parameters()}
    for name, rows in tables.items():
        old = rf"(?<=\|---\|\n)(\| `[^\n]*\n)*<!-- {name} -->"
        new = "\n".join([*rows, f"<!-- {name} -->"])
        text = re.sub(old, new.replace("\\", r"\\"), text)
    return text


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
