"""Where a visitor is brought: the address says what is shown, and reading goes on at its top."""

import base64
from collections.abc import Iterator

import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.e2e.test_a_job import until
from tests.web.conftest import TITLE, Finish, Front, Open, Post, Watch

SCROLL_DOWN = "document.querySelector('#works').scrollIntoView()"
PASTE = """({ selector, base64, text }) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  transfer.items.add(new File([bytes], 'pasted.png', { type: 'image/png' }));
  if (text) transfer.setData('text/plain', text);
  const how = { bubbles: true, cancelable: true, clipboardData: transfer };
  return document.querySelector(selector).dispatchEvent(new ClipboardEvent('paste', how));
}"""


@pytest.fixture
def hall(quiet: Front, open_page: Open) -> Iterator[Page]:
    """The page of a service without workers, in a window that is too low for all of it."""
    with open_page(quiet.url, viewport={"width": 1280, "height": 400}) as page:
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        yield page


def paste(page: Page, selector: str, picture: FilePayload, text: str = "") -> bool:
    """Paste a picture, with a text beside it. Returns whether the browser does its own with it."""
    encoded = base64.b64encode(picture["buffer"]).decode()
    own: bool = page.evaluate(PASTE, {"selector": selector, "base64": encoded, "text": text})
    return own


def expect_at_the_top(page: Page) -> None:
    until(lambda: page.evaluate("scrollY") == 0, "the top")
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_who_is_there_already_is_brought_to_the_top(
    quiet: Front, hall: Page, post: Post, finish: Finish, photograph: FilePayload
) -> None:
    job_id = post(quiet.url, size=64)
    finish(job_id)
    hall.reload()
    hall.evaluate(SCROLL_DOWN)
    hall.get_by_role("button", name=f"Reuse: {TITLE}").click()
    expect_at_the_top(hall)
    expect(hall.get_by_role("img", name="quiet_field.png")).to_be_visible()

    hall.evaluate(SCROLL_DOWN)
    hall.keyboard.press("n")
    expect_at_the_top(hall)

    hall.evaluate(SCROLL_DOWN)
    assert not paste(hall, "body", photograph)
    expect_at_the_top(hall)

    work = hall.locator(f'#gallery a[href="#job/{job_id}"]')
    for _ in range(2):
        hall.evaluate(SCROLL_DOWN)
        work.click()
        expect_at_the_top(hall)
        expect(hall).to_have_url(f"{quiet.url}/#job/{job_id}")


def test_text_that_has_a_picture_beside_it_is_pasted_as_text(
    hall: Page, photograph: FilePayload
) -> None:
    assert paste(hall, "#size", photograph, "768")
    hall.get_by_role("button", name="Every parameter").click()
    assert paste(hall, "#drawer", photograph)
    expect(hall.locator(".hung")).to_have_count(0)
    hall.get_by_role("button", name="Done").click()
    assert not paste(hall, "#size", photograph)
    expect(hall.get_by_role("img", name="pasted.png")).to_be_visible()


def test_a_work_of_the_wall_has_its_title_before_the_service_answers(
    quiet: Front, hall: Page, post: Post
) -> None:
    job_id = post(quiet.url, size=64)
    hall.reload()
    held: list[Route] = []
    hall.route(f"**/v1/jobs/{job_id}/events", lambda route: held.append(route))
    hall.locator(f'#gallery a[href="#job/{job_id}"]').click()
    title = hall.get_by_role("heading", level=1)
    expect(title).to_have_text(TITLE)
    expect(title).to_be_focused()
    announcer = hall.locator("#announcer")
    expect(announcer).to_be_empty()
    for route in held:
        route.continue_()
    expect(announcer).to_have_text(f"{TITLE}: Next in line")


def test_an_address_that_says_nothing_is_told_so(
    quiet: Front, open_page: Open, watch: Watch
) -> None:
    with open_page(quiet.url, "/#job/%") as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("Nothing hangs here")
        expect(page.locator("#compose")).to_be_hidden()
        watch.forgive("404")


def test_that_the_service_is_away_is_said_once_until_it_is_back(
    quiet: Front, open_page: Open, watch: Watch
) -> None:
    watch.forgive("net::ERR_FAILED")
    with open_page(quiet.url) as page:
        page.clock.install()
        page.route("**/v1/presets", lambda route: route.abort())
        page.reload()
        problem = page.locator("#compose-problem")
        expect(problem).to_have_text("The service does not answer. Is it still running?")
        said = problem.locator("p").element_handle()
        for _ in range(3):
            with page.expect_request("**/v1/presets"):
                page.clock.run_for(10_000)
        assert said.evaluate("said => said.isConnected")
        page.unroute("**/v1/presets")
        page.clock.run_for(10_000)
        expect(page.get_by_role("radio", name="Neural style")).to_be_visible()
        expect(problem).to_be_empty()
