"""A job that is followed: by a stream that may stay quiet, while previews come and go."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import FilePayload, Locator, Page, Request, Route, expect

from shared.jobs import Losses, Progress
from shared.messaging import ProgressWriter
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage, losses_key, preview_key
from tests.web.conftest import Front, Open, Post, Watch
from tests.web.test_job import HIDE

Paint = Callable[..., None]


@pytest.fixture
def page(quiet: Front, open_page: Open) -> Iterator[Page]:
    """The page of a service without workers."""
    with open_page(quiet.url) as page:
        yield page


@pytest.fixture
def job_id(quiet: Front, post: Post) -> str:
    """A job that waits."""
    return post(quiet.url, size=64)


@pytest.fixture
def paint(
    job_id: str, settings: Settings, records: JobRecords, storage: Storage, photograph: FilePayload
) -> Paint:
    """Does what the worker of that job does: `paint(step, previews=(1, 5), lost=(5,))`."""
    assert isinstance(records.claim(job_id, "painter"), Lease)
    writer = ProgressWriter(settings)
    curve = {"step": [1], **{name: [9.5] for name in ("content", "style", "tv", "total")}}
    storage.put(losses_key(job_id), json.dumps(curve).encode(), "application/json")

    def painted(step: int, previews: tuple[int, ...] = (), lost: tuple[int, ...] = ()) -> None:
        for each in previews:
            if each not in lost:
                storage.put(preview_key(job_id, each), photograph["buffer"], "image/png")
        progress = Progress(
            step=step,
            total_steps=100,
            fraction=step / 100,
            level=1,
            width_px=64,
            height_px=48,
            losses=Losses(content=1.0, style=100.0 / step, tv=0.5, total=1.5 + 100.0 / step),
            steps_per_second=6.0,
            eta_seconds=1.0,
            previews=list(previews),
        )
        writer.write(job_id, progress)

    return painted


def moment(page: Page) -> Locator:
    return page.get_by_role("slider", name="Moment of the painting")


def expect_step(page: Page, step: int) -> None:
    expect(page.locator("#job-detail")).to_contain_text(f"Step {step} of 100")


def test_a_quiet_job_is_not_asked_for_when_its_tab_is_shown_again(page: Page, job_id: str) -> None:
    page.clock.install()
    page.goto(f"/#job/{job_id}")
    expect(page.locator("#job-state")).to_have_text("Next in line")
    page.evaluate(HIDE, True)
    with page.expect_response(f"**/{job_id}/events"):
        page.evaluate(HIDE, False)
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    with page.expect_response("**/v1/workers"):  # came later than the first bytes of the stream
        page.clock.run_for(4_000)
    for _ in range(3):
        with page.expect_response("**/v1/jobs?*"):
            page.clock.run_for(4_000)
    assert [request.url for request in asked if request.url.endswith(job_id)] == []


def test_a_stream_that_is_refused_is_no_trouble(page: Page, job_id: str, watch: Watch) -> None:
    watch.forgive("429")
    held: list[Route] = []
    page.route("**/events", lambda route: route.fulfill(status=429, json={"detail": "full"}))
    page.route(f"**/v1/jobs/{job_id}", lambda route: held.append(route))
    with page.expect_request(f"**/v1/jobs/{job_id}"):
        page.goto(f"/#job/{job_id}")
    expect(page.locator("#job-trouble")).to_be_empty()
    held.pop().continue_()
    expect(page.locator("#job-state")).to_have_text("Next in line")


def test_trouble_is_told_in_whole_sentences(page: Page, job_id: str, watch: Watch) -> None:
    watch.forgive("429")
    later = {"status": 429, "json": {"detail": "later"}}
    page.route(f"**/v1/jobs/{job_id}*", lambda route: route.fulfill(**later))
    page.route("**/events", lambda route: route.fulfill(**later))
    page.goto(f"/#job/{job_id}")
    expect(page.locator("#job-trouble")).to_have_text("Later. The page goes on asking.")


def test_a_moment_that_is_looked_at_stays_when_its_preview_is_thinned_out(
    page: Page, job_id: str, paint: Paint
) -> None:
    paint(30, previews=(10, 20, 30))
    page.goto(f"/#job/{job_id}")
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()
    moment(page).fill("1")
    looked_at = page.get_by_role("img", name="The picture after step 20")
    expect(looked_at).to_be_visible()
    paint(40, previews=(10, 30, 40))
    expect(moment(page)).to_have_attribute("max", "3")
    expect(moment(page)).to_have_attribute("aria-valuetext", "Step 20")
    expect(looked_at).to_be_visible()

    moment(page).fill("0")
    paint(50, previews=(10, 30, 40, 50))
    expect_step(page, 50)
    expect(moment(page)).to_have_attribute("max", "3")


def test_a_moment_of_which_there_is_no_picture_any_more_gives_way_to_its_neighbour(
    page: Page, job_id: str, paint: Paint, watch: Watch
) -> None:
    watch.forgive("404")
    paint(40, previews=(10, 20, 35, 40), lost=(20,))
    page.goto(f"/#job/{job_id}")
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()
    moment(page).fill("1")
    expect(page.get_by_role("img", name="The picture after step 10")).to_be_visible()
    expect(moment(page)).to_have_attribute("aria-valuetext", "Step 10")
    expect(moment(page)).to_have_attribute("max", "2")


def test_losses_that_somebody_reads_stay_while_others_come(
    page: Page, job_id: str, paint: Paint
) -> None:
    page.goto(f"/#job/{job_id}")
    for step in (1, 50):
        paint(step)
        expect_step(page, step)
    page.locator(".curves svg").hover(position={"x": 40, "y": 60})
    caption = page.locator(".curves figcaption")
    expect(caption).to_have_text("Losses at step 1")
    page.get_by_text("As a table").focus()
    page.keyboard.press("Enter")
    rows = page.get_by_role("region", name="Losses by step").locator("tbody tr")
    expect(rows).to_have_count(2)
    read = rows.first.element_handle()

    paint(60)
    expect(rows).to_have_count(3)
    expect(caption).to_have_text("Losses at step 1")
    assert read.evaluate("row => row.isConnected && row.cells[0].textContent") == "1"
    page.mouse.move(0, 0)
    expect(caption).to_have_text("Losses at step 60")


def test_regions_that_tell_of_trouble_are_there_before_they_have_to(
    page: Page, job_id: str
) -> None:
    page.goto(f"/#job/{job_id}")
    expect(page.locator("#job-state")).to_have_text("Next in line")
    for name in ("job-incident", "job-trouble"):
        region = page.locator(f"#{name}")
        expect(region).to_be_empty()
        expect(region).not_to_have_css("display", "none")
