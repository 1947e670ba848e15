"""What was filled in is found again after a reload, or when a phone has put the tab away."""

from typing import Any

import httpx
import pytest
import redis
from playwright.sync_api import FilePayload, Page, expect

from shared.keys import ApiKeys
from shared.settings import Settings
from tests.web.conftest import Front, Open, Visitor

ENDLESS = 10_000  # steps that no test waits for
BROKEN_STORAGE = {
    "denied": "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }",
    "silent": "IDBFactory.prototype.open = () => ({})",
    "full": """IDBObjectStore.prototype.put = function () {
        this.transaction.abort();
        throw new DOMException('no room', 'QuotaExceededError');
    }""",
}


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
        page.evaluate(
            """async ([path, value]) => {
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
            }""",
            [path, value],
        )
        reload(page)
        expect(page.locator(".well .frame")).to_have_count(0)
        expect(page.get_by_label("Long side of the picture")).to_have_value("512")


def test_it_is_forgotten_with_the_key(
    quiet: Front,
    open_page: Open,
    settings: Settings,
    valkey: redis.Redis,
    watch,
    photograph: FilePayload,
    painting: FilePayload,
) -> None:
    artist, other = (ApiKeys(valkey, settings).create(name) for name in ("artist", "other"))

    def enter(page: Page, key: str) -> None:
        page.locator("#key").fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#key-dialog")).to_be_hidden()
        expect(page.locator("#submit")).to_be_enabled()

    def leave_a_draft(page: Page) -> None:
        fill(page, Visitor(page), photograph, painting)
        reload(page)
        expect(page.locator(".well .frame")).to_have_count(2)
        page.get_by_role("button", name="Key", exact=True).click()

    with open_page(quiet.url) as page:
        enter(page, artist)
        leave_a_draft(page)
        with page.expect_navigation():
            page.get_by_role("button", name="Forget the key").click()
        enter(page, artist)
        expect(page.locator(".well .frame")).to_have_count(0)

        leave_a_draft(page)
        enter(page, other)
        reload(page)
        expect(page.locator(".well .frame")).to_have_count(0)
    watch.forgive("401")  # Chromium writes them down


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
