"""What the shells offer when Tab is pressed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from client import Impasto
from client.cli import COMMANDS
from shared.parameters import field_names
from shared.presets import PRESETS
from tests.client.conftest import NOBODY, Run

MakePicture = Callable[..., Path]
HEAVY = ("torch", "numpy", "flask", "celery", "boto3", "redis", "PIL")


def complete(line: str, url: str = NOBODY) -> list[str]:
    """What fish would show after `line`, each with its description."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", "from client.cli import main; main(prog_name='impasto')"],
        env={
            **os.environ,
            "_IMPASTO_COMPLETE": "fish_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": words[-1],
            "IMPASTO_URL": url,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.splitlines() if item]


def names(items: list[str]) -> list[str]:
    return [item.partition("\t")[0] for item in items]


def test_commands_are_completed_with_what_they_do() -> None:
    assert names(complete("impasto ")) == sorted(COMMANDS)
    assert complete("impasto ba") == ["batch\tPaint all pictures of a folder."]
    assert names(complete("impasto --ver")) == ["--version"]


def test_options_presets_and_parameters_are_completed() -> None:
    assert "--recursive" in names(complete("impasto batch --rec"))
    for command in ("submit", "batch", "estimate"):
        assert names(complete(f"impasto {command} --preset ")) == list(PRESETS)
        assert names(complete(f"impasto {command} --set style_w")) == [
            f"{name}=" for name in field_names() if name.startswith("style_w")
        ]
    assert names(complete("impasto submit --priority l")) == ["low"]
    assert names(complete("impasto completion z")) == ["zsh"]


def test_jobs_are_completed_each_command_those_that_it_takes(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    ids = [impasto.submit(picture_file("content"), [picture_file("style")]).id for _ in range(2)]
    impasto.cancel(ids[0])
    assert names(complete("impasto status ", impasto.url)) == ids[::-1]
    assert names(complete("impasto cancel ", impasto.url)) == [ids[1]]
    assert names(complete("impasto retry ", impasto.url)) == [ids[0]]
    (offered,) = complete(f"impasto status {ids[1]}", impasto.url)
    assert offered == f"{ids[1]}\tqueued {picture_file('content').name}"
    assert names(complete(f"impasto status --url {impasto.url} ")) == ids[::-1]


def test_a_service_that_is_away_offers_nothing_and_takes_no_time() -> None:
    started = time.monotonic()
    assert complete("impasto status ") == []
    assert time.monotonic() - started < 10


def test_completing_imports_nothing_heavy() -> None:
    code = (
        "import sys, client.cli as c\n"
        "try: c.main(prog_name='impasto')\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    for line in ("impasto ", "impasto batch --", "impasto submit --set s", "impasto status --"):
        environment = {
            **os.environ,
            "_IMPASTO_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]", line
        assert len(done.stdout.splitlines()) > 1, line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_with_where_to_put_it(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "_IMPASTO_COMPLETE" in done.stdout
    assert f"impasto completion {shell} > " in done.stdout
    assert run("completion", "cmd").exit_code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_with_it(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "impasto.bash"
    script.write_text(run("completion", "bash").stdout)
    command = tmp_path / "impasto"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m client.cli "$@"\n')
    command.chmod(0o755)
    typed = (
        f"source {script}; COMP_WORDS=(impasto submit --preset textu); COMP_CWORD=3;"
        ' _impasto_completion impasto; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", typed],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "texture"
