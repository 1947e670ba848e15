"""A service that asks for API keys, at the page."""

import zipfile
from collections.abc import Iterator

import pytest
import redis
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from shared.keys import ApiKeys
from shared.settings import Settings
from tests.web.conftest import PAGE_JOBS, Finish, Front, Open, Post, Visitor

NO_STORAGE = """for (const name of ['localStorage', 'sessionStorage']) {
  const get = () => { throw new DOMException(name, 'SecurityError'); };
  Object.defineProperty(window, name, { get });
}"""
FULL_STORAGE = """Storage.prototype.setItem = () => {
  throw new DOMException('no room', 'QuotaExceededError');
}"""
STORED = "() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"


@pytest.fixture
def key(valkey: redis.Redis, settings: Settings, guarded: Front) -> str:
    """A key; from now on everybody needs one."""
    return ApiKeys(valkey, settings).create("artist")


@pytest.fixture
def locked(guarded: Front, key: str, open_page: Open, watch) -> Iterator[Page]:
    """The page of a service with keys."""
    with open_page(guarded.url) as page:
        yield page
    watch.forgive("401")  # Chromium writes them down


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog", name="API key")


def enter(page: Page, key: str, *, remember: bool = False) -> None:
    dialog(page).get_by_label("Key", exact=True).fill(key)
    if remember:
        dialog(page).get_by_label("Keep it in this browser").check()
    dialog(page).get_by_role("button", name="Use this key").click()


def test_the_page_asks_for_a_key_and_shows_the_works_of_that_key(
    guarded: Front, locked: Page, key: str, post: Post, finish: Finish, photograph: FilePayload
) -> None:
    job_id = post(guarded.url, key, size=64)
    finish(job_id)
    expect(dialog(locked)).to_contain_text("This service asks for an API key.")
    enter(locked, f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}")
    expect(dialog(locked)).to_contain_text("no API key that is known here")
    enter(locked, key)
    expect(dialog(locked)).to_be_hidden()

    locked.locator("#gallery li").scroll_into_view_if_needed()
    thumbnail = locked.locator("#gallery img")
    expect(thumbnail).to_have_js_property("naturalWidth", 96)
    locked.locator("#gallery a").click()
    expect(locked.get_by_role("img", name="The finished picture")).to_be_visible()
    expect(locked.locator(".stage .photograph")).to_have_js_property("naturalWidth", 96)
    with locked.expect_download() as started:
        locked.get_by_role("button", name="Both, as ZIP").click()
    with zipfile.ZipFile(started.value.path()) as archive:
        picture = archive.read("quiet-field-after-diagonal-strokes.png")
    assert picture == photograph["buffer"]

    assert key not in locked.content()
    expect(locked.locator("#key")).to_have_value("")


def test_a_job_is_handed_in_and_followed_with_the_key(
    locked: Page, key: str, photograph: FilePayload, painting: FilePayload
) -> None:
    enter(locked, key)
    expect(locked.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
    visitor = Visitor(locked)
    visitor.choose(photograph, painting)
    visitor.order(size=64, steps=5)
    expect(locked.locator("#job-state")).to_have_text("Next in line")
    visitor.cancel()


def test_a_key_is_forgotten_with_the_tab_unless_it_is_to_be_kept(locked: Page, key: str) -> None:
    enter(locked, key)
    expect(locked.get_by_text("The wall is yours")).to_be_visible()
    locked.reload()
    expect(locked.get_by_text("The wall is yours")).to_be_visible()
    expect(dialog(locked)).to_be_hidden()

    another = locked.context.new_page()
    another.goto("/")
    expect(dialog(another)).to_be_visible()
    enter(another, key, remember=True)
    expect(another.get_by_text("The wall is yours")).to_be_visible()
    third = locked.context.new_page()
    third.goto("/")
    expect(third.get_by_text("The wall is yours")).to_be_visible()

    third.get_by_role("button", name="Key", exact=True).click()
    third.get_by_role("button", name="Forget the key").click()
    expect(dialog(third)).to_contain_text("This service asks for an API key.")
    assert key not in third.evaluate(STORED)


def test_what_cannot_be_a_key_is_not_sent(locked: Page, key: str) -> None:
    for wrong, said in [
        (f"{key}\N{HORIZONTAL ELLIPSIS}", "not a whole key"),
        (f"{key[:20]}\N{ZERO WIDTH SPACE}{key[20:]}", "not a whole key"),
        (key[:-4], "not a whole key"),
        ("", "Enter a key"),
    ]:
        enter(locked, wrong)
        expect(dialog(locked).get_by_role("alert")).to_contain_text(said)
        expect(dialog(locked).get_by_label("Key", exact=True)).to_be_focused()
    enter(locked, f" {key} ")
    expect(dialog(locked)).to_be_hidden()
    expect(locked.get_by_text("The wall is yours")).to_be_visible()


@pytest.mark.parametrize("script", [NO_STORAGE, FULL_STORAGE], ids=["denied", "full"])
def test_a_key_lasts_until_the_page_is_left_where_nothing_can_be_stored(
    guarded: Front, key: str, browser: Browser, script: str
) -> None:
    with browser.new_context(base_url=guarded.url) as context:
        context.add_init_script(script)
        page = context.new_page()
        page.goto("/")
        enter(page, key)
        expect(page.get_by_text("The wall is yours")).to_be_visible()
        expect(dialog(page)).to_be_hidden()


def test_nothing_of_one_key_hangs_among_the_works_of_another(
    guarded: Front, locked: Page, key: str, settings: Settings, valkey: redis.Redis, post: Post
) -> None:
    post(guarded.url, key, size=64)
    other = ApiKeys(valkey, settings).create("another artist")
    for _ in range(PAGE_JOBS + 1):
        post(guarded.url, other, size=32)
    enter(locked, key)
    works = locked.locator("#gallery li")
    expect(works).to_have_count(1)
    locked.get_by_role("button", name="Key", exact=True).click()
    enter(locked, other)
    expect(works).to_have_count(PAGE_JOBS)
    locked.get_by_role("button", name="Show older works").click()
    expect(works).to_have_count(PAGE_JOBS + 1)


def test_a_key_that_is_being_entered_stays_when_a_request_needs_one(
    guarded: Front, locked: Page, key: str, settings: Settings, valkey: redis.Redis
) -> None:
    keys = ApiKeys(valkey, settings)
    enter(locked, key)
    expect(locked.get_by_text("The wall is yours")).to_be_visible()
    locked.get_by_role("button", name="Key", exact=True).click()
    field = dialog(locked).get_by_label("Key", exact=True)
    other = keys.create("another artist")
    field.fill(other)
    (known,) = (known for known in keys.list() if known.name == "artist")
    with locked.expect_response(lambda response: response.status == 401):
        keys.revoke(known.id)
        locked.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(field).to_have_value(other)
    dialog(locked).get_by_role("button", name="Use this key").click()
    expect(dialog(locked)).to_be_hidden()
    expect(locked.get_by_text("The wall is yours")).to_be_visible()


def test_a_visitor_without_a_key_is_asked_again_only_when_one_is_needed(
    locked: Page, key: str, photograph: FilePayload, painting: FilePayload
) -> None:
    dialog(locked).get_by_role("button", name="Not now").click()
    expect(locked.locator("#workers")).to_contain_text("API key is needed")
    with locked.expect_response(lambda response: response.status == 401):
        pass  # the page goes on asking, and the visitor is left in peace
    expect(dialog(locked)).to_be_hidden()

    visitor = Visitor(locked)
    visitor.choose(photograph, painting)
    locked.get_by_role("button", name="Paint", exact=True).click()
    expect(dialog(locked)).to_be_visible()
    dialog(locked).get_by_role("button", name="Not now").click()
    expect(locked.locator("#compose-problem")).to_contain_text("API key is needed")

    locked.get_by_role("button", name="Paint", exact=True).click()
    enter(locked, f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}")
    expect(dialog(locked)).to_contain_text("no API key that is known here")
    enter(locked, key)  # the first that is known: nobody else has filled the form
    locked.wait_for_url("**/#job/*")


def test_who_enters_the_first_key_unasked_sees_its_works(
    guarded: Front, locked: Page, key: str, post: Post, painting: FilePayload
) -> None:
    job_id = post(guarded.url, key, size=64)
    dialog(locked).get_by_role("button", name="Not now").click()
    locked.goto(f"/#job/{job_id}")
    expect(locked.locator("#job-problem")).to_contain_text("API key is needed")
    locked.get_by_role("button", name="Key", exact=True).click()
    enter(locked, key)
    expect(locked.locator("#job-state")).to_have_text("Next in line")


def test_without_keys_nobody_is_asked(guarded: Front, open_page: Open) -> None:
    with open_page(guarded.url) as page:
        expect(page.get_by_text("The wall is yours")).to_be_visible()
        expect(dialog(page)).to_be_hidden()
        expect(page.get_by_role("button", name="Key", exact=True)).to_be_hidden()
