"""That everybody can use the page: themes, widths, the keyboard, screen readers."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, expect

from tests.web.conftest import Finish, Front, Open, Post

PAGE_WIDTH = "document.documentElement.scrollWidth"
PAPER = "getComputedStyle(document.body).backgroundColor"
CHOSEN = """elements => elements.map((element) => {
  const { backgroundColor, borderBottomColor, outlineStyle } = getComputedStyle(element);
  return [backgroundColor, borderBottomColor, outlineStyle].join();
})"""
# Half-way between two colours nothing can be said of them.
FADED = """async () => {
  const isFading = ({ effect, playState }) =>
    playState === 'running' && effect.getTiming().iterations !== Infinity;
  for (;;) {
    const fading = document.getAnimations().filter(isFading);
    if (fading.length === 0) return;
    await Promise.allSettled(fading.map(({ finished }) => finished));
  }
}"""
WHAT_HAS_FOCUS = "document.activeElement.id || document.activeElement.type"


def is_light(page: Page) -> bool:
    channels = [int(value) for value in re.findall(r"\d+", page.evaluate(PAPER))[:3]]
    return sum(channels) / 3 > 128


def check_access(page: Page) -> None:
    """Nothing that axe-core knows to keep somebody out."""
    page.evaluate(FADED)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_both_rooms_keep_nobody_out_and_nothing_sticks_out_of_them(
    quiet: Front,
    open_page: Open,
    post: Post,
    finish: Finish,
    theme: str,
    width: int,
    photograph: FilePayload,
    painting: FilePayload,
) -> None:
    finished, waiting = post(quiet.url, size=64), post(quiet.url, size=64)
    finish(finished)
    with open_page(quiet.url) as page:
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        expect(page.locator("#gallery li")).to_have_count(2)
        assert is_light(page) == (theme == "light")
        assert page.evaluate(PAGE_WIDTH) == width
        check_access(page)
        page.locator("#content input[type=file]").set_input_files([photograph])
        page.locator("#style input[type=file]").set_input_files([painting] * 3)
        expect(page.locator("#style").get_by_role("img")).to_have_count(3)
        assert page.evaluate(PAGE_WIDTH) == width
        check_access(page)

        page.goto(f"/#job/{finished}")
        expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
        page.get_by_text("What happened").click()
        page.get_by_text("As a table").click()
        assert page.evaluate(PAGE_WIDTH) == width
        check_access(page)
        for opener in ("#help-button", "#delete"):
            page.locator(opener).click()
            check_access(page)
            page.keyboard.press("Escape")
        page.goto(f"/#job/{waiting}")
        expect(page.locator("#job-state")).to_have_text("Next in line")
        check_access(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_chosen_can_be_told_in_the_colours_of_the_system(
    quiet: Front, open_page: Open, theme: str
) -> None:
    with open_page(quiet.url, forced_colors="active") as page:
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        for choices, chosen in [
            ("#colours label", "#colours label:has(:checked)"),
            ("#presets img", "#presets :has(> :checked) img"),
            ("#gallery-filter label", "#gallery-filter label:has(:checked)"),
        ]:
            page.evaluate(FADED)
            looks = page.locator(choices).evaluate_all(CHOSEN)
            (look,) = page.locator(chosen).evaluate_all(CHOSEN)
            assert looks.count(look) == 1
            assert len({*looks}) == 2


def test_a_theme_that_is_chosen_is_remembered(quiet: Front, open_page: Open, watch) -> None:
    with open_page(quiet.url) as page:
        assert is_light(page)
        switch = page.get_by_role("button", name="Dark theme")
        switch.click()
        expect(switch).to_have_attribute("aria-pressed", "true")
        assert not is_light(page)
        page.route("**/web/app.js", lambda route: route.abort())
        page.reload()
        assert not is_light(page)  # before any module has run: nothing flashes
        watch.forgive("net::ERR_FAILED")
        switch.click()
        assert is_light(page)
        page.emulate_media(color_scheme="dark")
        assert not is_light(page)  # what the system says is followed again


def test_everything_can_be_reached_with_the_keyboard(quiet: Front, open_page: Open) -> None:
    with open_page(quiet.url) as page:
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        reached = []
        while "submit" not in reached:
            page.keyboard.press("Tab")
            reached.append(page.evaluate(WHAT_HAS_FOCUS))
            assert len(reached) < 60, reached
        assert reached[0] == "skip"
        assert reached.count("file") >= 2
        assert {"theme", "help-button", "radio", "size", "strength"} <= set(reached)


def test_the_first_key_skips_to_what_the_page_is_about(
    quiet: Front, open_page: Open, post: Post
) -> None:
    job_id = post(quiet.url, size=64)
    with open_page(quiet.url, f"/#job/{job_id}") as page:
        expect(page.locator("#job-state")).to_have_text("Next in line")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        assert page.url.endswith(f"#job/{job_id}")


def test_keys_go_from_work_to_work_unless_they_are_switched_off(
    quiet: Front, open_page: Open, post: Post
) -> None:
    older, newer = post(quiet.url, size=64), post(quiet.url, size=32)
    with open_page(quiet.url) as page:
        expect(page.locator("#gallery li")).to_have_count(2)
        current = page.locator("#gallery a[aria-current=page]")
        page.keyboard.press("j")
        expect(current).to_have_attribute("href", f"#job/{newer}")
        page.keyboard.press("j")
        expect(current).to_have_attribute("href", f"#job/{older}")
        page.keyboard.press("k")
        expect(current).to_have_attribute("href", f"#job/{newer}")
        page.keyboard.press("n")
        expect(page.locator("#compose")).to_be_visible()
        page.get_by_label("Long side of the picture").focus()
        page.keyboard.press("j")
        expect(page.locator("#compose")).to_be_visible()  # somebody types

        page.get_by_role("link", name="Impasto").focus()
        page.keyboard.press("?")
        page.get_by_label("Use these keys").uncheck()
        page.get_by_role("button", name="Done").last.click()
        page.keyboard.press("j")
        expect(page.locator("#compose")).to_be_visible()


def test_nothing_moves_for_those_who_do_not_want_it(
    quiet: Front, open_page: Open, post: Post
) -> None:
    job_id = post(quiet.url, size=64)
    with open_page(quiet.url, f"/#job/{job_id}", reduced_motion="reduce") as page:
        expect(page.locator("#job-state")).to_have_text("Next in line")
        moving = (
            "document.getAnimations().filter(({ playState }) => playState === 'running').length"
        )
        assert page.evaluate(moving) == 0
