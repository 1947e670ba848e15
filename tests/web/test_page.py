"""What somebody at the page relies on, in a real Chromium, painted by a real worker."""

import json
import re
import time

import httpx
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

ENDLESS = 10_000  # steps that no test waits for
PAGE_WIDTH = "document.documentElement.scrollWidth"
PERCENT = re.compile(r"^\d+ %$")


def state(page: Page) -> Locator:
    return page.locator("#job-state")


@pytest.fixture
def running(stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload):
    """A job that runs until the test has seen enough."""
    visitor.choose(photograph, painting)
    job_id = visitor.order(size=96, steps=ENDLESS)
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    yield job_id
    httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").raise_for_status()


def test_two_pictures_become_one_that_can_be_taken_home(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload, tmp_path
) -> None:
    visitor.choose(photograph, painting)
    for chosen in ("quiet_field.png", "diagonal-strokes.png"):
        expect(page.get_by_role("img", name=chosen)).to_have_js_property("naturalWidth", 96)
    page.get_by_label("Strength", exact=True).fill("0.5")

    job_id = visitor.order(size=64, steps=12)
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Diagonal strokes")
    expect(state(page)).to_have_text(re.compile("^Painted in"))
    expect(page.get_by_text(re.compile("L-BFGS, 12 steps, 64 . 48 px"))).to_be_visible()
    result = page.get_by_role("img", name="The finished picture")
    expect(result).to_have_js_property("naturalWidth", 64)

    picture = visitor.download(tmp_path)
    assert picture.name == "quiet-field-after-diagonal-strokes.png"
    with Image.open(picture) as image:
        image.load()
        assert image.size == (64, 48)

    manifest_path = page.get_by_role("link", name="Manifest").get_attribute("href")
    assert httpx.get(f"{stack.url}{manifest_path}").json()
    params = httpx.get(f"{stack.url}/v1/jobs/{job_id}").json()["params"]
    presets = httpx.get(f"{stack.url}/v1/presets").json()["presets"]
    weight = presets[0]["parameters"]["style_weight"]
    assert params["style_weight"] == pytest.approx(weight * 10**0.5)

    expect(page.locator(".canvas .photograph")).to_be_visible()
    page.get_by_role("button", name="Compare with the photograph").click()
    slider = page.get_by_role("slider", name=re.compile("Share of the photograph"))
    slider.press("ArrowRight")
    expect(slider).to_have_value("51")

    page.get_by_role("button", name="Paint again").click()
    expect(page.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()
    expect(page.get_by_label("Long side of the picture")).to_have_value("64")
    expect(page.get_by_label("Steps", exact=True)).to_have_value("12")
    expect(page.get_by_label("Strength", exact=True)).to_have_value("0.5")


def test_painting_can_be_watched_and_canceled(stack, page: Page, visitor, running: str) -> None:
    expect(state(page)).to_have_text("Being painted")
    expect(page.locator("#job-detail")).to_have_text(
        re.compile(rf"^Step \d+ of {ENDLESS}, 96 . 72 px")
    )
    expect(page.locator("[data-loss=total]")).to_have_text(re.compile(r"\d"))
    expect(page.locator("#job-eta")).to_have_text(re.compile("^about .* left$"))

    preview = page.get_by_role("img", name="The picture so far")
    expect(preview).to_have_js_property("naturalWidth", 96)
    first = preview.get_attribute("src")
    expect(preview).not_to_have_attribute("src", first)

    visitor.cancel()
    assert httpx.get(f"{stack.url}/v1/jobs/{running}").json()["status"] == "canceled"
    expect(preview).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_be_hidden()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_reload_in_the_middle_finds_the_job_and_its_photograph(page: Page, running: str) -> None:
    step = int(re.search(r"\d+", page.locator("#job-detail").inner_text())[0])
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Diagonal strokes")
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    assert int(re.search(r"\d+", page.locator("#job-detail").inner_text())[0]) >= step
    expect(page.locator(".canvas .photograph")).to_have_js_property("naturalWidth", 96)
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()


@pytest.fixture
def busy_workers(stack, photograph: FilePayload, painting: FilePayload):
    """Every worker paints something that does not end."""
    files = {"content": photograph["buffer"], "style": painting["buffer"]}
    form = {"params": json.dumps({"size": 64, "steps": ENDLESS})}
    with httpx.Client(base_url=stack.url) as client:
        workers = client.get("/v1/workers").json()["workers"]
        jobs = [client.post("/v1/jobs", files=files, data=form).json()["urls"] for _ in workers]
        while any(client.get(job["self"]).json()["status"] == "queued" for job in jobs):
            time.sleep(0.1)
        yield
        for job in jobs:
            client.post(job["cancel"]).raise_for_status()


@pytest.mark.usefixtures("busy_workers")
def test_a_job_behind_others_says_its_place_and_waits(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    visitor.order(size=64, steps=5)
    expect(state(page)).to_have_text("Next in line")
    visitor.cancel()


def test_answers_that_get_lost_are_waited_out(page: Page, watch, running: str) -> None:
    refusals = iter([503, 429])

    def refuse(route: Route) -> None:
        status = next(refusals, None)
        if status is None:
            return route.fallback()
        return route.fulfill(status=status, headers={"Retry-After": "1"}, json={"detail": "Later."})

    page.route(f"**/v1/jobs/{running}", refuse)
    with page.expect_response(lambda response: response.status == 429):
        pass
    step = page.locator("#job-detail").inner_text()
    expect(page.locator("#job-detail")).not_to_have_text(step)
    expect(page.locator("#job-problem")).to_be_empty()
    assert len(watch.complaints) == 2
    watch.complaints.clear()


def test_the_gallery_shows_the_last_jobs_again(
    page: Page,
    visitor,
    photograph: FilePayload,
    painting: FilePayload,
    second_painting: FilePayload,
) -> None:
    visitor.choose(photograph, painting, second_painting)
    job_id = visitor.order(size=64, steps=5)
    card = page.locator(f'#gallery a[href="#job/{job_id}"]')
    expect(card).to_contain_text("Quiet field, after Diagonal strokes and Rings")
    expect(card.locator("img")).to_have_js_property("naturalWidth", 64)

    page.get_by_role("link", name="New picture").click()
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_visible()
    card.click()
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    expect(card).to_have_attribute("aria-current", "page")


def test_a_file_that_is_no_picture_is_refused_in_a_sentence(
    page: Page, visitor, watch, painting: FilePayload
) -> None:
    text = {"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"Dear Theo, " * 40}
    visitor.choose(text, painting)
    expect(page.locator("#content .unseen")).to_be_visible()
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("not an image of a kind that is read here")
    assert [complaint for complaint in watch.complaints if "415" not in complaint] == []
    watch.complaints.clear()


def test_the_form_says_what_is_missing(page: Page, photograph: FilePayload) -> None:
    paint = page.get_by_role("button", name="Paint", exact=True)
    paint.click()
    expect(page.get_by_role("alert")).to_have_text("Choose a photograph first.")
    page.locator("#content input[type=file]").set_input_files([photograph])
    expect(page.get_by_role("alert")).to_be_hidden()
    paint.click()
    expect(page.get_by_role("alert")).to_have_text("Choose a painting for the style.")
    expect(page.locator("#style input[type=file]")).to_be_focused()


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
    expect(state(page)).to_have_text(re.compile("^Painted in"))
    manifest = httpx.get(f"{stack.url}/v1/jobs/{job_id}/manifest").json()
    assert manifest["inputs"]["content"] is None

    page.get_by_role("button", name="Paint again").click()
    expect(page.get_by_role("radio", name="Texture", exact=True)).to_be_checked()
    expect(page.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()


def test_a_reconstruction_is_painted_without_a_painting(
    page: Page, visitor, photograph: FilePayload
) -> None:
    choose_preset(page, "Reconstruction")
    expect(page.locator("#style")).to_contain_text("This manner paints without a painting.")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Choose a photograph first.")

    page.locator("#content input[type=file]").set_input_files([photograph])
    visitor.order(size=64, steps=5)
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field")
    expect(state(page)).to_have_text(re.compile("^Painted in"))


def test_a_picture_that_the_browser_cannot_show_can_be_taken_home(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload, tmp_path
) -> None:
    files = {"content": photograph["buffer"], "style": painting["buffer"]}
    params = {"size": 64, "steps": 5, "output": {"format": "tiff", "bit_depth": 16}}
    form = {"params": json.dumps(params), "metadata": '{"content_name": "field.jpg"}'}
    job = httpx.post(f"{stack.url}/v1/jobs", files=files, data=form).json()
    page.goto(f"/#job/{job['id']}")
    expect(state(page)).to_have_text(re.compile("^Painted in"))
    picture = visitor.download(tmp_path)
    assert picture.name == "field.tiff"
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("TIFF", (64, 48))
    card = page.locator(f'#gallery a[href="#job/{job["id"]}"]')
    expect(card).to_contain_text("No preview")


def test_paintings_can_be_added_and_removed(
    page: Page,
    visitor,
    photograph: FilePayload,
    painting: FilePayload,
    second_painting: FilePayload,
) -> None:
    visitor.choose(photograph, painting)
    page.locator("#style input[type=file]").set_input_files([second_painting])
    expect(page.locator("#style").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("button", name="Remove diagonal-strokes.png").click()
    expect(page.locator("#style").get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("img", name="rings.png")).to_be_visible()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_can_be_dropped_and_pasted_anywhere(page: Page, event: str) -> None:
    page.evaluate(
        """async (event) => {
          const canvas = new OffscreenCanvas(40, 30);
          canvas.getContext('2d').fillRect(0, 0, 40, 30);
          const blob = await canvas.convertToBlob();
          const transfer = new DataTransfer();
          for (const name of ['photo.png', 'paint.png'])
            transfer.items.add(new File([blob], name, { type: 'image/png' }));
          const how = { bubbles: true, cancelable: true };
          document.querySelector('footer').dispatchEvent(
            event === 'drop'
              ? new DragEvent('drop', { ...how, dataTransfer: transfer })
              : new ClipboardEvent('paste', { ...how, clipboardData: transfer }));
        }""",
        event,
    )
    expect(page.locator("#content").get_by_role("img", name="photo.png")).to_be_visible()
    expect(page.locator("#style").get_by_role("img", name="paint.png")).to_be_visible()


def test_a_job_that_does_not_exist_is_said_to(page: Page, watch) -> None:
    page.goto("/#job/00000000-0000-7000-8000-000000000000")
    expect(page.locator("#job-problem")).to_contain_text("there is no job")
    watch.complaints.clear()


def test_without_workers_the_page_says_what_to_do(page: Page) -> None:
    page.route("**/v1/workers", lambda route: route.fulfill(json={"workers": []}))
    page.reload()
    expect(page.locator("#workers")).to_contain_text("impasto worker")


def test_the_policy_forbids_everything_inline_and_foreign(page: Page) -> None:
    # That the page works under it, every other test shows.
    policy = page.reload().headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_everything_can_be_reached_with_the_keyboard(page: Page) -> None:
    page.get_by_role("link", name="Impasto").focus()
    reached = []
    for _ in range(11):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.type"))
    assert reached.count("file") == 2
    assert {"radio", "size", "strength", "submit"} <= set(reached)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_of_the_window(
    page: Page,
    visitor,
    watch,
    theme: str,
    width: int,
    photograph: FilePayload,
    painting: FilePayload,
) -> None:
    assert page.evaluate(PAGE_WIDTH) == width
    visitor.choose(photograph, painting, painting, painting)
    assert page.evaluate(PAGE_WIDTH) == width
    page.goto("/#job/none")
    expect(page.locator("#job-problem")).not_to_be_empty()
    assert page.evaluate(PAGE_WIDTH) == width
    watch.complaints.clear()

    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(value) for value in re.findall(r"\d+", paper)) / 3
    assert (brightness > 128) == (theme == "light")
