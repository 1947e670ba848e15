"""What is copied from the page does what the page would have done."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import FilePayload, Page, expect

from shared.jobs import Job

ROOT = Path(__file__).resolve().parents[2]
AWKWARD = 'it\'s; a "wide" $HOME,\\photo.png'


def copied(page: Page, kind: str) -> str:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=f"Copy the request as {kind}").click()
    expect(page.locator("#copy [role=status]")).to_have_text("Copied.")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.fixture
def awkward(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, second_painting, tmp_path
) -> None:
    """A request of everything that can be said, of files whose names need care; and the files."""
    content = {**photograph, "name": AWKWARD}
    visitor.choose(content, painting, second_painting)
    for file in (content, painting, second_painting):
        (tmp_path / file["name"]).write_bytes(file["buffer"])
    page.get_by_role("slider", name="Share of rings.png").fill("30")
    page.get_by_role("button", name="Where rings.png paints").click()
    page.get_by_role("button", name="Left", exact=True).click()
    expect(page.get_by_role("button", name="Save the masks")).to_be_hidden()
    page.get_by_role("button", name="Use this mask").click()
    masks = visitor.take("Save the masks", tmp_path)
    assert masks.name == "masks.zip"
    with zipfile.ZipFile(masks) as archive:
        archive.extractall(tmp_path)
    page.get_by_label("Long side of the picture").fill("64")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Steps", exact=True).fill("3")
    page.get_by_label("Begin with", exact=True).select_option("image")
    beginning = {**photograph, "name": "begin.png"}
    page.locator("#beginning input[type=file]").set_input_files([beginning])
    (tmp_path / "begin.png").write_bytes(photograph["buffer"])
    page.get_by_label("Place in line").select_option("high")
    page.get_by_label("File", exact=True).select_option("webp")
    page.get_by_role("button", name="Every parameter").click()
    page.get_by_label("pyramid", exact=True).uncheck()
    page.get_by_label("pooling_rescale", exact=True).check()
    page.get_by_role("button", name="Done").click()


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IMPASTO_API_KEY": ""}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def newest(url: str) -> dict[str, Any]:
    job: dict[str, Any] = httpx.get(f"{url}/v1/jobs", params={"limit": 1}).json()["jobs"][0]
    return job


def check_same(page: Page, stack, copy: dict[str, Any]) -> None:
    """Whether the page makes the same job."""
    page.get_by_role("button", name="Paint", exact=True).click()
    page.wait_for_url("**/#job/*")
    job_id = page.url.rsplit("/", 1)[-1]
    own = httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").json()
    for key in ("params", "inputs", "metadata", "priority"):
        assert copy[key] == own[key]
    assert len(own["inputs"]["masks"]) == 2


@pytest.mark.usefixtures("awkward")
def test_the_copied_curl_makes_the_same_job(stack, page: Page, tmp_path: Path) -> None:
    command = copied(page, "curl")
    assert "Authorization" not in command  # nobody has entered a key
    job = Job.model_validate_json(run(["sh", "-c", command], tmp_path))
    httpx.post(f"{stack.url}/v1/jobs/{job.id}/cancel")
    check_same(page, stack, job.model_dump(mode="json"))


@pytest.mark.usefixtures("awkward")
def test_the_copied_python_makes_the_same_job_and_saves_its_picture(
    stack, page: Page, tmp_path: Path
) -> None:
    program = tmp_path / "paint.py"
    program.write_text(copied(page, "Python"))
    run([sys.executable, str(program)], tmp_path)
    assert (tmp_path / "painted.webp").read_bytes()[8:12] == b"WEBP"
    check_same(page, stack, newest(stack.url))


def test_where_a_key_is_needed_it_is_taken_from_the_environment(page: Page) -> None:
    command = page.evaluate(
        """() => import('/web/snippets.js').then(({ curl }) => curl({
             url: 'https://paint.example', content: 'a.jpg', styles: ['b.jpg'], masks: [],
             init: null, params: { preset: 'default' }, metadata: {}, priority: 'normal',
             hasKey: true }))"""
    )
    assert '-H "Authorization: Bearer $IMPASTO_API_KEY"' in command
