"""The queue and the history: all works of a visitor, and what can be done with them."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from shared.records import JobRecords
from tests.web.conftest import PAGE_JOBS, TITLE, Finish, Front, Open, Post, Watch

WATCH_STATUSES = """id => {
  const card = document.querySelector(`#gallery li[data-job="${id}"]`);
  window.statuses = new Set([card.dataset.status]);
  const note = () => window.statuses.add(card.dataset.status);
  new MutationObserver(note).observe(card, { attributeFilter: ['data-status'] });
}"""


@pytest.fixture
def hall(quiet: Front, open_page: Open) -> Iterator[Page]:
    """The page of a service without workers."""
    with open_page(quiet.url) as page:
        yield page


def cards(page: Page) -> Locator:
    return page.locator("#gallery li")


def card(page: Page, job_id: str) -> Locator:
    return page.locator(f'#gallery li:has(a[href="#job/{job_id}"])')


def show(page: Page, which: str) -> None:
    page.get_by_role("radio", name=which, exact=True).check()


def links(page: Page) -> list[str]:
    found = cards(page).locator("a").evaluate_all("links => links.map(({ hash }) => hash)")
    return [str(link) for link in found]


def look_again(page: Page) -> None:
    """What a visitor does who comes back to the tab."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


LOOK_AGAIN_AND_WAIT = """async () => {
    const { fetch } = window;
    const lists = [];
    window.fetch = (url, options) => {
        const answer = fetch(url, options);
        const read = () => answer.then((response) => response.clone().text());
        if (String(url).startsWith('/v1/jobs?')) lists.push(read());
        return answer;
    };
    document.dispatchEvent(new Event('visibilitychange'));
    window.fetch = fetch;
    await Promise.all(lists);
    return lists.length;
}"""


def stop_clock(page: Page) -> None:
    """From now on, time passes only by `run_for`; nothing that was asked for is on its way.

    The turn that falls due now may ask too, and its answer is not the last: the page uses none
    but the answer to its latest question, which is asked here.
    """
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 60"))
    assert page.evaluate(LOOK_AGAIN_AND_WAIT) == 1


def pass_time(page: Page, seconds: int) -> None:
    """Not at once: the page may still be about to set its timer."""
    for _ in range(4 * seconds):
        page.clock.run_for(250)


def status(front: Front, job_id: str) -> str:
    return str(httpx.get(f"{front.url}/v1/jobs/{job_id}").json()["status"])


def test_works_come_in_pages_the_newest_first(quiet: Front, hall: Page, post: Post) -> None:
    posted = [post(quiet.url, size=64) for _ in range(PAGE_JOBS + 3)]
    hall.reload()
    expect(cards(hall)).to_have_count(PAGE_JOBS)
    newest_first = [f"#job/{job_id}" for job_id in reversed(posted)]
    assert links(hall) == newest_first[:PAGE_JOBS]

    hall.get_by_role("button", name="Show older works").click()
    expect(cards(hall)).to_have_count(PAGE_JOBS + 3)
    assert links(hall) == newest_first
    expect(cards(hall).nth(PAGE_JOBS).locator("a")).to_be_focused()
    expect(hall.get_by_role("button", name="Show older works")).to_be_hidden()


def test_works_of_a_productive_day_move_to_the_pages_behind(
    quiet: Front, hall: Page, post: Post, finish: Finish
) -> None:
    posted = [post(quiet.url, size=64) for _ in range(4)]
    hall.reload()
    expect(cards(hall)).to_have_count(4)
    posted += [post(quiet.url, size=64) for _ in range(PAGE_JOBS)]
    look_again(hall)
    expect(cards(hall)).to_have_count(PAGE_JOBS)
    hall.get_by_role("button", name="Show older works").click()
    expect(cards(hall)).to_have_count(PAGE_JOBS + 4)
    assert links(hall) == [f"#job/{job_id}" for job_id in reversed(posted)]
    expect(cards(hall).nth(PAGE_JOBS).locator("a")).to_be_focused()

    finish(posted[1])
    httpx.delete(f"{quiet.url}/v1/jobs/{posted[1]}").raise_for_status()
    look_again(hall)
    expect(card(hall, posted[1])).to_have_count(0)  # behind the first page, too
    expect(cards(hall)).to_have_count(PAGE_JOBS + 3)


def test_why_older_works_do_not_come_is_said_and_a_look_at_the_newest_does_not_lose_them(
    quiet: Front, hall: Page, post: Post, watch: Watch
) -> None:
    for _ in range(PAGE_JOBS + 1):
        post(quiet.url, size=64)
    hall.reload()
    more = hall.get_by_role("button", name="Show older works")
    refusal = {"status": 422, "json": {"detail": "no such cursor"}}
    hall.route("**/v1/jobs?*cursor*", lambda route: route.fulfill(**refusal))
    more.click()
    expect(hall.locator("#gallery-problem")).to_have_text("no such cursor")
    watch.forgive("422")

    hall.unroute("**/v1/jobs?*cursor*")
    held: list[Route] = []
    hall.route("**/v1/jobs?*cursor*", lambda route: held.append(route))
    with hall.expect_request("**/v1/jobs?*cursor*"):
        more.click()
    expect(hall.locator("#gallery-problem")).to_be_empty()
    with hall.expect_response(f"**/v1/jobs?limit={PAGE_JOBS}"):
        look_again(hall)
    held[0].continue_()
    expect(cards(hall)).to_have_count(PAGE_JOBS + 1)
    expect(more).to_be_hidden()


def test_works_can_be_chosen_by_what_became_of_them(
    quiet: Front, hall: Page, post: Post, finish: Finish
) -> None:
    finished, canceled, waiting = (post(quiet.url, size=64) for _ in range(3))
    finish(finished)
    httpx.post(f"{quiet.url}/v1/jobs/{canceled}/cancel").raise_for_status()
    hall.reload()
    expect(cards(hall)).to_have_count(3)
    for which, job_id in [
        ("In progress", waiting),
        ("Finished", finished),
        ("Not finished", canceled),
    ]:
        show(hall, which)
        expect(cards(hall)).to_have_count(1)
        expect(card(hall, job_id)).to_be_visible()
    show(hall, "All")
    expect(cards(hall)).to_have_count(3)


def test_each_work_says_where_it_is(quiet: Front, hall: Page, post: Post, finish: Finish) -> None:
    finished = post(quiet.url, size=64)
    finish(finished)
    first, second = post(quiet.url, size=64), post(quiet.url, size=64)
    hall.reload()
    expect(card(hall, first)).to_contain_text("Next in line")
    expect(card(hall, second)).to_contain_text("One picture is ahead of it")
    expect(card(hall, finished)).to_contain_text(TITLE)
    card(hall, finished).scroll_into_view_if_needed()  # pictures are fetched when they are seen
    expect(card(hall, finished).locator("img")).to_have_js_property("naturalWidth", 96)


def test_a_large_picture_is_not_fetched_to_be_shown_small(
    quiet: Front, open_page: Open, post: Post, finish: Finish
) -> None:
    large = post(quiet.url, size=2048)
    finish(large, side_px=2048)
    asked: list[str] = []
    with open_page(quiet.url) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        card(page, large).scroll_into_view_if_needed()
        expect(card(page, large).locator("img")).to_have_js_property("naturalWidth", 96)
    assert any(url.endswith("preview?step=90") for url in asked)
    assert not any("/result" in url for url in asked)


def test_a_picture_that_did_not_come_is_fetched_again(
    quiet: Front, hall: Page, post: Post, finish: Finish, watch: Watch
) -> None:
    job_id = post(quiet.url, size=64)
    finish(job_id)
    hall.route("**/result?*", lambda route: route.fulfill(status=503), times=1)
    with hall.expect_response(lambda response: response.status == 503):
        hall.reload()
        card(hall, job_id).scroll_into_view_if_needed()
    look_again(hall)
    expect(card(hall, job_id).locator("img")).to_have_js_property("naturalWidth", 96)
    watch.forgive("503")


def test_an_answer_that_comes_late_takes_no_end_back(
    quiet: Front, open_page: Open, post: Post, finish: Finish
) -> None:
    job_id = post(quiet.url, size=64)
    held: list[tuple[Route, APIResponse]] = []
    with open_page(quiet.url, f"/#job/{job_id}") as page:
        expect(card(page, job_id)).to_contain_text("Next in line")
        page.route("**/v1/jobs?*", lambda route: held.append((route, route.fetch())), times=1)
        with page.expect_request("**/v1/jobs?*"):
            look_again(page)
        while not held:
            page.wait_for_timeout(10)
        finish(job_id)
        expect(card(page, job_id)).to_have_attribute("data-status", "succeeded")
        page.evaluate(WATCH_STATUSES, job_id)
        (route, answer), *_ = held
        with page.expect_event("requestfinished", lambda each: each == route.request):
            route.fulfill(response=answer)
        with page.expect_response("**/v1/jobs?*"):
            pass
        assert page.evaluate("[...statuses]") == ["succeeded"]


def test_what_is_in_progress_does_not_have_a_list_of_others_read_all_the_time(
    quiet: Front, hall: Page, post: Post, finish: Finish
) -> None:
    finished = post(quiet.url, size=64)
    finish(finished)
    post(quiet.url, size=64)
    asked: list[str] = []
    hall.clock.install()
    hall.reload()
    expect(cards(hall)).to_have_count(2)
    stop_clock(hall)
    show(hall, "Finished")
    expect(cards(hall)).to_have_count(1)
    hall.on("request", lambda request: asked.append(request.url))
    with hall.expect_request("**/v1/jobs?status=queued*"):
        pass_time(hall, 12)
    assert not [url for url in asked if "status=succeeded" in url]


def test_of_many_in_progress_none_is_asked_for_that_a_later_page_lists(
    quiet: Front, hall: Page, post: Post, records: JobRecords
) -> None:
    jobs = [post(quiet.url, size=64) for _ in range(3)]
    hall.clock.install()
    hall.reload()
    expect(cards(hall)).to_have_count(3)
    stop_clock(hall)
    asked: list[str] = []
    hall.on("request", lambda request: asked.append(request.url))

    def shorten(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=100", "limit=1"))

    hall.route("**/v1/jobs?status=queued*", shorten)
    records.claim(jobs[0], "painter")
    pass_time(hall, 6)
    expect(card(hall, jobs[0])).to_have_attribute("data-status", "running")
    assert not [url for url in asked if url.endswith(tuple(f"/{job_id}" for job_id in jobs))]


def test_what_is_not_known_of_one_work_keeps_nothing_from_the_others(
    quiet: Front, hall: Page, post: Post, finish: Finish, records: JobRecords, watch: Watch
) -> None:
    finished, running = post(quiet.url, size=64), post(quiet.url, size=64)
    hall.clock.install()
    hall.reload()
    expect(cards(hall)).to_have_count(2)
    stop_clock(hall)
    watch.forgive("503")
    hall.route(f"**/v1/jobs/{finished}", lambda route: route.fulfill(status=503))
    finish(finished)
    records.claim(running, "painter")
    pass_time(hall, 6)
    expect(card(hall, running)).to_have_attribute("data-status", "running")
    expect(card(hall, finished)).to_have_attribute("data-status", "queued")
    hall.unroute(f"**/v1/jobs/{finished}")
    pass_time(hall, 6)
    expect(card(hall, finished)).to_have_attribute("data-status", "succeeded")


def test_works_that_come_and_go_elsewhere_come_and_go_here(
    quiet: Front, hall: Page, post: Post, finish: Finish
) -> None:
    first = post(quiet.url, size=64)
    hall.reload()
    expect(cards(hall)).to_have_count(1)
    second = post(quiet.url, size=64)
    expect(cards(hall)).to_have_count(2)
    finish(first)
    expect(card(hall, first)).to_have_attribute("data-status", "succeeded")
    httpx.delete(f"{quiet.url}/v1/jobs/{first}").raise_for_status()
    expect(cards(hall)).to_have_count(1)
    expect(card(hall, second)).to_be_visible()


def test_a_job_is_canceled_from_its_card(
    quiet: Front, hall: Page, post: Post, records: JobRecords
) -> None:
    waiting, running = post(quiet.url, size=64), post(quiet.url, size=64)
    records.claim(running, "painter")
    hall.reload()
    for job_id, said in [(waiting, "Canceled, now"), (running, "Stopping")]:
        button = card(hall, job_id).get_by_role("button", name=f"Cancel: {TITLE}")
        button.click()
        expect(card(hall, job_id)).to_contain_text(said)
        expect(button).to_have_count(0)
        expect(card(hall, job_id).locator("a")).to_be_focused()
    assert status(quiet, waiting) == "canceled"


def test_a_work_is_deleted_only_after_a_question(
    quiet: Front, hall: Page, post: Post, finish: Finish, watch
) -> None:
    kept, deleted = post(quiet.url, size=64), post(quiet.url, size=64)
    for job_id in (kept, deleted):
        finish(job_id)
    hall.reload()
    question = hall.get_by_role("alertdialog")
    button = card(hall, deleted).get_by_role("button", name="Delete")

    button.click()
    expect(question).to_contain_text(re.compile(f"Delete .{TITLE}"))
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    hall.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(cards(hall)).to_have_count(2)

    button.click()
    question.get_by_role("button", name="Delete").click()
    expect(cards(hall)).to_have_count(1)
    expect(card(hall, kept).locator("a")).to_be_focused()
    assert httpx.get(f"{quiet.url}/v1/jobs/{deleted}").status_code == 410


def test_a_deleted_job_is_left_for_an_empty_easel(
    quiet: Front, open_page: Open, post: Post, finish: Finish
) -> None:
    job_id = post(quiet.url, size=64)
    finish(job_id)
    with open_page(quiet.url, f"/#job/{job_id}") as page:
        page.locator("#delete").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
        expect(page.locator("#compose")).to_be_visible()
        expect(cards(page)).to_have_count(0)
        expect(page.get_by_text("The wall is yours")).to_be_visible()


def test_a_job_that_did_not_finish_is_tried_again(
    quiet: Front, open_page: Open, post: Post
) -> None:
    first = post(quiet.url, size=64)
    httpx.post(f"{quiet.url}/v1/jobs/{first}/cancel").raise_for_status()
    with open_page(quiet.url, f"/#job/{first}") as page:
        page.clock.install()
        page.reload()
        page.locator("#retry").click()
        page.wait_for_url(lambda url: first not in url)
        second = page.url.rsplit("/", 1)[-1]
        expect(page.locator("#job-state")).to_have_text("Next in line")
        expect(page.get_by_role("heading", level=1)).to_have_text(TITLE)
        page.get_by_text("What happened").click()
        page.get_by_role("link", name="an earlier one").click()
        expect(page.locator("#job-state")).to_have_text("Canceled")

        stop_clock(page)  # so that it is not because a turn is due
        with page.expect_request(f"**/v1/jobs?limit={PAGE_JOBS}"):
            card(page, first).get_by_role("button", name="Try again").click()
        expect(cards(page)).to_have_count(3)
    jobs = httpx.get(f"{quiet.url}/v1/jobs").json()["jobs"]
    assert [job["retried_from"] for job in jobs] == [first, first, None]
    assert jobs[1]["id"] == second


def test_settings_and_pictures_of_a_work_are_used_again(
    quiet: Front, hall: Page, post: Post, finish: Finish
) -> None:
    job_id = post(quiet.url, size=321, steps=77)
    finish(job_id)
    hall.reload()
    expect(hall.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
    card(hall, job_id).get_by_role("button", name="Reuse").click()
    expect(hall.get_by_label("Long side of the picture")).to_have_value("321")
    expect(hall.get_by_label("Steps", exact=True)).to_have_value("77")
    expect(hall.get_by_role("img", name="quiet_field.png")).to_be_visible()
    expect(hall.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()


def test_what_happened_to_a_job_is_told_in_words(
    quiet: Front, open_page: Open, post: Post, finish: Finish
) -> None:
    job_id = post(quiet.url, size=64)
    finish(job_id)
    with open_page(quiet.url, f"/#job/{job_id}") as page:
        page.get_by_text("What happened").click()
        told = page.locator("#chronicle li")
        expect(told).to_have_count(3)
        for line, words in enumerate(["Handed in", "A worker took it up", "Finished"]):
            expect(told.nth(line)).to_have_text(re.compile(rf"^\d\d:\d\d:\d\d{words}$"))
