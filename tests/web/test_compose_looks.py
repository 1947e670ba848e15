"""That everybody can use the room where a picture is ordered."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, expect

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
PAGE_WIDTH = "document.documentElement.scrollWidth"


def check(page: Page, part: str) -> None:
    """Whether a part of the page, with nothing moving, breaks none of the rules."""
    # Those of an element that goes meanwhile are called off.
    page.evaluate("Promise.allSettled(document.getAnimations().map(({ finished }) => finished))")
    found = Axe().run(page, context=part, options=RULES)
    assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def filled(page: Page, visitor, photograph: FilePayload, painting, second_painting) -> None:
    visitor.choose(photograph, painting, second_painting)
    expect(page.locator("#style .frame")).to_have_count(2)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Begin with", exact=True).select_option("image")
    page.get_by_label("File", exact=True).select_option("jpeg")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_room_its_mask_dialog_and_its_drawer_are_accessible(
    page: Page, theme: str, width: int, filled: None
) -> None:
    check(page, "#compose")
    page.locator("#size").fill("7")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#compose-problem")).not_to_be_empty()
    check(page, "#compose")

    page.get_by_role("button", name="Where rings.png paints").click()
    page.get_by_role("button", name="Top", exact=True).click()
    check(page, "#mask-dialog")
    page.get_by_role("button", name="Use this mask").click()
    check(page, "#compose")

    page.get_by_role("button", name="Every parameter").click()
    page.get_by_label("optimizer", exact=True).select_option("adam")
    check(page, "#drawer")


@pytest.mark.parametrize("width", [320, 360, 640, 1024])
def test_nothing_sticks_out_of_a_narrow_or_enlarged_window(
    page: Page, width: int, filled: None
) -> None:
    # 640 px are a window of 1280 at 200 %, 320 px one at 400 %.
    assert page.evaluate(PAGE_WIDTH) == width
    page.get_by_role("button", name="Where rings.png paints").click()
    for selector in ("#mask-dialog", "#mask-dialog .mask-tools", "#mask-dialog .mask-stage"):
        box = page.locator(selector).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Every parameter").click()
    fields = page.locator("#drawer-fields")
    assert fields.evaluate("fields => fields.scrollWidth <= fields.clientWidth")


def test_who_asks_for_little_motion_gets_none(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Every parameter").click()
    drawer = page.locator("#drawer")
    assert drawer.evaluate("drawer => getComputedStyle(drawer).animationName") == "none"
