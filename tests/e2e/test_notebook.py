"""`Impasto.paint` where people use it: in a notebook, on a terminal, in a script."""

import base64
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from client import Impasto, Painting
from deploy.embedded.stack import Stack

MakePicture = Callable[..., Path]
PAINT = """
from client import Impasto

with Impasto({url!r}) as impasto:
    painting = impasto.paint({content!r}, [{style!r}], size=128, steps={steps}, {more})
print(painting.picture.size)
"""


@pytest.fixture
def code(stack: Stack, picture_file: MakePicture) -> Callable[..., str]:
    content, style = picture_file("content", 256, 192), picture_file("style", 128, 128)

    def fill(steps: int = 40, more: str = "") -> str:
        return PAINT.format(
            url=stack.url, content=str(content), style=str(style), steps=steps, more=more
        )

    return fill


def executed(*cells: str) -> tuple[list[Any], list[str]]:
    """The outputs of the last cell, and all HTML that a display showed or was updated with."""
    shown: list[str] = []

    class Client(NotebookClient):
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            html = msg.get("content", {}).get("data", {}).get("text/html")
            if html and msg["msg_type"] in ("display_data", "update_display_data"):
                shown.append(html)
            return super().process_message(msg, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    Client(notebook, timeout=200, kernel_name="python3").execute()
    return notebook.cells[-1].outputs, shown


def test_a_notebook_shows_the_bar_the_losses_and_the_picture_as_it_grows(
    code: Callable[..., str],
) -> None:
    (display, printed), shown = executed(code())
    assert printed.text == "(128, 96)\n"
    # It is one display, and it ends as the job does.
    assert display.output_type == "display_data"
    assert 'max="40" value="40"' in display.data["text/html"]
    assert display.data["text/plain"].startswith("succeeded 128x96 · step 40 of 40 · content ")
    assert len(shown) > 3
    steps = [int(step) for html in shown for step in re.findall(r'value="(\d+)"', html)]
    assert steps == sorted(steps)
    assert len(set(steps)) > 1
    pictures = {jpeg for html in shown for jpeg in re.findall(r"jpeg;base64,([^\"]+)", html)}
    assert pictures
    with Image.open(io.BytesIO(base64.b64decode(pictures.pop()))) as preview:
        assert preview.format == "JPEG"


def test_a_painting_shows_itself(code: Callable[..., str]) -> None:
    (png,), _ = executed(code(steps=3), "painting")
    with Image.open(io.BytesIO(base64.b64decode(png.data["image/png"]))) as picture:
        assert picture.size == (128, 96)
    (jpeg,), _ = executed(code(3, "output={'format': 'jpeg'}"), "painting")
    assert "image/jpeg" in jpeg.data
    assert "text/html" not in jpeg.data


def test_an_event_loop_that_runs_is_no_hindrance_and_can_be_used(code: Callable[..., str]) -> None:
    awaiting = (
        code(steps=3)
        .replace("import Impasto", "import AsyncImpasto as Impasto")
        .replace("with ", "async with ")
        .replace("impasto.paint", "await impasto.paint")
    )
    outputs, shown = executed(awaiting)
    assert outputs[-1].text == "(128, 96)\n"
    assert shown


def test_a_script_shows_nothing(code: Callable[..., str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code(steps=3)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("(128, 96)\n", "")


def test_a_terminal_shows_a_bar(code: Callable[..., str]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code(steps=3)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(20) == 0
    assert "succeeded 128x96" in seen.decode()
    assert "3/3" in seen.decode()


def test_every_kind_of_file_has_one_way_to_be_shown(
    stack: Stack, picture_file: MakePicture
) -> None:
    kinds = {}
    with Impasto(stack.url) as impasto:
        for kind in ("png", "jpeg", "webp", "tiff"):
            painting = impasto.paint(
                picture_file("content"),
                [picture_file("style")],
                size=32,
                steps=1,
                output={"format": kind},
            )
            assert isinstance(painting, Painting)
            assert painting.picture.format == kind.upper()
            shows = {
                "png": painting._repr_png_(),
                "jpeg": painting._repr_jpeg_(),
                "html": painting._repr_html_(),
            }
            kinds[kind] = {name for name, value in shows.items() if value is not None}
    assert kinds == {"png": {"png"}, "jpeg": {"jpeg"}, "webp": {"html"}, "tiff": {"html"}}


def test_painting_that_is_interrupted_says_that_the_job_goes_on(
    stack: Stack, code: Callable[..., str]
) -> None:
    indented = "\n".join(f"    {line}" for line in code(steps=2000).splitlines())
    interrupting = (
        "import threading, _thread\n"
        "threading.Timer(3, _thread.interrupt_main).start()\n"
        f"try:\n{indented}\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    outputs, _ = executed(interrupting)
    (display,) = [output for output in outputs if output.output_type == "display_data"]
    said = display.data["text/plain"]
    assert "goes on" in said
    (job_id,) = re.findall(r"job (\S+) goes", said)
    with Impasto(stack.url) as impasto:
        assert impasto.cancel(job_id).id == job_id
