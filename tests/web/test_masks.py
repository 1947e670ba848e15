"""Painting where a painting applies: with a mouse, a pen, a finger and the keyboard."""

import io
import re
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import CDPSession, Dialog, FilePayload, Locator, Page, expect

ENDLESS = 10_000  # steps that no test waits for
Hands = Callable[..., None]


@pytest.fixture
def two(page: Page, visitor, photograph: FilePayload, painting: FilePayload, second_painting):
    """A photograph of 96 x 72 px and two paintings."""
    visitor.choose(photograph, painting, second_painting)
    expect(page.locator("#style .frame")).to_have_count(2)


@pytest.fixture
def stage(page: Page, two: None) -> Locator:
    """Where the first painting's mask is painted, open and empty."""
    page.get_by_role("button", name="Where diagonal-strokes.png paints").click()
    stage = page.get_by_role("application", name="Canvas of the mask")
    expect(stage).to_be_visible()
    return stage


@pytest.fixture
def masks(stack, visitor) -> Callable[[], list[np.ndarray]]:
    """Hands the form in and says what masks the service was given."""

    def order() -> list[np.ndarray]:
        job_id = visitor.order(size=64, steps=ENDLESS)
        url = f"{stack.url}/v1/jobs/{job_id}"
        job = httpx.get(url).json()
        httpx.post(f"{url}/cancel")
        digests = job["inputs"]["masks"]
        files = [httpx.get(f"{url}/inputs/{digest}").content for digest in digests]
        return [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]

    return order


def press(page: Page, name: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def drag(page: Page, stage: Locator, *points: tuple[float, float]) -> None:
    """A stroke through points in shares of the canvas."""
    first, *others = [at(stage, *point) for point in points]
    page.mouse.move(**first)
    page.mouse.down()
    for point in others:
        page.mouse.move(**point, steps=8)
    page.mouse.up()


@pytest.fixture
def devtools(page: Page) -> CDPSession:
    return page.context.new_cdp_session(page)


@pytest.fixture
def touch(devtools: CDPSession, stage: Locator) -> Hands:
    """Fingers at places of the canvas: `touch("Start", (0.5, 0.2))`."""

    def send(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{**at(stage, *place), "id": index} for index, place in enumerate(fingers)]
        devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    return send


@pytest.fixture
def pen(devtools: CDPSession, stage: Locator) -> Hands:
    """A pen at a place of the canvas: `pen("Pressed", (0.5, 0.2))`."""

    def send(kind: str, place: tuple[float, float], force: float = 0.5) -> None:
        how = {"button": "left", "buttons": 1, "force": force, "pointerType": "pen"}
        event = {"type": f"mouse{kind}", **at(stage, *place), **how}
        devtools.send("Input.dispatchMouseEvent", event)

    return send


def at(stage: Locator, x: float, y: float) -> dict[str, float]:
    """In px of the window, from shares of the canvas."""
    box = stage.bounding_box()
    assert box is not None
    return {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}


def test_what_is_painted_is_where_the_painting_applies_and_the_other_gets_the_rest(
    page: Page, stage: Locator, masks
) -> None:
    drag(page, stage, (0.2, 0.25), (0.8, 0.25))
    press(page, "Use this mask")
    buttons = page.locator("#style .where")
    expect(buttons.nth(0)).to_contain_text("On ")
    expect(buttons.nth(1)).to_have_text("The rest")
    expect(page.locator("#style .masks-explained")).to_be_visible()
    expect(page.locator("#content .veils")).to_be_visible()

    first, second = masks()
    assert first.shape == second.shape == (72, 96)
    assert (first[18, 20:76] > 250).all()
    assert (first[50:] < 5).all()
    assert (abs(first.astype(int) + second - 255) <= 1).all()


def test_without_a_mask_none_is_posted(two: None, masks) -> None:
    assert masks() == []


def test_a_mask_can_be_made_with_the_keyboard_alone(page: Page, two: None, masks) -> None:
    page.get_by_role("button", name="Where diagonal-strokes.png paints").press("Enter")
    page.get_by_role("button", name="Left", exact=True).press("Enter")
    page.get_by_role("button", name="Invert", exact=True).press("Space")
    stage = page.get_by_role("application")
    stage.focus()
    page.keyboard.press("e")
    page.keyboard.press("]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_role("radio", name="Eraser")).to_be_checked()
    page.get_by_role("button", name="Use this mask").press("Enter")
    expect(page.get_by_role("button", name="Where diagonal-strokes.png paints")).to_be_focused()

    first, _ = masks()
    assert (first[:, :40] < 5).all()
    assert (first[:10, 56:] > 250).all()
    assert (first[34:38, 50:54] < 5).all()  # erased beside the middle


def test_every_change_can_be_taken_back_and_made_again(page: Page, stage: Locator) -> None:
    status = page.locator("#mask-status")
    undo = page.get_by_role("button", name="Undo", exact=True)
    redo = page.get_by_role("button", name="Redo", exact=True)
    expect(undo).to_be_disabled()
    press(page, "Top")
    expect(status).to_have_text("Covers 50 % of the picture.")
    drag(page, stage, (0.5, 0.9), (0.6, 0.9))
    expect(status).not_to_have_text("Covers 50 % of the picture.")
    painted = status.inner_text()
    for back, again in (("Control+z", "Control+Shift+z"), ("Control+z", "Control+y")):
        page.keyboard.press(back)
        expect(status).to_have_text("Covers 50 % of the picture.")
        page.keyboard.press(again)
        expect(status).to_have_text(painted)
    press(page, "Fill")
    expect(status).to_have_text("Covers 100 % of the picture.")
    undo.focus()
    for _ in range(3):
        page.keyboard.press("Enter")
    expect(status).to_have_text("Nothing is covered yet.")
    expect(undo).to_be_disabled()
    expect(undo).to_be_focused()
    for _ in range(3):
        redo.click()
    expect(status).to_have_text("Covers 100 % of the picture.")
    expect(redo).to_be_disabled()
    page.keyboard.press("Control+z")
    press(page, "Clear")
    expect(redo).to_be_disabled()  # what was taken back does not fit any more


def test_the_eraser_takes_away_what_the_brush_has_painted(page: Page, stage: Locator) -> None:
    drag(page, stage, (0.3, 0.5), (0.7, 0.5))
    page.get_by_role("radio", name="Eraser").check()
    page.get_by_label("Brush size").fill("60")
    page.get_by_label("Softness").fill("0")
    drag(page, stage, (0.1, 0.5), (0.9, 0.5))
    expect(page.locator("#mask-status")).to_have_text("Nothing is covered yet.")


def test_what_was_painted_is_thrown_away_only_if_that_is_meant(page: Page, stage: Locator) -> None:
    where = page.get_by_role("button", name="Where diagonal-strokes.png paints")
    question = page.get_by_role("alertdialog", name="Throw away what you have painted?")
    page.keyboard.press("Escape")
    expect(where).to_be_focused()  # nothing was painted

    where.click()
    press(page, "Left")
    for _ in range(4):  # more often than a browser lets itself be kept from closing it
        page.keyboard.press("Escape")
        expect(question).to_be_visible()
        page.keyboard.press("Escape")
        expect(question).to_be_hidden()
        expect(page.locator("#mask-status")).to_have_text("Covers 50 % of the picture.")
    press(page, "Cancel")
    question.get_by_role("button", name="Throw it away").click()
    expect(where).to_be_focused()
    expect(where).to_have_text("Everywhere")

    where.click()
    press(page, "Left")
    press(page, "Use this mask")
    expect(where).to_have_text("On 50 %")
    where.click()
    press(page, "Clear")
    press(page, "No mask")
    question.get_by_role("button", name="Keep it").click()
    press(page, "Cancel")
    question.get_by_role("button", name="Throw it away").click()
    expect(where).to_have_text("On 50 %")
    where.click()
    press(page, "No mask")
    expect(where).to_have_text("Everywhere")


def test_the_browser_asks_before_a_mask_that_is_not_used_yet_is_left(
    page: Page, stage: Locator
) -> None:
    questions: list[str] = []

    def answer(dialog: Dialog) -> None:
        questions.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    press(page, "Left")
    page.reload()
    page.reload()  # the dialog is closed now
    assert questions == ["beforeunload"]


def covered(page: Page) -> int:
    """Share of the picture, in percent."""
    text = page.locator("#mask-status").inner_text()
    return int(re.findall(r"\d+", text)[0])


def test_a_pen_that_presses_harder_paints_broader(page: Page, pen: Hands) -> None:
    page.get_by_label("Brush size").fill("40")

    def stroke(force: float) -> int:
        press(page, "Clear")
        for kind, share in (("Pressed", 0.3), ("Moved", 0.5), ("Moved", 0.7), ("Released", 0.7)):
            pen(kind, (share, 0.5), force)
        return covered(page)

    light, strong = stroke(0.3), stroke(1.0)
    assert 0 < light < 0.6 * strong


def test_a_finger_paints_and_does_not_scroll(page: Page, stage: Locator, touch: Hands) -> None:
    box = stage.bounding_box()
    for kind, share in (("Start", 0.3), ("Move", 0.5), ("Move", 0.7)):
        touch(kind, (0.5, share))
    touch("End")
    expect(page.locator("#mask-status")).to_contain_text("Covers ")
    assert stage.bounding_box() == box


def test_a_second_finger_neither_paints_nor_ends_the_stroke(
    page: Page, touch: Hands, masks
) -> None:
    touch("Start", (0.2, 0.2))
    touch("Start", (0.2, 0.2), (0.8, 0.8))
    touch("Move", (0.2, 0.2), (0.9, 0.9))
    touch("Move", (0.3, 0.2))  # the second is lifted
    touch("Move", (0.4, 0.2))
    touch("End")
    press(page, "Use this mask")
    first, _ = masks()
    assert (first[14, 20:38] > 250).all()
    assert (first[36:] < 5).all()


def test_a_hand_that_rests_where_its_pen_paints_leaves_no_trace(
    page: Page, touch: Hands, pen: Hands, masks
) -> None:
    touch("Start", (0.7, 0.8))
    pen("Pressed", (0.2, 0.2), force=1.0)
    touch("Move", (0.8, 0.8))
    pen("Moved", (0.4, 0.2), force=1.0)
    touch("End")
    pen("Moved", (0.5, 0.2), force=1.0)
    pen("Released", (0.5, 0.2))
    press(page, "Use this mask")
    first, _ = masks()
    assert (first[14, 20:46] > 250).all()
    assert (first[36:] < 5).all()


def test_a_stroke_ends_when_the_dialog_is_to_be_left(page: Page, stage: Locator, masks) -> None:
    page.mouse.move(**at(stage, 0.2, 0.2))
    page.mouse.down()
    page.mouse.move(**at(stage, 0.4, 0.2), steps=4)
    page.keyboard.press("Escape")
    question = page.get_by_role("alertdialog", name="Throw away what you have painted?")
    expect(question).to_be_visible()
    question.get_by_role("button", name="Keep it").press("Enter")
    expect(question).to_be_hidden()
    page.mouse.move(**at(stage, 0.2, 0.9))
    page.mouse.move(**at(stage, 0.8, 0.9), steps=4)
    page.mouse.up()
    drag(page, stage, (0.6, 0.2), (0.8, 0.2))
    press(page, "Use this mask")
    first, _ = masks()
    assert (first[14, 20:38] > 250).all()
    assert (first[14, 60:76] > 250).all()
    assert (first[36:] < 5).all()


def test_a_stroke_whose_mouse_gets_lost_is_over(page: Page, stage: Locator, masks) -> None:
    page.mouse.move(**at(stage, 0.2, 0.2))
    page.mouse.down()
    page.mouse.move(**at(stage, 0.4, 0.2), steps=4)
    stage.evaluate("stage => stage.releasePointerCapture(1)")  # as a browser does when it has to
    page.mouse.move(1, 1)
    page.mouse.up()
    page.mouse.move(**at(stage, 0.2, 0.9))
    page.mouse.move(**at(stage, 0.8, 0.9), steps=4)
    press(page, "Use this mask")
    first, _ = masks()
    assert (first[14, 20:38] > 250).all()
    assert (first[36:] < 5).all()


def test_a_mask_is_at_most_1024_px_long(page: Page, visitor, painting: FilePayload, masks) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2048, 512)).save(buffer, "PNG")
    wide = {"name": "wide.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    visitor.choose(wide, painting)
    page.get_by_role("button", name="Where diagonal-strokes.png paints").click()
    press(page, "Centre")
    press(page, "Use this mask")
    expect(page.locator("#style .masks-explained")).to_contain_text("the photograph stays")
    (mask,) = masks()
    assert mask.shape == (256, 1024)
    assert mask[128, 512] == 255
    assert mask[0].max() == 0


def test_the_borders_of_masks_can_be_blended(page: Page, stage: Locator, visitor, stack) -> None:
    expect(page.get_by_label("Borders of the masks")).to_be_hidden()
    press(page, "Left")
    press(page, "Use this mask")
    page.get_by_label("Borders of the masks").fill("0.25")
    job_id = visitor.order(size=64, steps=ENDLESS)
    job = httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").json()
    assert job["params"]["mask_feather"] == 0.25


def test_a_mask_can_be_saved(page: Page, stage: Locator) -> None:
    press(page, "Right")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the mask as PNG").click()
    assert download.value.suggested_filename == "mask-1.png"  # as a copied request names it
    with Image.open(download.value.path()) as image:
        mask = np.asarray(image.convert("L"))
    assert (mask[:, :44] == 0).all()
    assert (mask[:, 52:] == 255).all()


def test_what_does_not_change_the_masks_does_not_draw_them_again(
    page: Page, stage: Locator
) -> None:
    press(page, "Left")
    press(page, "Use this mask")
    where = page.get_by_role("button", name="Where diagonal-strokes.png paints")
    expect(where).to_have_text("On 50 %")
    page.evaluate(
        """() => {
          window.drawn = 0;
          const { prototype } = OffscreenCanvasRenderingContext2D;
          const { putImageData } = prototype;
          prototype.putImageData = function (...args) {
            window.drawn += 1;
            return putImageData.apply(this, args);
          };
        }"""
    )
    page.get_by_label("Strength").fill("0.5")
    page.get_by_role("slider", name="Share of rings.png").fill("30")
    assert page.evaluate("drawn") == 0
    page.get_by_role("button", name="Move diagonal-strokes.png later").click()
    assert page.evaluate("drawn") == 1  # in another colour


def test_going_over_a_soft_border_again_does_not_harden_it(page: Page) -> None:
    once, twice = page.evaluate(
        """async () => {
          const { Mask } = await import('/web/mask.js');
          const brush = { radius: 20, softness: 0.8, erases: false };
          const mask = Mask.of(100, 100);
          mask.stroke({ x: 30, y: 50 }, { x: 70, y: 50 }, brush);
          const once = [...mask.values];
          mask.stroke({ x: 70, y: 50 }, { x: 30, y: 50 }, brush);
          return [once, [...mask.values]];
        }"""
    )
    assert once == twice
    assert max(once) == 255
    assert len({value for value in once if 0 < value < 255}) > 20
