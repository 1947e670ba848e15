"""Small pictures, and the command as a shell would call it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from worker.commands.stylize import stylize

Run = Callable[..., Result]
FAST = ["--size", "48", "--steps", "3"]


def save(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    Image.fromarray((pixels * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def content(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:60, 0:80] / 80
    return save(tmp_path / "content.png", np.stack([y, x, 0.5 + 0.4 * np.sin(9 * x)], axis=-1))


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return save(tmp_path / "style.png", np.random.default_rng(0).random((40, 40, 3)))


@pytest.fixture
def other_style(tmp_path: Path) -> Path:
    return save(tmp_path / "other.png", np.random.default_rng(1).random((40, 44, 3)) ** 2)


@pytest.fixture
def run() -> Run:
    """Runs the command with arguments of any kind, and does not judge how it ended."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(stylize, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def painted(run: Run) -> Run:
    """Runs the command, which must succeed."""

    def call(*arguments: object) -> Result:
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return call
