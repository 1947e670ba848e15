"""The command on small pictures, with the real network."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from worker.commands import stylize as module
from worker.commands.stylize import stylize
from worker.engine import Stylization

FAST = ["--size", "48", "--steps", "3"]


@pytest.fixture
def content(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:60, 0:80] / 80
    pixels = np.stack([y, x, 0.5 + 0.4 * np.sin(9 * x)], axis=-1)
    return save(tmp_path / "content.png", pixels)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return save(tmp_path / "style.png", np.random.default_rng(0).random((40, 40, 3)))


def save(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    Image.fromarray((pixels * 255).astype(np.uint8)).save(path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(stylize, [str(argument) for argument in arguments])


def test_it_paints_a_picture_and_says_where(content: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    result = run(content, style, "-o", output, *FAST)
    assert result.exit_code == 0, result.output
    assert f"Saved {output} (48 x 36 px, 3 steps" in result.stdout
    with Image.open(output) as image:
        assert image.size == (48, 36)


def test_the_last_line_is_json_for_scripts(content: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.webp"
    result = run(content, style, "-o", output, *FAST, "--json")
    report = json.loads(result.stdout.splitlines()[-1])
    assert set(report) == {"steps", "seconds", "steps_per_second", "losses", "output"}
    assert report["steps"] == 3
    assert report["seconds"] > 0
    assert report["steps_per_second"] == pytest.approx(3 / report["seconds"], rel=0.01)
    losses = report["losses"]
    assert losses["total"] == pytest.approx(losses["content"] + losses["style"] + losses["tv"])
    assert report["output"] == str(output)
    with Image.open(output) as image:
        assert image.format == "WEBP"


def test_the_manifest_says_all_that_decided_the_picture(
    content: Path, style: Path, tmp_path: Path
) -> None:
    output, manifest = tmp_path / "out.jpg", tmp_path / "out.json"
    result = run(content, style, "-o", output, *FAST, "--manifest", manifest, "--seed", 7, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(manifest.read_text())
    assert said["parameters"]["seed"] == 7
    assert said["parameters"]["steps"] == 3
    assert said["parameters"]["output"]["format"] == "jpeg"
    assert said["weights"] == "oxford-q8"
    assert len(said["weights_sha256"]) == 64
    assert said["precision"] in ("float32", "bfloat16")
    assert said["inputs"]["content"] == hashlib.sha256(content.read_bytes()).hexdigest()
    assert said["inputs"]["styles"] == [hashlib.sha256(style.read_bytes()).hexdigest()]
    assert said["output"]["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    report = json.loads(result.stdout.splitlines()[-1])
    assert said["losses"] == report["losses"]


def test_options_override_set_and_set_overrides_the_preset(
    content: Path, style: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "run.json"
    arguments = [
        *("--preset", "neural-style", "--set", "size=40", "--set", "steps=9", "--steps", "2"),
        *("--set", "pyramid.min_size=32", "--set", "tv_weight=0", "--style-weight", "50"),
        *("--init", "noise", "--precision", "float32", "--manifest", manifest),
    ]
    result = run(content, style, "-o", tmp_path / "out.png", *arguments)
    assert result.exit_code == 0, result.output
    parameters = json.loads(manifest.read_text())["parameters"]
    assert parameters["optimizer"] == "lbfgs"
    assert (parameters["size"], parameters["steps"]) == (40, 2)
    assert parameters["pyramid"]["min_size"] == 32
    assert (parameters["tv_weight"], parameters["style_weight"]) == (0, 50)
    assert (parameters["init"], parameters["precision"]) == ("noise", "float32")


def test_the_same_command_gives_the_same_bytes(content: Path, style: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.png", tmp_path / "b.png"]
    for output in outputs:
        run(content, style, "-o", output, *FAST, "--init", "noise", "--seed", 3)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "stepz=4"], "no parameter 'stepz': did you mean 'steps'?"),
        (["--set", "size"], "'size' is not key=value"),
        (["--size", "7"], "size: Input should be greater than or equal to 32"),
        (["--set", 'style_layers={"relu9_1": 1}'], "unknown layer 'relu9_1'"),
        (["--preset", "nonsense"], "'nonsense' is not one of 'default'"),
    ],
)
def test_wrong_usage_is_explained_with_exit_code_2(
    arguments: list[str], sentence: str, content: Path, style: Path, tmp_path: Path
) -> None:
    result = run(content, style, "-o", tmp_path / "out.png", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize("name", ["out.gif", "out", "missing/out.png"])
def test_an_output_that_cannot_be_written_is_found_before_the_work(
    name: str, content: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, "Stylization")
    result = run(content, style, "-o", tmp_path / name, *FAST)
    assert result.exit_code == 2
    assert "cannot" in result.stderr


def test_a_file_that_is_no_picture_fails_with_its_name(
    content: Path, style: Path, tmp_path: Path
) -> None:
    style.write_bytes(b"not a picture")
    result = run(content, style, "-o", tmp_path / "out.png")
    assert result.exit_code == 1
    assert f"Error: {style}: not an image" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "/nowhere.pth"], "there is no weights file '/nowhere.pth'"),
        (["--device", "cuda:99"], "there is no device 'cuda:99'"),
        (["--set", "style_weights=[1, 2]"], "2 shares for 1 style"),
    ],
)
def test_what_the_engine_refuses_is_a_sentence_with_exit_code_1(
    arguments: list[str], sentence: str, content: Path, style: Path, tmp_path: Path
) -> None:
    result = run(content, style, "-o", tmp_path / "out.png", *FAST, *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_ctrl_c_ends_with_130_and_leaves_no_file(
    content: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(run: Stylization, *, show: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_paint", interrupted)
    result = run(content, style, "-o", tmp_path / "out.png", *FAST)
    assert result.exit_code == 130
    assert not (tmp_path / "out.png").exists()


def test_an_output_without_parts_is_wrong_usage(content: Path, style: Path, tmp_path: Path) -> None:
    result = run(content, style, "-o", tmp_path / "out.png", "--set", "output=png")
    assert result.exit_code == 2
    assert "output.quality" in result.output
