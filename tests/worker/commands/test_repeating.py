"""`--manifest` paints the same picture again, byte for byte."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from tests.worker.commands.conftest import FAST, Run, save
from worker.commands import stylize as module
from worker.manifest import Precedent

SAME = "Byte for byte the picture of the manifest"
DIFFERENT = "Not byte for byte the picture of the manifest"


@pytest.fixture
def first(painted: Run, content: Path, style: Path, tmp_path: Path) -> Path:
    """A picture, with its manifest beside it."""
    output = tmp_path / "first.png"
    arguments = ["--init", "noise", "--seed", 5, "--save-manifest", tmp_path / "first.json"]
    painted(content, style, "-o", output, *FAST, *arguments)
    return output


@pytest.mark.parametrize("suffix", [".json", ".png"])
def test_a_manifest_or_the_picture_itself_gives_the_same_bytes(
    suffix: str, first: Path, painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.png"
    manifest = first.with_suffix(suffix)
    result = painted(content, style, "-o", again, "--manifest", manifest)
    assert again.read_bytes() == first.read_bytes()
    assert SAME in result.stdout
    assert result.stderr == ""
    result = painted(content, style, "-o", again, "--manifest", manifest, "--json")
    assert json.loads(result.stdout)["same_as_manifest"] is True


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tiff"])
def test_pictures_of_every_format_are_their_own_manifests(
    name: str, painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    first, again = tmp_path / name, tmp_path / f"again-{name}"
    painted(content, style, "-o", first, *FAST)
    painted(content, style, "-o", again, "--manifest", first)
    assert again.read_bytes() == first.read_bytes()


def test_masks_and_the_image_to_start_from_belong_to_it(
    painted: Run, run: Run, content: Path, style: Path, other_style: Path, tmp_path: Path
) -> None:
    half = np.zeros((30, 40))
    half[:, :20] = 1
    left = save(tmp_path / "left.png", half)
    right = save(tmp_path / "right.png", 1 - half)
    start = save(tmp_path / "start.png", np.random.default_rng(9).random((36, 48, 3)))
    first, again = tmp_path / "first.png", tmp_path / "again.png"

    def arguments(*masks: Path) -> list[object]:
        words = [word for mask in masks for word in ("--mask", mask)]
        return [content, style, other_style, *words, "--init-image", start]

    painted(*arguments(left, right), "-o", first, *FAST)
    painted(*arguments(left, right), "-o", again, "--manifest", first)
    assert again.read_bytes() == first.read_bytes()
    result = run(*arguments(right, left), "-o", again, "--manifest", first)
    assert result.exit_code == 2
    assert f"{right} is not mask 1" in result.stderr
    result = run(*arguments(), "-o", again, "--manifest", first)
    assert result.exit_code == 2
    assert "0 masks instead of 2" in result.stderr


def test_a_run_that_a_plateau_ended_is_repeated_step_by_step(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    rule = ["--set", 'plateau={"window": 2, "change": 0.5}', "--set", "pyramid.min_size=32"]
    painted(content, style, "-o", first, "--size", 64, "--steps", 60, *rule)
    recipe = Precedent.read(first.read_bytes()).recipe
    assert recipe.parameters.plateau is None
    result = painted(content, style, "-o", again, "--manifest", first)
    assert SAME in result.stdout
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("role", "sentence"),
    [("content", "is not the content image"), ("style", "is not style image 1")],
)
def test_another_picture_is_refused_by_name(
    role: str,
    sentence: str,
    first: Path,
    run: Run,
    content: Path,
    style: Path,
    other_style: Path,
    tmp_path: Path,
) -> None:
    pictures = {"content": content, "style": style, role: other_style}
    result = run(*pictures.values(), "-o", tmp_path / "again.png", "--manifest", first)
    assert result.exit_code == 2
    assert f"{other_style} {sentence}" in result.stderr
    assert not (tmp_path / "again.png").exists()


def test_styles_more_or_fewer_than_in_the_manifest_are_refused(
    first: Path, run: Run, content: Path, style: Path, other_style: Path, tmp_path: Path
) -> None:
    result = run(content, style, other_style, "-o", tmp_path / "a.png", "--manifest", first)
    assert result.exit_code == 2
    assert "2 style images instead of 1" in result.stderr


def test_what_is_overridden_is_said_and_the_rest_is_kept(
    first: Path, painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "again.webp"
    overrides = ["--steps", 2, "--set", "output.quality=50"]
    result = painted(content, style, "-o", output, "--manifest", first, *overrides)
    assert "Other parameters than in the manifest (steps, output)" in result.stderr
    assert DIFFERENT in result.stdout
    parameters = Precedent.read(output.read_bytes()).recipe.parameters
    assert (parameters.steps, parameters.seed, parameters.init) == (2, 5, "noise")
    assert (parameters.output.format, parameters.output.quality) == ("webp", 50)


def test_steps_override_those_of_each_level(
    painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    levels = ["--size", 64, "--set", "pyramid.min_size=32", "--set", "pyramid.steps=[3, 2]"]
    painted(content, style, "-o", first, *levels)
    result = painted(content, style, "-o", again, "--manifest", first, "--steps", 2, "--json")
    assert json.loads(result.stdout)["steps"] == 2


def test_another_optimizer_gets_a_learning_rate_of_its_own(
    first: Path, painted: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    output = tmp_path / "again.png"
    arguments = ["--manifest", first, "--set", "optimizer=adam"]
    painted(content, style, "-o", output, *arguments)
    assert Precedent.read(output.read_bytes()).recipe.parameters.learning_rate < 0.1


@pytest.mark.parametrize("override", [["--preset", "d2l"], ["--set", "quality=high"]])
def test_a_set_of_values_does_not_go_with_a_manifest(
    override: list[str], first: Path, run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    result = run(content, style, "-o", tmp_path / "a.png", "--manifest", first, *override)
    assert result.exit_code == 2
    assert "does not go with --manifest" in result.stderr


def test_it_is_said_before_the_work_that_this_machine_is_another(
    first: Path,
    run: Run,
    content: Path,
    style: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = first.with_suffix(".json")
    said = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**said, "torch_version": "2.0.1", "precision": "float16"}))

    def not_reached(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_paint", not_reached)
    result: Result = run(content, style, "-o", tmp_path / "a.png", "--manifest", manifest)
    assert "The picture may differ" in result.stderr
    assert "and was 2.0.1" in result.stderr
    assert "and was float16" in result.stderr


def test_a_file_that_is_no_manifest_is_named(
    run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    result = run(content, style, "-o", tmp_path / "a.png", "--manifest", content)
    assert result.exit_code == 1
    assert f"{content}: neither a manifest nor a picture that carries" in result.stderr


def test_a_picture_without_metadata_cannot_be_repeated(
    painted: Run, run: Run, content: Path, style: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first.png"
    painted(content, style, "-o", first, *FAST, "--set", "output.metadata=false")
    result = run(content, style, "-o", tmp_path / "a.png", "--manifest", first)
    assert result.exit_code == 1
    assert "output.metadata=false" in result.stderr
