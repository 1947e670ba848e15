"""The command on small pictures, with the real network."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import get_args

import click
import numpy as np
import pytest
from PIL import Image

from shared.parameters import Parameters
from tests.worker.commands.conftest import FAST, Run, save
from worker.commands import stylize as module
from worker.commands.stylize import stylize
from worker.curves import COLUMNS
from worker.engine import Stylization
from worker.engine.errors import OutOfMemory
from worker.manifest import Precedent


def test_it_paints_a_picture_and_says_where(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    result = painted(content, style, "-o", output, *FAST)
    assert f"Saved {output} (48 x 36 px, 3 steps" in result.stdout
    with Image.open(output) as image:
        assert image.size == (48, 36)


def test_the_last_line_is_json_for_scripts(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output, table = tmp_path / "out.webp", tmp_path / "losses.csv"
    result = painted(content, style, "-o", output, "--csv", table, *FAST, "--json")
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["steps"] == 3
    assert report["seconds"] > 0
    assert report["steps_per_second"] == pytest.approx(3 / report["seconds"], rel=0.01)
    losses = report["losses"]
    assert losses["total"] == pytest.approx(losses["content"] + losses["style"] + losses["tv"])
    assert losses["total"] == pytest.approx(sum(losses["layers"].values()) + losses["tv"])
    assert report["output"] == str(output)
    assert report["files"] == [str(output), str(table)]
    assert report["same_as_manifest"] is None
    with Image.open(output) as image:
        assert image.format == "WEBP"


@pytest.mark.parametrize(
    ("name", "settings", "format", "mode"),
    [
        ("out.png", [], "PNG", "RGB"),
        ("out.JPEG", ["--set", "output.quality=70"], "JPEG", "RGB"),
        ("out.tif", ["--set", "output.bit_depth=16"], "TIFF", None),
    ],
)
def test_the_name_of_the_output_decides_its_format(
    name: str,
    settings: list[str],
    format: str,
    mode: str | None,
    painted: Run,
    content: Path,
    style: Path,
    tmp_path: Path,
) -> None:
    painted(content, style, "-o", tmp_path / name, *FAST, *settings)
    with Image.open(tmp_path / name) as image:
        assert image.format == format
        assert mode in (None, image.mode)


def test_the_manifest_says_all_that_decided_the_picture(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output, manifest = tmp_path / "out.jpg", tmp_path / "out.json"
    arguments = ["--save-manifest", manifest, "--seed", 7, "--json"]
    result = painted(content, style, "-o", output, *FAST, *arguments)
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
    assert "style/relu5_1" in said["losses"]["layers"]


def test_options_override_set_and_set_overrides_the_preset(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    arguments = [
        *("--preset", "neural-style", "--set", "size=40", "--set", "steps=9", "--steps", "2"),
        *("--set", "pyramid.min_size=32", "--set", "tv_weight=0", "--style-weight", "50"),
        *("--init", "noise", "--precision", "float32"),
    ]
    painted(content, style, "-o", output, *arguments)
    parameters = Precedent.read(output.read_bytes()).recipe.parameters
    assert parameters.optimizer == "lbfgs"
    assert (parameters.size, parameters.steps) == (40, 2)
    assert parameters.pyramid is not None
    assert parameters.pyramid.min_size == 32
    assert (parameters.tv_weight, parameters.style_weight) == (0, 50)
    assert (parameters.init, parameters.precision) == ("noise", "float32")


@pytest.mark.parametrize("name", ["init", "quality", "color", "precision"])
def test_choices_are_those_of_the_parameters(name: str) -> None:
    (option,) = [parameter for parameter in stylize.params if parameter.name == name]
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == get_args(Parameters.model_fields[name].annotation)


def test_the_same_command_gives_the_same_bytes(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    outputs = [tmp_path / "a.png", tmp_path / "b.png"]
    for output in outputs:
        painted(content, style, "-o", output, *FAST, "--init", "noise", "--seed", 3)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_a_texture_needs_no_photograph(painted: Run, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "texture.png"
    shape = ["--set", "aspect_ratio=1.5"]
    painted(style, "-o", output, "--preset", "texture", *FAST, *shape)
    with Image.open(output) as image:
        assert image.size == (48, 32)


def test_a_reconstruction_needs_no_painting(
    painted: Run, run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "reconstruction.png"
    painted(content, "-o", output, "--preset", "reconstruction", *FAST)
    with Image.open(output) as image:
        assert image.size == (48, 36)
    result = run(content, style, "-o", output, "--preset", "reconstruction", *FAST)
    assert result.exit_code == 2
    assert "one picture too many" in result.stderr


def test_masks_say_where_each_style_applies(
    painted: Run, content: Path, style: Path, other_style: Path, tmp_path: Path
) -> None:
    half = np.zeros((30, 40))
    half[:, :20] = 1
    left = save(tmp_path / "left.png", half)
    right = save(tmp_path / "right.png", 1 - half)
    outputs = []
    for masks in ([left, right], [right, left]):
        outputs.append(tmp_path / f"{masks[0].stem}-first.png")
        arguments = [argument for mask in masks for argument in ("--mask", mask)]
        painted(content, style, other_style, *arguments, "-o", outputs[-1], *FAST)
    recipes = [Precedent.read(output.read_bytes()).recipe for output in outputs]
    assert recipes[0].inputs.masks == recipes[1].inputs.masks[::-1]
    pictures = [np.asarray(Image.open(output)) for output in outputs]
    assert (pictures[0] != pictures[1]).any()


def test_a_run_can_start_from_any_picture(
    painted: Run, content: Path, style: Path, other_style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    painted(content, style, "--init-image", other_style, "-o", output, *FAST)
    recipe = Precedent.read(output.read_bytes()).recipe
    assert recipe.parameters.init == "image"
    assert recipe.inputs.init == hashlib.sha256(other_style.read_bytes()).hexdigest()


def test_transparency_of_the_photograph_is_kept(painted: Run, style: Path, tmp_path: Path) -> None:
    pixels = np.full((48, 48, 4), 0.5)
    pixels[:, :24, 3], pixels[:, 24:, 3] = 1, 0
    content = save(tmp_path / "cut-out.png", pixels)
    output = tmp_path / "out.png"
    painted(content, style, "-o", output, *FAST)
    with Image.open(output) as image:
        alpha = np.asarray(image.getchannel("A"))
    assert (alpha[:, :20] == 255).all()
    assert (alpha[:, 28:] == 0).all()


def test_the_losses_of_every_step_go_into_a_table(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    table = tmp_path / "losses.csv"
    settings = ["--size", 64, "--steps", 5, "--set", "pyramid.min_size=32", "--csv", table]
    painted(content, style, "-o", tmp_path / "out.png", *settings)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [(row["level"], row["size"]) for row in rows] == [("1", "32")] * 3 + [("2", "64")] * 2
    layers = rows[0].keys() - set(COLUMNS)
    contents = {"content/relu4_2", "content/relu5_2"}
    assert layers == contents | {f"style/relu{block}_1" for block in range(1, 6)}
    for row in rows:
        summed = sum(float(row[layer]) for layer in layers) + float(row["tv"])
        assert float(row["total"]) == pytest.approx(summed)


def test_the_run_can_be_seen_as_curves_and_as_an_animation(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    curves, growth = tmp_path / "losses.png", tmp_path / "growth.gif"
    result = painted(
        content, style, "-o", tmp_path / "out.png", *FAST, "--plot", curves, "--animate", growth
    )
    assert f"Saved {curves}" in result.stdout
    assert f"Saved {growth}" in result.stdout
    with Image.open(curves) as image:
        assert image.format == "PNG"
    with Image.open(growth) as image:
        assert image.size == (48, 36)
        assert image.n_frames == 4  # the start, and three steps


def test_an_animation_ends_with_the_picture_also_when_a_rule_ends_the_run(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output, growth = tmp_path / "out.png", tmp_path / "growth.webp"
    rule = ["--steps", 200, "--set", 'plateau={"window": 2, "change": 0.9}', "--size", 48]
    painted(content, style, "-o", output, *rule, "--animate", growth)
    assert Precedent.read(output.read_bytes()).recipe.parameters.plateau is None
    with Image.open(growth) as image, Image.open(output) as picture:
        assert image.n_frames < 12
        image.seek(image.n_frames - 1)
        shown = np.asarray(image.convert("RGB")).astype(float)
        assert np.abs(shown - np.asarray(picture)).mean() < 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "stepz=4"], "no parameter 'stepz': did you mean 'steps'?"),
        (["--set", "size"], "'size' is not key=value"),
        (["--size", "7"], "size: Input should be greater than or equal to 32"),
        (["--set", 'style_layers={"relu9_1": 1}'], "unknown layer 'relu9_1'"),
        (["--preset", "nonsense"], "'nonsense' is not one of 'default'"),
        (["--set", "output=png"], "output.quality"),
        (["--set", "style_weights=[1, 2]"], "style_weights has 2"),
        (["--mask", "{content}", "--mask", "{content}"], "2 masks for 1 style image"),
        (["--init", "image"], "the image to start from is missing"),
        (["--init-image", "{content}", "--init", "gray"], "set init=image"),
        (["--set", "aspect_ratio=2"], "aspect_ratio is given"),
    ],
)
def test_wrong_usage_is_explained_with_exit_code_2(
    arguments: list[str], sentence: str, run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    arguments = [str(content) if word == "{content}" else word for word in arguments]
    result = run(content, style, "-o", tmp_path / "out.png", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("-o", "out.gif"),
        ("-o", "out"),
        ("-o", "missing/out.png"),
        ("--save-manifest", "missing/run.json"),
        ("--csv", "missing/losses.csv"),
        ("--plot", "losses.jpg"),
        ("--plot", "missing/losses.svg"),
        ("--animate", "growth.mp4"),
        ("--animate", "missing/growth.webp"),
    ],
)
def test_a_file_that_cannot_be_written_is_found_before_the_work(
    option: str,
    name: str,
    run: Run,
    content: Path,
    style: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(module, "Sources")
    outputs = {"-o": tmp_path / "out.png", option: tmp_path / name}
    words = [word for pair in outputs.items() for word in pair]
    result = run(content, style, *words, *FAST)
    assert result.exit_code == 2
    assert "cannot" in result.stderr
    assert Path(name).name in result.stderr


def test_two_files_of_one_name_are_found_before_the_work(
    run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.webp"
    result = run(content, style, "-o", output, "--animate", output, *FAST)
    assert result.exit_code == 2
    assert "name different files" in result.stderr
    assert not output.exists()


def test_a_picture_is_not_painted_over(run: Run, content: Path, style: Path) -> None:
    before = content.read_bytes()
    result = run(content, style, "-o", content, *FAST)
    assert result.exit_code == 2
    assert f"{content} is a picture to paint from" in result.stderr
    assert content.read_bytes() == before


def test_a_file_that_is_no_picture_fails_with_its_name(
    run: Run, content: Path, style: Path, tmp_path: Path
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
    ],
)
def test_what_the_engine_refuses_is_a_sentence_with_exit_code_1(
    arguments: list[str], sentence: str, run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    result = run(content, style, "-o", tmp_path / "out.png", *FAST, *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("error", [OutOfMemory("too little memory: try 512"), MemoryError()])
def test_too_little_memory_is_a_sentence(
    error: Exception,
    run: Run,
    content: Path,
    style: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(module, "_paint", fail)
    result = run(content, style, "-o", tmp_path / "out.png", *FAST)
    assert result.exit_code == 1
    assert "Error: too little memory" in result.stderr


def test_losses_that_do_not_fit_into_memory_cost_no_picture(
    painted: Run, content: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Stylization, precision: str) -> None:
        raise MemoryError

    monkeypatch.setattr(Stylization, "delivered_losses", fail)
    output, manifest = tmp_path / "out.png", tmp_path / "run.json"
    painted(content, style, "-o", output, *FAST, "--save-manifest", manifest)
    assert output.exists()
    assert json.loads(manifest.read_text())["losses"] is None


def test_ctrl_c_ends_with_130_and_leaves_no_file(
    run: Run, content: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_paint", interrupted)
    result = run(content, style, "-o", tmp_path / "out.png", *FAST)
    assert result.exit_code == 130
    assert "nothing was saved" in result.stderr
    assert not (tmp_path / "out.png").exists()


def test_ctrl_c_after_the_picture_was_saved_says_so(
    run: Run, content: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "losses_of", interrupted)
    output = tmp_path / "out.png"
    result = run(content, style, "-o", output, *FAST)
    assert result.exit_code == 130
    assert f"interrupted; saved {output}" in result.stderr
    assert output.exists()
