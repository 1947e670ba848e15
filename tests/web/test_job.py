"""A job that is looked at: while it is painted, when things go wrong, and afterwards."""

import os
import re
import signal

import httpx
import pytest
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from tests.e2e.test_a_job import until
from tests.web.conftest import Post

ENDLESS = 10_000  # steps that no test waits for
PATIENCE_MS = 120_000  # while other tests keep the machine busy
PERCENT = re.compile(r"^\d+ %$")
PAINTED = re.compile("^Painted in")
# A page cannot be hidden by Playwright: it is told that it is.
HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def state(page: Page) -> Locator:
    return page.locator("#job-state")


def moment(page: Page) -> Locator:
    return page.get_by_role("slider", name="Moment of the painting")


def step_of(page: Page) -> int:
    found = re.search(r"\d+", page.locator("#job-detail").inner_text())
    assert found
    return int(found[0])


@pytest.fixture
def running(stack, page: Page, visitor, photograph: FilePayload, painting: FilePayload) -> str:
    """A job that runs until the test has seen enough."""
    visitor.choose(photograph, painting)
    job_id = visitor.order(size=96, steps=ENDLESS)
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    return job_id


@pytest.fixture
def painted(stack, page: Page, post: Post) -> str:
    """A finished job that is shown."""
    job_id = post(stack.url, size=96, steps=12)
    page.goto(f"/#job/{job_id}")
    expect(state(page)).to_have_text(PAINTED, timeout=PATIENCE_MS)
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    return job_id


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
    assert first
    expect(preview).not_to_have_attribute("src", first)

    visitor.cancel()
    assert httpx.get(f"{stack.url}/v1/jobs/{running}").json()["status"] == "canceled"
    expect(preview).to_be_visible()
    expect(page.get_by_role("button", name="Download", exact=True)).to_be_hidden()
    expect(page.locator("#cancel")).to_be_hidden()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_visible()


def test_the_page_follows_by_one_stream_and_does_not_poll(page: Page, running: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = step_of(page)
    until(lambda: step_of(page) > before + 5, "progress")
    polls = [url for url in asked if url.endswith(f"/v1/jobs/{running}")]
    assert polls == []


def test_where_streams_do_not_come_through_the_page_asks_instead(
    page: Page, watch, running: str
) -> None:
    page.route("**/events", lambda route: route.fulfill(status=503, json={"detail": "Full."}))
    page.reload()
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    before = step_of(page)
    until(lambda: step_of(page) > before, "progress")
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()
    watch.forgive("503")


def test_answers_that_get_lost_are_waited_out(page: Page, watch, running: str) -> None:
    refusals = iter([503, 429])

    def refuse(route: Route) -> None:
        status = next(refusals, None)
        if status is None:
            return route.fallback()
        return route.fulfill(status=status, headers={"Retry-After": "1"}, json={"detail": "Later."})

    page.route("**/events", lambda route: route.abort())
    page.route(f"**/v1/jobs/{running}", refuse)
    with page.expect_response(lambda response: response.status == 429):
        page.reload()
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    before = page.locator("#job-detail").inner_text()
    expect(page.locator("#job-detail")).not_to_have_text(before)
    expect(page.locator("#job-problem")).to_be_empty()
    expect(page.locator("#job-trouble")).to_be_empty()
    watch.forgive("503", "429", "net::ERR_FAILED")


def test_reload_in_the_middle_finds_the_job_its_timeline_and_its_losses(
    page: Page, running: str
) -> None:
    expect(moment(page)).not_to_have_attribute("max", re.compile("^[012]$"))  # three previews
    expect(page.locator(".curves polyline.total")).to_have_attribute("points", re.compile(" .* "))
    step, previews = step_of(page), int(moment(page).get_attribute("max") or 0)

    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Diagonal strokes")
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    assert step_of(page) >= step
    expect(page.locator(".stage .photograph")).to_have_js_property("naturalWidth", 96)
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()
    assert int(moment(page).get_attribute("max") or 0) >= previews
    points = page.locator(".curves polyline.total").get_attribute("points") or ""
    assert len(points.split()) >= 3  # known from before the reload


def test_somebody_who_looks_at_an_earlier_moment_is_not_torn_away_from_it(
    page: Page, running: str
) -> None:
    expect(moment(page)).not_to_have_attribute("max", re.compile("^[01]$"))
    moment(page).fill("0")
    earlier = page.get_by_role("img", name=re.compile(r"The picture after step \d+"))
    expect(earlier).to_be_visible()
    shown = earlier.get_attribute("src")
    newest = int(moment(page).get_attribute("max") or 0)
    expect(moment(page)).not_to_have_attribute("max", str(newest))  # another one has come
    expect(earlier).to_have_attribute("src", shown or "")
    expect(moment(page)).to_have_value("0")

    page.get_by_role("button", name="Back to the newest").click()
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()
    expect(page.get_by_role("button", name="Back to the newest")).to_be_hidden()


def test_the_timeline_ends_with_the_finished_picture_and_can_be_played(
    page: Page, painted: str
) -> None:
    page.reload()
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    expect(moment(page)).to_have_attribute("aria-valuetext", "Finished")
    assert int(moment(page).get_attribute("max") or 0) >= 1

    expect(page.locator(".curves polyline.total")).to_be_visible()  # though nobody watched it

    moment(page).fill("0")
    first = page.get_by_role("img", name=re.compile("The picture after step"))
    expect(first).to_be_visible()
    page.get_by_role("button", name="Play how it was painted").click()
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    expect(page.get_by_role("button", name="Play how it was painted")).to_be_visible()


def test_the_losses_can_be_seen_and_read_as_a_table(page: Page, running: str) -> None:
    chart = page.get_by_role("img", name=re.compile("^Losses over the steps. The total is"))
    expect(chart).to_be_visible()
    expect(page.locator(".curves polyline.total")).to_have_attribute("points", re.compile(" .* "))
    page.get_by_text("As a table").click()
    page.locator("#cancel").click()
    expect(state(page)).to_have_text("Canceled")
    last = page.get_by_role("region", name="Losses by step").locator("tbody tr").last
    expect(last.locator("td").first).to_have_text(page.locator("[data-loss=total]").inner_text())
    expect(page.locator(".curves figcaption")).to_contain_text(last.locator("th").inner_text())


def test_the_photograph_and_the_picture_are_compared(page: Page, painted: str) -> None:
    page.get_by_role("button", name="Compare with the photograph").click()
    slider = page.get_by_role("slider", name=re.compile("Share of the photograph"))
    slider.press("ArrowRight")
    expect(slider).to_have_value("51")
    cut = "getComputedStyle(document.querySelector('.stage .photograph')).clipPath"
    assert "49%" in page.evaluate(cut)
    page.get_by_role("button", name="Compare with the photograph").click()
    expect(slider).to_be_hidden()


def test_a_picture_is_shown_pixel_by_pixel(page: Page, painted: str) -> None:
    picture = page.get_by_role("img", name="The finished picture")
    wide = picture.bounding_box()
    assert wide
    assert wide["width"] > 96
    page.get_by_role("button", name="Actual size").click()
    expect(picture).to_have_js_property("clientWidth", 96)
    page.get_by_role("button", name="Actual size").click()
    expect(picture).not_to_have_js_property("clientWidth", 96)


def test_a_worker_that_is_killed_is_told_of_and_another_goes_on(
    stack, page: Page, post: Post
) -> None:
    job_id = post(stack.url, size=96, steps=60)
    page.goto(f"/#job/{job_id}")
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    os.kill(worker_of(stack.url, job_id), signal.SIGKILL)

    expect(page.locator("#job-incident")).to_contain_text("A worker was lost. Another one goes on")
    expect(page.locator("#job-problem")).to_be_empty()
    expect(state(page)).to_have_text(PAINTED, timeout=PATIENCE_MS)
    page.get_by_text("What happened").click()
    events = page.locator("#chronicle li")
    expect(events.filter(has_text="Its worker was lost")).to_have_count(1)
    expect(events.filter(has_text="Another worker took it up")).to_have_count(1)
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    assert httpx.get(f"{stack.url}/v1/jobs/{job_id}").json()["attempt"] == 2
    until(lambda: len(workers(stack.url)) == len(stack.workers), "the worker's return")


def worker_of(url: str, job_id: str) -> int:
    return next(int(worker["pid"]) for worker in workers(url) if worker["job_id"] == job_id)


def workers(url: str) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = httpx.get(f"{url}/v1/workers").json()["workers"]
    return listed


def test_two_jobs_are_painted_and_followed_at_once(
    stack,
    page: Page,
    visitor,
    running: str,
    photograph: FilePayload,
    second_painting: FilePayload,
) -> None:
    page.get_by_role("link", name="New picture").click()
    visitor.choose(photograph)
    page.locator("#style .remove").click()
    page.locator("#style input[type=file]").set_input_files([second_painting])
    second = visitor.order(size=96, steps=ENDLESS)
    assert second != running
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Rings")
    for job_id in (running, second):
        card = page.locator(f'#gallery li:has(a[href="#job/{job_id}"])')
        card.scroll_into_view_if_needed()
        expect(card).to_contain_text(re.compile(r"Being painted, \d+ %"))
        expect(card.locator("img")).to_have_js_property("naturalWidth", 96)

    page.locator(f'#gallery a[href="#job/{running}"]').click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Diagonal strokes")
    expect(page.locator("#job-percent")).to_have_text(PERCENT)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet field, after Rings")
    visitor.cancel()


@pytest.fixture
def busy_workers(stack, post: Post) -> None:
    """Every worker paints something that does not end."""
    with httpx.Client(base_url=f"{stack.url}/v1/jobs/") as client:
        jobs = [post(stack.url, size=64, steps=ENDLESS) for _ in stack.workers]
        for job_id in jobs:
            until(
                lambda job_id=job_id: client.get(job_id).json()["status"] == "running", "the worker"
            )


@pytest.mark.usefixtures("busy_workers")
def test_a_job_behind_others_says_its_place_and_waits(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    visitor.order(size=64, steps=5)
    expect(state(page)).to_have_text("Next in line")
    visitor.cancel()


def test_a_job_that_ends_while_nobody_looks_is_told_in_the_title(
    stack, page: Page, post: Post
) -> None:
    job_id = post(stack.url, size=96, steps=40)
    page.goto(f"/#job/{job_id}")
    expect(state(page)).to_have_text("Being painted")
    page.evaluate(HIDE, True)
    expect(page).to_have_title("✓ Quiet field, after Diagonal strokes", timeout=PATIENCE_MS)
    page.evaluate(HIDE, False)
    expect(page).to_have_title("Quiet field, after Diagonal strokes")
