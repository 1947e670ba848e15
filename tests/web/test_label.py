"""The label of a work: how it was painted, and what can be done with it."""

# ruff: noqa: RUF001 - the signs of the page

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from shared.jobs import ErrorCode, JobError
from shared.records import JobRecords, Lease
from tests.web.conftest import Finish, Front, Open, Post, Visitor, Watch, run_clock_until

AWAY = "The service does not answer. Is it still running?"
# The steps that a timeline shows whose newest preview is lost.
SHOW = """async () => {
  const { Timeline } = await import('/web/timeline.js');
  const [element, newest] = ['timeline', 'newest'].map((id) => document.getElementById(id));
  const shown = [];
  const timeline = new Timeline(element, newest, async ({ step }) => shown.push(step));
  const moments = (...steps) => steps.map((step) => ({ step, isResult: false }));
  timeline.set(moments(30, 60));
  timeline.drop(...moments(60));
  timeline.set(moments(30, 60));
  timeline.set(moments(30, 60, 90));
  return shown;
}"""
RECIPE = """([job, preset]) =>
  import('/web/recipe.js').then(({ recipe }) => recipe(job, preset ?? undefined))"""
TELL = """async ([selector, histories]) => {
  const { tell } = await import('/web/chronicle.js');
  for (const history of histories) tell(document.querySelector(selector), history);
}"""


@pytest.fixture
def page(quiet: Front, open_page: Open) -> Iterator[Page]:
    """The page of a service without workers."""
    with open_page(quiet.url) as page:
        yield page


@pytest.fixture
def finished(quiet: Front, page: Page, post: Post, finish: Finish) -> str:
    """A finished job that is shown."""
    job_id = post(quiet.url, size=64)
    finish(job_id)
    page.goto(f"/#job/{job_id}")
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    return job_id


def recipe(page: Page) -> dict[str, str]:
    lines = page.locator("#job-recipe div").evaluate_all(
        "lines => lines.map((line) => [...line.children].map(({ textContent }) => textContent))"
    )
    return dict(lines)


def test_the_label_says_how_a_work_is_painted(quiet: Front, page: Page, post: Post) -> None:
    params: dict[str, Any] = {"preset": "neural-style", "quality": "draft", "seed": 2**40}
    params |= {"style_weight": 250, "style_scale": 0.5, "color": "luminance", "init": "gray"}
    params |= {"content_layers": {"relu3_1": 0.5}, "output": {"format": "tiff"}, "size": 64}
    job_id = post(quiet.url, **params)
    page.goto(f"/#job/{job_id}")
    expect(page.locator("#job-recipe")).to_contain_text("Strength")
    assert recipe(page) == {
        "Manner": "Neural style",
        "Patience": "draft",
        "Seed": str(2**40),
        "Begun with": "an empty canvas",
        "Strength": "2.5×",
        "Content layers": "relu3_1 0.5",
        "Strokes": "0.5×",
        "Colours": "the photograph’s",
        "File": "TIFF",
    }
    expect(page.locator(f'#gallery a[href="#job/{job_id}"]')).to_contain_text(
        "Neural style, patience draft, seed 1099511627776, begun with an empty canvas"
    )


def test_the_copied_request_of_a_work_makes_the_same(
    quiet: Front,
    page: Page,
    post: Post,
    photograph: FilePayload,
    painting: FilePayload,
    tmp_path: Path,
) -> None:
    params: dict[str, Any] = {"preset": "wasserstein", "quality": "draft", "size": 64, "seed": 3}
    first = post(quiet.url, **params, pyramid={"factor": 2}, learning_rate=0.03)
    page.goto(f"/#job/{first}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the request as curl").click()
    expect(page.locator("#job-copy [role=status]")).to_have_text("Copied.")
    for file in (photograph, painting):
        (tmp_path / file["name"]).write_bytes(file["buffer"])
    command = page.evaluate("navigator.clipboard.readText()")
    made = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    copy, job = json.loads(made.stdout), httpx.get(f"{quiet.url}/v1/jobs/{first}").json()
    for key in ("params", "inputs", "metadata", "priority"):
        assert copy[key] == job[key]
    assert copy["id"] != first


@pytest.mark.parametrize(
    ("params", "usual", "told"),
    [
        ({"preset": "from-afar", "hue": 3}, None, [["Manner", "From afar"]]),
        ({}, None, [["Manner", "Unknown"]]),
        ({"preset": "a", "seed": 2**62}, {"seed": 0}, [["Seed", "about 4.61e18"]]),
        ({"preset": "a", "hue": {"x": [1, None]}}, {}, [["Hue", "x 1, none"]]),
        ({"preset": "a", "pyramid": None}, {"pyramid": {"factor": 2}}, [["Pyramid", "none"]]),
        ({"preset": "a", "noise": {"scale": 2}}, {"noise": None}, [["Noise scale", "2"]]),
        ({"preset": "a", "style_weights": [1, 3]}, {}, [["Shares", "25 % and 75 %"]]),
    ],
)
def test_odd_parameters_are_told_as_well_as_can_be(
    page: Page, params: dict[str, Any], usual: dict[str, Any] | None, told: list[list[str]]
) -> None:
    job = {"params": params, "inputs": {"masks": []}}
    preset = usual if usual is None else {"parameters": usual}
    lines = page.evaluate(RECIPE, [job, preset])
    assert lines == (told if usual is None else [["Manner", "A"], *told])


def test_a_finished_picture_is_painted_on(page: Page, finished: str, painting: FilePayload) -> None:
    page.get_by_role("link", name="New picture").click()
    page.locator("#style input[type=file]").set_input_files([painting])
    expect(page.get_by_role("img", name="diagonal-strokes.png")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Paint on from this").click()
    photograph = page.locator("#content .hung img")
    expect(photograph).to_have_attribute("alt", "quiet-field-after-diagonal-strokes.png")
    expect(photograph).to_have_js_property("naturalWidth", 96)
    expect(page.get_by_role("img", name="diagonal-strokes.png", exact=True)).to_be_visible()
    expect(page.locator("#notice")).to_have_text(
        "The photograph is now ‘Quiet field after diagonal strokes’."
    )
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_why_a_job_failed_stays_when_somebody_thinks_better_of_deleting_it(
    quiet: Front, page: Page, post: Post, records: JobRecords
) -> None:
    job_id = post(quiet.url, size=64)
    lease = records.claim(job_id, "painter")
    assert isinstance(lease, Lease)
    assert records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="The loss is infinite."))
    page.goto(f"/#job/{job_id}")
    reason = page.get_by_text("The loss is infinite.")
    expect(reason).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#delete")).not_to_have_attribute("aria-busy", "true")
    expect(reason).to_be_visible()


def test_a_download_says_why_it_does_not_come_and_waits_for_nothing_else(
    quiet: Front, page: Page, post: Post, finish: Finish, tmp_path: Path, watch: Watch
) -> None:
    watch.forgive("net::ERR_FAILED")
    job_id = post(quiet.url, size=64)
    finish(job_id)
    page.clock.install()
    page.route("**/result?*", lambda route: route.abort())
    page.goto(f"/#job/{job_id}")
    visitor = Visitor(page)
    manifest = visitor.take("Manifest", tmp_path)
    assert json.loads(manifest.read_text()) == {"weights": "oxford"}

    page.get_by_role("button", name="Download", exact=True).click()
    problem = page.get_by_text(AWAY)
    run_clock_until(page, problem.is_visible, AWAY)
    page.unroute("**/result?*")
    picture = visitor.take("Download", tmp_path)
    result = httpx.get(f"{quiet.url}/v1/jobs/{job_id}/result", params={"proxy": "1"})
    assert picture.read_bytes() == result.content
    expect(problem).to_be_hidden()


def test_a_picture_that_the_browser_cannot_show_is_not_called_a_tiff(
    quiet: Front, page: Page, post: Post, finish: Finish
) -> None:
    job_id = post(quiet.url, size=64)
    finish(job_id)

    def spoil(route: Route) -> None:
        route.fulfill(body=b"no picture", content_type="image/png")

    page.route("**/result?*", spoil)
    page.goto(f"/#job/{job_id}")
    expect(
        page.get_by_text("The browser cannot show this picture: this is the last preview.")
    ).to_be_visible()
    expect(page.get_by_role("img", name="The picture so far")).to_be_visible()


def test_the_chronicle_goes_on_when_its_oldest_line_is_dropped(page: Page) -> None:
    times = [f"2026-01-01T10:00:0{second}.000Z" for second in range(3)]
    events = [{"at": time, "event": "lost", "detail": ""} for time in times]
    page.evaluate(TELL, ["#chronicle", [events[:2], events[1:]]])
    shown = page.locator("#chronicle time").evaluate_all("all => all.map((time) => time.dateTime)")
    assert shown == times[1:]


def test_the_frame_is_a_named_region_while_it_shows_a_part_of_the_picture(
    page: Page, finished: str
) -> None:
    part = page.get_by_role("region", name="The picture in its actual size")
    expect(part).to_have_count(0)
    picture = page.get_by_role("img", name="The finished picture")
    picture.dblclick()
    expect(part).to_be_visible()
    expect(picture).to_have_js_property("clientWidth", 96)
    picture.dblclick()
    expect(part).to_have_count(0)


def test_actual_size_is_that_of_the_screen_on_which_the_window_is(
    page: Page, finished: str
) -> None:
    page.get_by_role("button", name="Actual size").click()
    picture = page.get_by_role("img", name="The finished picture")
    expect(picture).to_have_js_property("clientWidth", 96)
    page.evaluate(
        """() => {
          Object.defineProperty(window, 'devicePixelRatio', { get: () => 2 });
          window.dispatchEvent(new Event('resize'));
        }"""
    )
    expect(picture).to_have_js_property("clientWidth", 48)


def test_a_download_that_takes_its_time_keeps_no_other_work_from_being_downloaded(
    quiet: Front, page: Page, post: Post, finish: Finish, finished: str, tmp_path: Path
) -> None:
    slow = post(quiet.url, size=64)
    finish(slow)
    page.route(f"**/v1/jobs/{slow}/result?*", lambda route: None)
    page.goto(f"/#job/{slow}")
    button = page.get_by_role("button", name="Download", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-busy", "true")
    page.goto(f"/#job/{finished}")
    expect(page.get_by_role("img", name="The finished picture")).to_be_visible()
    Visitor(page).take("Download", tmp_path)


def test_nothing_of_a_work_goes_on_in_the_room_beside(
    quiet: Front, page: Page, post: Post, finished: str
) -> None:
    waiting = post(quiet.url, size=64)
    page.goto(f"/#job/{waiting}")
    expect(page.locator("#job-state")).to_have_text("Next in line")
    held: list[Route] = []
    page.route("**/cancel", lambda route: held.append(route))
    with page.expect_request("**/cancel"):
        page.locator("#cancel").click()
    page.get_by_role("link", name="New picture").click()
    expect(page).to_have_title("Impasto")
    held[0].continue_()
    expect(page.locator(f'#gallery li[data-job="{waiting}"]')).to_contain_text("Canceled")
    expect(page).to_have_title("Impasto")

    page.goto(f"/#job/{finished}")
    expect(page.locator("#timeline")).to_be_visible()
    page.get_by_role("link", name="New picture").click()
    expect(page.locator("#compose")).to_be_visible()
    expect(page.locator("#timeline")).to_have_js_property("hidden", True)  # so that `p` plays none


def test_a_lost_preview_is_not_asked_for_again(page: Page) -> None:
    assert page.evaluate(SHOW) == [60, 30, 90]


def test_what_was_copied_last_is_said_for_as_long_as_what_was_copied_first(
    page: Page, finished: str
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 60"))
    said = page.locator("#job-copy [role=status]")
    for kind in ("curl", "Python"):
        said.evaluate("said => { said.textContent = ''; }")  # what is said then is new
        page.get_by_role("button", name=f"Copy the request as {kind}").click()
        expect(said).to_have_text("Copied.")
        page.clock.run_for(2_000)
    expect(said).to_have_text("Copied.")
    page.clock.run_for(2_000)
    expect(said).to_be_empty()

    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject('denied') }")
    page.get_by_role("button", name="Copy the request as curl").click()
    expect(said).to_have_text("It could not be copied.")
