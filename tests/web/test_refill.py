"""'Use these settings' fills the form from an earlier job, and drops nothing silently."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
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
