"""The README, and the page on the engine, say what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from client.cli import main
from docs.tables import PAGES, README, filled

TEXT = README.read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_their_tables_are_those_of_the_code(page: Path) -> None:
    assert filled(page.read_text()) == page.read_text(), "run: python docs/tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_their_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    local = [link for link in links if not link.startswith("http")]
    assert local
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("line", re.findall(r"^impasto (.*)$", SHELL, re.MULTILINE))
def test_its_commands_are_understood(line: str) -> None:
    """Each command exists and has the options that are used."""
    words = line.split("  #")[0].split()
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, words[0]
    known = {option for parameter in command.params for option in parameter.opts}
    used = {word for word in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    assert used <= known


def test_make_lists_its_targets() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help", f"PYTHON={sys.executable}"],
        cwd=Path(README).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {"demo", "test", "up", "lint", "bench"} <= {
        row.split()[0] for row in listed.splitlines()
    }
