"""Telling of what happens while nobody looks at the tab."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import TITLE, Finish, Front, Open, Post, run_clock_until
from tests.web.test_job import HIDE

# Playwright's Chromium shows no notices. Chrome on Android throws where a page makes one.
NOTIFICATION = """
window.told = [];
window.Notification = class extends EventTarget {
  static permission = '%(permission)s';
  static async requestPermission() { this.permission = 'granted'; }
  constructor(title) {
    super();
    if (%(throws)s) throw new TypeError('Illegal constructor.');
    if (Notification.permission === 'granted') told.push(title);
  }
};
"""
Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def open_with(quiet: Front, open_page: Open) -> Opened:
    """Opens the page of a browser that tells so much: `open_with("granted", throws=True)`."""

    @contextmanager
    def opened(permission: str, *, throws: bool = False, path: str = "/") -> Iterator[Page]:
        browser = NOTIFICATION % {"permission": permission, "throws": str(throws).lower()}
        with open_page(quiet.url) as page:
            page.add_init_script(browser)
            page.goto(path)
            page.reload()
            yield page

    return opened


def offer(page: Page) -> Locator:
    return page.get_by_role("button", name="Tell me when a picture is done")


@pytest.mark.parametrize("throws", [False, True])
def test_the_end_of_a_job_is_told_as_well_as_the_browser_can(
    quiet: Front, open_with: Opened, post: Post, finish: Finish, throws: bool
) -> None:
    job_id = post(quiet.url, size=64)
    with open_with("granted", throws=throws, path=f"/#job/{job_id}") as page:
        expect(page.locator("#job-state")).to_have_text("Next in line")
        page.clock.install()
        page.evaluate(HIDE, True)
        finish(job_id)
        run_clock_until(page, lambda: page.title().startswith("✓"), "the mark")
        page.evaluate(HIDE, False)
        expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
        expect(page.locator("#job-problem")).to_be_empty()
        assert page.evaluate("told") == ([] if throws else [TITLE])


def test_notices_are_not_offered_where_a_page_cannot_make_any(
    quiet: Front, open_with: Opened, post: Post
) -> None:
    job_id = post(quiet.url, size=64)
    with open_with("default", throws=True, path=f"/#job/{job_id}") as page:
        expect(page.locator("#job-state")).to_have_text("Next in line")
        expect(offer(page)).to_be_hidden()


def test_who_allows_notices_goes_on_from_the_link_beside(
    quiet: Front, open_with: Opened, post: Post
) -> None:
    job_id = post(quiet.url, size=64)
    with open_with("default", path=f"/#job/{job_id}") as page:
        offer(page).press("Enter")
        expect(offer(page)).to_be_hidden()
        expect(page.get_by_role("link", name="New picture")).to_be_focused()
        assert page.evaluate("told") == []


def test_the_mark_of_one_job_outlasts_news_of_another(
    quiet: Front, open_page: Open, post: Post, finish: Finish
) -> None:
    finished, followed = post(quiet.url, size=64), post(quiet.url, size=64)
    with open_page(quiet.url, f"/#job/{followed}") as page:
        expect(page.locator("#job-state")).to_have_text("One picture is ahead of it")
        page.clock.install()
        page.evaluate(HIDE, True)
        finish(finished)
        run_clock_until(page, lambda: page.title().startswith("✓"), "the mark")
        for _ in range(2):
            with page.expect_response(f"**/v1/jobs/{followed}"):
                page.clock.run_for(5_000)
        expect(page).to_have_title(f"✓ {TITLE}")
        page.evaluate(HIDE, False)
        expect(page).to_have_title(TITLE)
