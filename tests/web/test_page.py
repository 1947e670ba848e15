"""The whole way, from pictures that are dropped to one that is taken home, and the service."""

import base64
import io
import json
import re
import zipfile
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.web.conftest import Front, Open

PATIENCE_MS = 120_000  # while other tests keep the machine busy
DROP = """({ selector, files }) => {
  const transfer = new DataTransfer();
  for (const { name, type, base64 } of files) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const how = { bubbles: true, cancelable: true, dataTransfer: transfer };
  for (const event of ['dragenter', 'dragover', 'drop'])
    document.querySelector(selector).dispatchEvent(new DragEvent(event, how));
}"""


def drop(page: Page, selector: str, *pictures: FilePayload) -> None:
    files = [
        {
            "name": picture["name"],
            "type": picture["mimeType"],
            "base64": base64.b64encode(picture["buffer"]).decode(),
        }
        for picture in pictures
    ]
    page.evaluate(DROP, {"selector": selector, "files": files})


def test_two_pictures_that_are_dropped_become_one_that_can_be_taken_home(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload, tmp_path: Path
) -> None:
    drop(page, "#content", photograph)
    drop(page, "#style", painting)
    for chosen in ("quiet_field.png", "diagonal-strokes.png"):
        expect(page.get_by_role("img", name=chosen)).to_be_visible()
    page.get_by_label("Strength", exact=True).fill("0.5")

    job_id = visitor.order(size=64, steps=12)
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Diagonal strokes")
    expect(page.locator("#job-state")).to_have_text(re.compile("^Painted in"))
    expect(page.get_by_text(re.compile("L-BFGS, 12 steps, 64 . 48 px"))).to_be_visible()
    result = page.get_by_role("img", name="The finished picture")
    expect(result).to_have_js_property("naturalWidth", 64)

    with httpx.Client(base_url=f"{stack.url}/v1/jobs/") as api:
        bytes_of_the_api = api.get(f"{job_id}/result", params={"proxy": "1"}).content
        manifest_of_the_api = api.get(f"{job_id}/manifest").content
        params = api.get(job_id).json()["params"]

    picture = visitor.take("Download", tmp_path)
    assert picture.name == "quiet-field-after-diagonal-strokes.png"
    assert picture.read_bytes() == bytes_of_the_api
    manifest = visitor.take("Manifest", tmp_path)
    assert manifest.name == "quiet-field-after-diagonal-strokes.json"
    assert manifest.read_bytes() == manifest_of_the_api
    both = visitor.take("Both, as ZIP", tmp_path)
    with zipfile.ZipFile(both) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            picture.name: bytes_of_the_api,
            manifest.name: manifest_of_the_api,
        }

    presets = httpx.get(f"{stack.url}/v1/presets").json()["presets"]
    weight = presets[0]["parameters"]["style_weight"]
    assert params["style_weight"] == pytest.approx(weight * 10**0.5)

    page.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()
    expect(page.get_by_label("Long side of the picture")).to_have_value("64")
    expect(page.get_by_label("Steps", exact=True)).to_have_value("12")
    expect(page.get_by_label("Strength", exact=True)).to_have_value("0.5")


def test_of_pictures_beside_the_wells_one_that_cannot_be_read_is_said_where_it_belongs(
    page: Page, photograph: FilePayload, painting: FilePayload
) -> None:
    drop(page, "#presets", {**photograph, "buffer": b""}, painting)
    expect(page.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()
    expect(page.locator("#content .field-problem")).to_contain_text("is empty.")


def test_a_well_is_marked_as_long_as_pictures_are_dragged_over_any_part_of_it(
    page: Page, photograph: FilePayload, painting: FilePayload
) -> None:
    well = page.locator("#content")
    well.dispatch_event("dragenter")
    well.locator(".invite").dispatch_event("dragenter")
    well.dispatch_event("dragleave")  # older browsers do not say where to
    expect(well).to_contain_class("dragging")
    well.locator(".invite").dispatch_event("dragleave")
    expect(well).not_to_contain_class("dragging")

    # What they were dragged over may be gone before they leave it.
    choose = well.locator("input[type=file]")
    choose.set_input_files([photograph])
    well.locator(".frame").dispatch_event("dragenter")
    expect(well).to_contain_class("dragging")
    choose.set_input_files([painting])
    expect(page.get_by_role("img", name=painting["name"])).to_be_visible()
    page.locator("#works").dispatch_event("dragenter")
    expect(well).not_to_contain_class("dragging")


def choose_preset(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check()


def test_a_texture_is_painted_without_a_photograph(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    expect(page.locator("#content .invite-unused")).to_be_hidden()
    choose_preset(page, "Texture")
    expect(page.locator("#content .invite-unused")).to_be_visible()
    expect(page.locator("#style .invite-unused")).to_be_hidden()

    job_id = visitor.order(size=64, steps=5)
    expect(page.get_by_role("heading", level=1)).to_have_text("After Diagonal strokes")
    expect(page.locator("#job-state")).to_have_text(re.compile("^Painted in"))
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    expect(page.get_by_role("button", name="Compare with the photograph")).to_be_hidden()
    manifest = httpx.get(f"{stack.url}/v1/jobs/{job_id}/manifest").json()
    assert manifest["inputs"]["content"] is None

    page.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_role("radio", name="Texture", exact=True)).to_be_checked()
    expect(page.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()


def test_a_reconstruction_is_painted_without_a_painting(
    page: Page, visitor, photograph: FilePayload
) -> None:
    choose_preset(page, "Reconstruction")
    expect(page.locator("#style")).to_contain_text("This manner paints without a painting.")
    page.locator("#content input[type=file]").set_input_files([photograph])
    visitor.order(size=64, steps=5)
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field")
    expect(page.locator("#job-state")).to_have_text(re.compile("^Painted in"))


def test_a_picture_that_the_browser_cannot_show_can_be_taken_home(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload, tmp_path: Path
) -> None:
    files = {"content": photograph["buffer"], "style": painting["buffer"]}
    params = {"size": 64, "steps": 5, "output": {"format": "tiff", "bit_depth": 16}}
    form = {"params": json.dumps(params), "metadata": '{"content_name": "Tübingen.jpg"}'}
    job = httpx.post(f"{stack.url}/v1/jobs", files=files, data=form).json()
    page.goto(f"/#job/{job['id']}")
    expect(page.locator("#job-state")).to_have_text(re.compile("^Painted in"))
    expect(page.get_by_text("Browsers do not show TIFF")).to_be_visible()
    preview = page.get_by_role("img", name="The picture so far")
    expect(preview).to_have_js_property("naturalWidth", 64)

    picture = visitor.take("Download", tmp_path)
    assert picture.name == "tübingen.tiff"
    with Image.open(io.BytesIO(picture.read_bytes())) as image:
        assert (image.format, image.size) == ("TIFF", (64, 48))
    card = page.locator(f'#gallery li:has(a[href="#job/{job["id"]}"])')
    expect(card.locator("img")).to_have_js_property("naturalWidth", 64)


def test_the_page_says_that_the_service_is_away_and_goes_on_when_it_is_back(
    stack, open_page: Open, watch, photograph: FilePayload, painting: FilePayload, tmp_path: Path
) -> None:
    files = {"content": photograph["buffer"], "style": painting["buffer"]}
    form = {"params": json.dumps({"size": 96, "steps": 10_000})}
    with Front(stack.environment, tmp_path / "front.log") as front:
        job = httpx.post(f"{front.url}/v1/jobs", files=files, data=form).json()
        with open_page(front.url, f"/#job/{job['id']}") as page:
            expect(page.locator("#job-percent")).to_have_text(re.compile(r"\d+ %"))
            # A busy machine reports late, and with it that there is a preview.
            preview = page.get_by_role("img", name="The picture so far")
            expect(preview).to_be_visible(timeout=PATIENCE_MS)
            front.stop()
            expect(page.locator("#job-trouble")).to_contain_text("does not answer")
            expect(page.locator("#workers")).to_contain_text("does not answer")
            expect(preview).to_be_visible()

            step = page.locator("#job-detail").inner_text()
            front.start()
            expect(page.locator("#job-trouble")).to_be_empty()
            expect(page.locator("#job-detail")).not_to_have_text(step, timeout=PATIENCE_MS)
            expect(page.locator("#workers")).to_contain_text("worker")
            page.locator("#cancel").click()
            expect(page.locator("#job-state")).to_have_text("Canceled")
    watch.forgive("Failed to load resource", "net::ERR")


def test_a_job_that_does_not_exist_is_said_to(page: Page, watch) -> None:
    page.goto("/#job/00000000-0000-7000-8000-000000000000")
    expect(page.locator("#job-problem")).to_contain_text("there is no job")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing hangs here")
    watch.forgive("404")


def test_without_workers_the_page_says_what_to_do(page: Page) -> None:
    page.route("**/v1/workers", lambda route: route.fulfill(json={"workers": []}))
    page.reload()
    expect(page.locator("#workers")).to_contain_text("impasto worker")


def test_the_policy_forbids_everything_inline_and_foreign(page: Page) -> None:
    # That the page works under it, every other test shows.
    policy = page.reload().headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
