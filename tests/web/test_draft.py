"""What was filled in is found again after a reload, or when a phone has put the tab away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis
from playwright.sync_api import FilePayload, Page, expect

from shared.keys import ApiKeys
from shared.settings import Settings
from tests.web.conftest import Front, Open, Visitor

ENDLESS = 10_000  # steps that no test waits for
WAIT_SECONDS = 30
BROKEN_STORAGE = {
    "denied": "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }",
    "silent": "IDBFactory.prototype.open = () => ({})",
    "full": """IDBObjectStore.prototype.put = function () {
        this.transaction.abort();
        throw new DOMException('no room', 'QuotaExceededError');
    }""",
}
# Changes one value of the draft of this tab.
SPOIL = """async ([path, value]) => {
  const answer = (request) =>
    new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
  const [store, ...keys] = path.split('.');
  const database = await answer(indexedDB.open('impasto'));
  const drafts = database.transaction(store, 'readwrite').objectStore(store);
  const tab = sessionStorage.getItem('impasto.tab');
  const draft = await answer(drafts.get(tab));
  const last = keys.pop();
  keys.reduce((part, key) => part[key], draft)[last] = value;
  await answer(drafts.put(draft, tab));
}"""
# When the draft of this tab was written last.
WRITTEN_AT = """async () => {
  const answer = (request) =>
    new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
  const database = await answer(indexedDB.open('impasto'));
  const drafts = database.transaction('settings').objectStore('settings');
  const draft = await answer(drafts.get(sessionStorage.getItem('impasto.tab')));
  database.close();
  return draft?.at ?? 0;
}"""


def ordered(stack, visitor: Visitor) -> dict[str, Any]:
    """Hand the form in as it is. Returns the job."""
    before = visitor.page.url
    visitor.page.get_by_role("button", name="Paint", exact=True).click()
    visitor.page.wait_for_url(lambda url: "#job/" in url and url != before)
    job_id = visitor.page.url.rsplit("/", 1)[-1]
    job: dict[str, Any] = httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").json()
    return job


def reload(page: Page, *, is_kept: bool = True) -> None:
    """Reload as soon as the draft is written: transactions wait for those of before."""
    if is_kept:
        page.evaluate(
            """() => new Promise((resolve) => {
              window.dispatchEvent(new Event('pagehide'));
              const opening = indexedDB.open('impasto');
              opening.onsuccess = () => {
                const stores = ['settings', 'pictures'];
                const transaction = opening.result.transaction(stores, 'readwrite');
                transaction.oncomplete = () => resolve(opening.result.close());
              };
            })"""
        )
    page.reload()
    expect(page.locator("#submit")).to_be_enabled()


@contextmanager
def written_by_and_by(page: Page) -> Iterator[None]:
    """Wait until what changes in it is written, as it is while the page is used."""
    before = page.evaluate(WRITTEN_AT)
    yield
    deadline = time.monotonic() + WAIT_SECONDS
    while page.evaluate(WRITTEN_AT) <= before:
        assert time.monotonic() < deadline, "nothing was written"


def change_and_find_again(page: Page) -> None:
    """What is changed in a form with two pictures is there after a reload, and so are they."""
    size = page.get_by_label("Long side of the picture")
    with written_by_and_by(page):
        size.fill("64")
    reload(page, is_kept=False)
    expect(size).to_have_value("64")
    expect(page.locator(".well .frame")).to_have_count(2)


def fill(page: Page, visitor: Visitor, photograph: FilePayload, *paintings: FilePayload) -> None:
    visitor.choose(photograph, *paintings)
    expect(page.locator("#style .frame")).to_have_count(len(paintings))


def test_the_whole_form_is_there_again_after_a_reload(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload, second_painting
) -> None:
    page.get_by_role("radio", name="Wasserstein").check()
    fill(page, visitor, photograph, painting, second_painting)
    page.get_by_role("slider", name="Share of rings.png").fill("30")
    page.get_by_role("button", name="Where rings.png paints").click()
    page.get_by_role("button", name="Left", exact=True).click()
    page.get_by_role("button", name="Use this mask").click()
    page.get_by_role("radio", name="Draft").check()
    page.get_by_label("Strength").fill("0.5")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("spinbutton", name="Seed", exact=True).fill("123456789")
    page.get_by_label("Place in line").select_option("high")
    page.get_by_label("Begin with", exact=True).select_option("image")
    page.locator("#beginning input[type=file]").set_input_files([{**painting, "name": "begin.png"}])
    expect(page.locator("#beginning .frame")).to_have_count(1)
    page.get_by_role("button", name="Every parameter").click()
    page.get_by_label("pyramid.min_size", exact=True).fill("40")
    page.get_by_role("button", name="Done").click()
    visitor.order(size=64, steps=ENDLESS)
    job_id = page.url.rsplit("/", 1)[-1]
    first = httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").json()

    for _ in range(2):  # what was found again is kept like what was chosen
        reload(page)
        expect(page.locator("#job")).to_be_visible()
        page.get_by_role("link", name="New picture").click()
        expect(page.locator("#style .frame")).to_have_count(2)
        expect(page.locator("#content .veils")).to_be_visible()
        again = ordered(stack, visitor)
        for key in ("params", "inputs", "metadata", "priority"):
            assert again[key] == first[key]


def test_what_an_earlier_job_was_given_is_there_again_after_a_reload(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    files = [
        *((field, ("a.png", photograph["buffer"])) for field in ("content", "mask")),
        ("style", ("b.png", painting["buffer"])),
    ]
    form = {"params": '{"size": 64, "pyramid": {"steps": [3, 2]}}', "metadata": '{"for": "Theo"}'}
    answer = httpx.post(f"{stack.url}/v1/jobs", files=files, data=form).raise_for_status()
    first = httpx.post(f"{stack.url}/v1/jobs/{answer.json()['id']}/cancel").json()
    page.goto(f"/#job/{first['id']}")
    page.locator("#again").click()
    expect(page.locator("#style .frame")).to_have_count(1)
    reload(page)
    expect(page.locator("#style .frame")).to_have_count(1)
    again = ordered(stack, visitor)
    assert again["params"] == first["params"]
    assert again["inputs"] == first["inputs"]
    assert again["metadata"]["for"] == "Theo"


def test_what_is_taken_back_stays_taken_back(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    fill(page, visitor, photograph, painting)
    size = page.get_by_label("Long side of the picture")
    size.fill("64")
    reload(page)
    expect(size).to_have_value("64")
    page.get_by_role("button", name="Start afresh").click()
    page.get_by_role("button", name="Remove quiet_field.png").click()
    reload(page)
    expect(size).to_have_value("512")
    expect(page.locator("#style .frame")).to_have_count(1)
    expect(page.locator("#content .frame")).to_have_count(0)


def test_each_tab_has_its_own_form(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    fill(page, visitor, photograph, painting)
    another = page.context.new_page()
    another.goto("/")
    another.get_by_label("Long side of the picture").fill("80")
    reload(another)
    expect(another.get_by_label("Long side of the picture")).to_have_value("80")
    expect(another.locator(".well .frame")).to_have_count(0)
    reload(page)
    expect(page.locator(".well .frame")).to_have_count(2)


@pytest.mark.parametrize("how", ["forgotten", "too old"])
def test_a_draft_that_another_tab_has_thrown_away_is_written_again_as_a_whole(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, how: str
) -> None:
    fill(page, visitor, photograph, painting)
    reload(page)
    expect(page.locator(".well .frame")).to_have_count(2)
    if how == "forgotten":
        page.context.new_page().goto("/")
        page.context.pages[-1].evaluate(
            "import('/web/draft.js').then(({ forgetDrafts }) => forgetDrafts())"
        )
    else:
        page.evaluate(SPOIL, ["settings.at", 0])
        page.context.new_page().goto("/")
        expect(page.context.pages[-1].locator("#submit")).to_be_enabled()
    change_and_find_again(page)


@pytest.mark.parametrize("has_locks", [True, False], ids=["https", "http"])
def test_a_tab_and_its_duplicate_do_not_mix_their_forms(
    page: Page,
    visitor,
    photograph: FilePayload,
    painting: FilePayload,
    second_painting: FilePayload,
    has_locks: bool,
) -> None:
    if not has_locks:
        page.context.add_init_script("Object.defineProperty(navigator, 'locks', {})")
        reload(page, is_kept=False)
    fill(page, visitor, photograph, painting)
    reload(page)
    expect(page.locator(".well .frame")).to_have_count(2)
    double = page.context.new_page()
    double.goto("/")
    expect(double.locator("#submit")).to_be_enabled()
    name = page.evaluate("sessionStorage.getItem('impasto.tab')")
    double.evaluate("name => sessionStorage.setItem('impasto.tab', name)", name)
    reload(double, is_kept=False)
    expect(double.locator(".well .frame")).to_have_count(2)
    with written_by_and_by(double):
        double.locator("#style input[type=file]").set_input_files([second_painting])

    change_and_find_again(page)
    reload(double, is_kept=False)
    expect(double.locator(".well .frame")).to_have_count(3 if has_locks else 2)


def test_a_draft_that_is_of_no_use_any_more_is_thrown_away_silently(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    for path, value in (
        ("settings.params.preset", "of yesterday"),
        ("settings.params.of_yesterday", 1),
        ("settings.at", 0),
        ("pictures.masks", None),
        ("pictures.content", [{}]),
    ):
        page.get_by_label("Long side of the picture").fill("64")
        fill(page, visitor, photograph, painting)
        reload(page)
        expect(page.locator("#content .frame")).to_have_count(1)
        page.evaluate(SPOIL, [path, value])
        reload(page)
        expect(page.locator(".well .frame")).to_have_count(0)
        expect(page.get_by_label("Long side of the picture")).to_have_value("512")


def test_a_draft_that_cannot_be_filled_in_does_not_keep_the_form_shut(
    stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    fill(page, visitor, photograph, painting)
    reload(page)
    expect(page.locator("#content .frame")).to_have_count(1)
    page.evaluate(SPOIL, ["pictures.content.0.thumbnail", "no Blob"])
    reload(page)
    fill(page, visitor, photograph, painting)
    visitor.order(size=64, steps=ENDLESS)
    visitor.cancel()


def test_a_picture_that_is_quicker_than_the_draft_takes_its_place_alone(
    page: Page, visitor, hold, photograph: FilePayload, painting: FilePayload
) -> None:
    page.get_by_label("Long side of the picture").fill("64")
    fill(page, visitor, photograph, painting)
    reload(page)
    presets = hold("**/v1/presets")
    page.reload()
    page.locator("#content input[type=file]").set_input_files([{**photograph, "name": "new.png"}])
    expect(page.get_by_role("img", name="new.png")).to_be_visible()
    presets[0].continue_()
    page.unroute("**/v1/presets")
    for _ in range(2):  # it is kept at once
        expect(page.locator("#style .frame")).to_have_count(1)
        expect(page.get_by_role("img", name="new.png")).to_be_visible()
        expect(page.get_by_label("Long side of the picture")).to_have_value("64")
        reload(page)


def test_it_is_forgotten_with_the_key(
    guarded: Front,
    open_page: Open,
    settings: Settings,
    valkey: redis.Redis,
    watch,
    photograph: FilePayload,
    painting: FilePayload,
) -> None:
    watch.forgive("401")  # Chromium writes them down
    artist, other = (ApiKeys(valkey, settings).create(name) for name in ("artist", "other"))
    with open_page(guarded.url) as page:
        dialog, frames = page.locator("#key-dialog"), page.locator(".well .frame")
        size = page.get_by_label("Long side of the picture")

        def ask() -> None:
            page.get_by_role("button", name="Key", exact=True).click()

        def enter(key: str) -> None:
            page.locator("#key").fill(key)
            page.get_by_role("button", name="Use this key").click()

        def leave_a_draft() -> None:
            expect(dialog).to_be_hidden()
            expect(page.locator("#submit")).to_be_enabled()
            expect(frames).to_have_count(0)
            fill(page, Visitor(page), photograph, painting)
            reload(page)
            expect(frames).to_have_count(2)

        enter(artist)
        leave_a_draft()
        ask()
        with page.expect_navigation():
            page.get_by_role("button", name="Forget the key").click()
        enter(artist)
        leave_a_draft()

        ask()
        enter(artist)  # the same once more
        expect(dialog).to_be_hidden()
        size.fill("64")
        reload(page)
        expect(size).to_have_value("64")
        expect(frames).to_have_count(2)

        size.fill("80")
        ask()
        with page.expect_navigation():
            enter(other)
        expect(size).to_have_value("512")
        leave_a_draft()

        page.evaluate("sessionStorage.removeItem('impasto.key')")  # as another tab may
        expect(dialog).to_be_visible()
        with page.expect_navigation():
            enter(artist)
        leave_a_draft()

        page.route("**/v1/presets", lambda route: None)  # there is no form yet
        page.reload()
        ask()
        page.unroute("**/v1/presets")
        with page.expect_navigation():
            enter(other)
        leave_a_draft()


@pytest.mark.parametrize("script", BROKEN_STORAGE.values(), ids=BROKEN_STORAGE)
def test_where_nothing_can_be_kept_the_form_works_as_well(
    stack, page: Page, visitor, script: str, photograph: FilePayload, painting: FilePayload
) -> None:
    page.add_init_script(script)
    reload(page, is_kept=False)
    fill(page, visitor, photograph, painting)
    visitor.order(size=64, steps=ENDLESS)
    visitor.cancel()
    reload(page, is_kept=False)
    expect(page.locator(".well .frame")).to_have_count(0)
