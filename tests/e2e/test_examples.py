"""What the README shows is what happens."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from client import Impasto
from deploy.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
# Threads of PyTorch wait for each other busily, and here others want the cores.
ONE_THREAD = {"IMPASTO_THREADS": "1"}
ADDRESS = "http://127.0.0.1:8080"


def test_the_demo_paints_the_samples_and_leaves_the_picture_and_its_manifest(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "demo", "--size", "96", "-o", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, "COLUMNS": "200"},
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


# -- the blocks of the README ---------------------------------------------------------------------

SECTIONS = ("curl", "Python", "Command line")
# Blocks that start servers, install, or need other machines, by their section: not run here.
NOT_RUN = ("Two commands", "More workers", "Docker")

SMALLER = {"size": 48, "steps": 2}
# As they are written, the examples would paint for minutes: these do what they are told, smaller.
CURL = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
if any(word.startswith("params=") for word in arguments) or any("@" in word for word in arguments):
    params = [word for word in arguments if word.startswith("params=")]
    asked = json.loads(params[0].partition("=")[2]) if params else {{}}
    arguments = [word for word in arguments if word not in params]
    if params:  # what went before it is -F
        arguments.pop(sys.argv[1:].index(params[0]) - 1)
    arguments += ["-F", "params=" + json.dumps({{**asked, **{smaller}}})]
if not any(word[0] == "-" and word[1] != "-" and "f" in word for word in arguments):
    arguments.insert(0, "--fail-with-body")
os.execv({curl!r}, ["curl", *arguments])
"""
IMPASTO = """#!{python}
import sys
from client.cli import main
if sys.argv[1] in ("submit", "batch", "estimate"):
    sys.argv += [word for pair in {smaller}.items() for word in ("--set", "%s=%s" % pair)]
if sys.argv[1] == "stylize" and "--manifest" not in sys.argv:
    sys.argv += ["--size", "48", "--steps", "2"]
main(prog_name="impasto")
"""


def blocks(language: str, sections: tuple[str, ...] = SECTIONS) -> list[tuple[str, str]]:
    """Code in these sections of the README, each with the name of its section."""
    parts = re.split(r"^## (.+)$", README, flags=re.MULTILINE)[1:]
    return [
        (name, code)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
        if name in sections
        for code in re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]


def test_every_block_of_the_readme_is_run_or_named_here() -> None:
    everything = tuple(re.findall(r"^## (.+)$", README, re.MULTILINE))
    with_code = {name for name in everything if blocks("[a-z]+", (name,))}
    assert with_code == {*SECTIONS, *NOT_RUN}


@pytest.fixture
def desk(tmp_path: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader of the README types, with the pictures that it speaks of."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here")
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "activate").touch()  # the tests run in an environment already
    filled = {"python": sys.executable, "smaller": SMALLER, "curl": curl}
    for name, script in (("curl", CURL), ("impasto", IMPASTO)):
        (commands / name).write_text(script.format(**filled))
        (commands / name).chmod(0o755)
    (commands / "python3").symlink_to(sys.executable)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    for name, place in (("left", 0), ("right", 48)):
        mask = Image.new("L", (96, 72))
        mask.paste(255, (place, 0, place + 48, 72))
        mask.save(tmp_path / f"{name}.png")
    (tmp_path / "holiday" / "deeper").mkdir(parents=True)
    for name in ("beach.png", "deeper/sea.png"):
        Image.new("RGB", (64, 48), "navy").save(tmp_path / "holiday" / name)
    for name, value in {**stack.environment, **ONE_THREAD}.items():
        if name.startswith("IMPASTO_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("IMPASTO_URL", stack.url)
    monkeypatch.setenv("PATH", os.pathsep.join([str(commands), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(600)
@pytest.mark.parametrize("section", ["curl", "Command line"])
def test_what_the_readme_types_into_a_shell_works(stack: Stack, desk: Path, section: str) -> None:
    samples = [ROOT / "samples" / name for name in ("harbor.jpg", "ink.jpg")]
    with Impasto(stack.url) as impasto:
        job = impasto.wait(impasto.submit(samples[0], samples[1:], **SMALLER).id)
    # A reader has the variables of the blocks before.
    (desk / "variables").write_text(f"job={job.id}\nurl={stack.url}\n")
    found = blocks("sh", (section,))
    assert found
    for _, code in found:
        script = "\n".join(
            [
                "set -euo pipefail; . ./variables",
                code.replace(ADDRESS, stack.url),
                "declare -p job url > variables",
            ]
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    with Image.open(desk / "painted.png") as picture:
        assert max(picture.size) == SMALLER["size"]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_of_the_readme_paints(stack: Stack, desk: Path, number: int) -> None:
    _, code = blocks("python")[number]
    assert ADDRESS in code
    assert "size=384" in code
    here = code.replace(ADDRESS, stack.url).replace("size=384", "size=64, steps=5")
    subprocess.run([sys.executable, "-c", here], check=True, timeout=200)
    painted = list(desk.glob("*.png"))
    sizes = []
    for path in painted:
        with Image.open(path) as picture:
            sizes.append(picture.size)
    assert (64, 48) in sizes
