"""What the README shows is what happens."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from deploy.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8080"


def test_the_demo_paints_the_samples_and_leaves_the_picture_and_its_manifest(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "demo", "--size", "96", "-o", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "result.png") in done.stdout
    assert "150/150" in done.stderr
    with Image.open(tmp_path / "result.png") as picture:
        assert picture.size == (96, 72)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["parameters"]["size"] == 96


def test_the_python_example_paints(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert ADDRESS in example
    assert "size=384" in example
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)

    exec(example.replace(ADDRESS, stack.url).replace("size=384", "size=64, steps=5"))  # noqa: S102

    with Image.open(tmp_path / "painted.png") as picture:
        assert picture.size == (64, 48)
