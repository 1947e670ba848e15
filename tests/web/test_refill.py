"""'Use these settings' fills the form from an earlier job, and drops nothing silently."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.conftest import picture_bytes

PHOTOGRAPH = picture_bytes("refill-photograph", 60, 40)
PAINTINGS = [picture_bytes(f"refill-painting-{number}", 40, 40) for number in range(2)]
MASKS = [picture_bytes(f"refill-mask-{number}", 30, 20) for number in range(2)]
START = picture_bytes("refill-start", 60, 40)
SMALL = {"size": 48}


@pytest.fixture
def repeated(stack, page: Page) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Posts a job, uses its settings on the page, and hands that in: both jobs."""

    def canceled(job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").json()
        return job

    def repeat(
        files: list[tuple[str, bytes]], params: dict[str, Any], **fields: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        form = {"params": json.dumps(params), **fields}
        parts = [(field, (f"{field}.png", data)) for field, data in files]
        first = httpx.post(f"{stack.url}/v1/jobs", files=parts, data=form).raise_for_status()
        job_id = first.json()["id"]
        canceled(job_id)
        page.goto(f"/#job/{job_id}")
        page.locator("#again").click()
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        expect(page.locator("#notice")).to_be_empty()
        page.get_by_role("button", name="Paint", exact=True).click()
        page.wait_for_url(lambda url: "#job/" in url and job_id not in url)
        return first.json(), canceled(page.url.rsplit("/", 1)[-1])

    return repeat


def posted(*styles: bytes, content: bytes | None = PHOTOGRAPH) -> list[tuple[str, bytes]]:
    pictures = [("content", content)] if content else []
    return [*pictures, *(("style", style) for style in styles)]


@pytest.mark.parametrize(
    "params",
    [
        {"quality": "draft"},
        {"quality": "high", "steps": 150},
        {"preset": "neural-style", "steps": 7, "seed": 123_456_789_012},
        {"preset": "wasserstein", "quality": "draft"},
        {"preset": "wasserstein", "steps": 5, "pyramid": {"min_size": 32, "steps": [1000, 500]}},
        {"pyramid": None, "plateau": {"window": 9}, "lr_decay": {"factor": 0.5}},
        {"optimizer": "adam"},
        {"optimizer": "adam", "learning_rate": 1.0, "betas": [0.5, 0.6]},
        {"preset": "d2l", "space": "bytes", "learning_rate": 0.3, "tv_weight": 0.0},
        {"style_weight": 500.0, "style_scale": 3.0, "content_layers": {"conv3_1": 2.0}},
        {"output": {"format": "tiff", "bit_depth": 16, "metadata": False}, "max_step": None},
        {"noise": {"scale": 0.5}, "init": "noise", "deadline_seconds": 9.5, "color": "match"},
    ],
    ids=str,
)
def test_every_parameter_of_a_job_is_used_again(repeated, params: dict[str, Any]) -> None:
    first, second = repeated(posted(PAINTINGS[0]), {**SMALL, **params})
    assert second["params"] == first["params"]
    assert second["inputs"] == first["inputs"]


def test_paintings_shares_masks_and_beginning_are_used_again(repeated) -> None:
    files = [
        *posted(*PAINTINGS),
        *(("mask", mask) for mask in MASKS),
        ("init", START),
    ]
    params = {**SMALL, "style_weights": [2.0, 1.0], "mask_feather": 0.3, "init": "image"}
    metadata = {"content_name": "field.png", "style_names": ["a.png", "b.png"], "client": "Vincent"}
    first, second = repeated(files, params, metadata=json.dumps(metadata), priority="low")
    for key in ("params", "inputs", "metadata", "priority"):
        assert second[key] == first[key]


def test_shares_that_are_equal_are_used_again_as_they_were_written(repeated) -> None:
    first, second = repeated(posted(*PAINTINGS), {**SMALL, "style_weights": [3.0, 3.0]})
    assert second["params"] == first["params"]


@pytest.mark.parametrize(
    ("params", "files"),
    [
        ({"preset": "texture", "aspect_ratio": 1.5}, posted(PAINTINGS[0], content=None)),
        ({"preset": "reconstruction"}, posted()),
        ({"content_weight": 0.0, "init": "noise"}, posted(PAINTINGS[0], content=None)),
    ],
    ids=["texture", "reconstruction", "texture without its preset"],
)
def test_jobs_without_a_photograph_or_a_painting_are_used_again(
    repeated, params: dict[str, Any], files: list[tuple[str, bytes]]
) -> None:
    first, second = repeated(files, {**SMALL, **params})
    assert second["params"] == first["params"]
    assert second["inputs"] == first["inputs"]


def test_a_painting_that_is_not_kept_any_more_is_said(
    stack, page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    job_id = visitor.order(size=48, steps=5)
    job = httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").json()
    gone = f"**/inputs/{job['inputs']['styles'][0]}"
    page.route(gone, lambda route: route.fulfill(status=410, json={"detail": "gone"}))
    page.locator("#again").click()
    expect(page.locator("#notice")).to_have_text(
        "Not kept any more: \N{LEFT SINGLE QUOTATION MARK}diagonal-strokes.png"
        "\N{RIGHT SINGLE QUOTATION MARK}. Choose them again."
    )
    expect(page.locator("#content .frame")).to_have_count(1)
    watch.complaints.clear()


@pytest.fixture
def earlier(stack) -> Callable[..., str]:
    """Posts a job that nobody paints: `earlier(files, **params)` -> its id."""

    def post(files: list[tuple[str, bytes]], **params: Any) -> str:
        form = {"params": json.dumps({**SMALL, **params})}
        parts = [(field, (f"{field}.png", data)) for field, data in files]
        answer = httpx.post(f"{stack.url}/v1/jobs", files=parts, data=form).raise_for_status()
        job_id: str = answer.json()["id"]
        httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel").raise_for_status()
        return job_id

    return post


def test_nothing_is_handed_in_or_changed_before_all_pictures_are_there(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, earlier, hold
) -> None:
    visitor.choose(photograph, painting)
    hold("**/inputs/*")
    page.goto(f"/#job/{earlier(posted(PAINTINGS[0]), style_weight=9.0)}")
    page.locator("#again").click()
    expect(page.locator("#notice")).to_have_text("Fetching the pictures \N{HORIZONTAL ELLIPSIS}")
    paint = page.get_by_role("button", name="Paint", exact=True)
    expect(paint).to_have_attribute("aria-disabled", "true")
    page.locator("#compose").evaluate("form => form.requestSubmit()")

    page.get_by_role("button", name="Call it off").press("Enter")
    expect(page.locator("#notice")).to_contain_text("Called off")
    expect(paint).to_be_focused()
    expect(paint).to_be_enabled()
    expect(page.get_by_role("img", name="quiet_field.png")).to_be_visible()
    expect(page.locator("#changes")).to_be_empty()
    assert "#job/" not in page.url

    page.go_back()
    page.unroute("**/inputs/*")
    page.locator("#again").click()
    expect(page.locator("#changes")).to_contain_text("changed")
    expect(page.get_by_role("img", name="photograph")).to_be_visible()
    expect(page.locator("#notice")).to_be_empty()


def test_while_a_picture_is_handed_in_another_job_s_settings_make_no_second_one(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, earlier, hold
) -> None:
    job_id = earlier(posted(PAINTINGS[0]))
    page.reload()  # the gallery has it
    visitor.choose(photograph, painting)
    expect(page.locator("#style .frame")).to_have_count(1)
    posts = hold("**/v1/jobs", "POST")
    page.get_by_role("button", name="Paint", exact=True).click()
    busy = page.get_by_role("button", name="Handing it in \N{HORIZONTAL ELLIPSIS}")
    expect(busy).to_be_visible()
    card = page.locator(f'#gallery li:has(a[href="#job/{job_id}"])')
    card.get_by_role("button", name="Reuse").click()
    expect(page.get_by_role("img", name="photograph")).to_be_visible()
    expect(page.locator("#notice")).to_be_empty()
    expect(busy).to_have_attribute("aria-disabled", "true")
    page.locator("#compose").evaluate("form => form.requestSubmit()")
    posts[0].continue_()
    page.wait_for_url("**/#job/*")
    assert len(posts) == 1


def test_before_the_service_says_what_there_is_nothing_can_be_set_and_a_job_is_used_later(
    page: Page, earlier, hold
) -> None:
    job_id = earlier(posted(PAINTINGS[0]), quality="draft")
    presets = hold("**/v1/presets")
    page.goto(f"/#job/{job_id}")
    page.reload()
    with page.expect_response("**/inputs/*"):
        page.locator("#again").click()
    for control in ("Strength", "Size"):
        expect(page.get_by_label(control, exact=True)).to_be_disabled()
    paint = page.get_by_role("button", name="Paint", exact=True)
    expect(paint).to_be_disabled()
    page.get_by_role("button", name="Call it off").press("Enter")
    expect(page.locator("#notice")).to_have_text("Called off: all is as it was.")
    page.locator("#compose").evaluate("form => form.requestSubmit()")
    expect(page.locator("#compose-problem")).to_be_empty()
    page.go_back()
    page.locator("#again").click()
    presets[0].continue_()
    expect(page.get_by_role("radio", name="Draft")).to_be_checked()
    expect(paint).to_be_enabled()


def test_who_starts_afresh_meanwhile_is_not_told_that_all_is_as_it_was(
    page: Page, earlier, hold
) -> None:
    job_id = earlier(posted(PAINTINGS[0]))
    strength = page.get_by_label("Strength", exact=True)
    strength.fill("0.5")
    hold("**/inputs/*")
    page.goto(f"/#job/{job_id}")
    page.locator("#again").click()
    call_off = page.get_by_role("button", name="Call it off")
    expect(call_off).to_be_visible()
    page.get_by_role("button", name="Start afresh").click()
    expect(call_off).to_be_hidden()
    expect(strength).to_have_value("0")
    expect(page.locator("#notice")).to_be_empty()
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()


def test_masks_that_no_browser_shows_are_said_to_be_missing(page: Page, earlier) -> None:
    buffer = io.BytesIO()
    Image.new("L", (30, 20), 200).save(buffer, "TIFF")
    masks = [("mask", buffer.getvalue()) for _ in PAINTINGS]
    job_id = earlier([*posted(*PAINTINGS), *masks], style_weights=[3.0, 1.0])
    page.goto(f"/#job/{job_id}")
    page.locator("#again").click()
    expect(page.locator("#notice")).to_have_text(
        "Browsers do not show its masks: paint them again."
    )
    expect(page.locator("#style .share output")).to_have_text(["75 %", "25 %"])
