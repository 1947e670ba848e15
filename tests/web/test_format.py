"""The words and numbers of the page."""

from typing import Any

import pytest
from playwright.sync_api import Page

CALL = "([name, args]) => import('/web/format.js').then((format) => format[name](...args))"
NOON = 1_767_268_800_000  # 2026-01-01T12:00Z, ms


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("number", [0], "0"),
        ("number", [0.01234], "0.0123"),
        ("number", [1820], "1,820"),
        ("number", [1_823_000], "1.82e6"),
        ("number", [0.00012], "1.2e-4"),
        ("duration", [0.81], "0.8 s"),
        ("duration", [59.6], "1 min 00 s"),
        ("duration", [125], "2 min 05 s"),
        ("duration", [4800], "1 h 20 min"),
        ("bytes", [3_250_000], "3.1 MB"),
        ("roughly", [0.2], "1 s"),
        ("roughly", [4000], "67 min"),
        ("roughly", [7300], "2 h"),
        ("remaining", [0.4], "almost done"),
        ("remaining", [14.2], "about 14 s left"),
        ("remaining", [236], "about 4 min left"),
        ("ago", ["2026-01-01T11:59:50.000Z", NOON], "now"),
        ("ago", ["2026-01-01T11:55:00.000Z", NOON], "5 minutes ago"),
        ("ago", ["2025-12-31T10:00:00.000Z", NOON], "yesterday"),
        ("stateOf", [{"status": "queued", "queue_position": None}], "Waiting in line"),
        ("stateOf", [{"status": "queued", "queue_position": 0}], "Next in line"),
        ("stateOf", [{"status": "queued", "queue_position": 1}], "One picture is ahead of it"),
        ("stateOf", [{"status": "queued", "queue_position": 7}], "7 pictures are ahead of it"),
        ("sentence", ["it is too large"], "It is too large."),
        ("sentence", ["Is it?"], "Is it?"),
        ("percentOf", [{"progress": {"fraction": 0.439}}], "43 %"),
        ("percentOf", [{"progress": None}], ""),
        ("stateOf", [{"status": "running", "cancel_requested_at": NOON}], "Stopping"),
        ("stateOf", [{"status": "canceled", "cancel_requested_at": NOON}], "Canceled"),
        ("title", ["starry_night.jpg"], "Starry night"),
        ("title", ["content-clone"], "Content clone"),
        ("fileStem", [{"metadata": {"content_name": "Tübingen at 5.jpg"}}], "tübingen-at-5"),
        ("fileStem", [{"metadata": {"content_name": "../東京?.png"}}], "東京"),
        ("fileStem", [{"metadata": {"content_name": "?!.png"}}], "picture"),
        ("jobTitle", [{"metadata": {}}], "Untitled"),
        ("jobTitle", [{"metadata": {"content_name": "Tübingen.jpg"}}], "Tübingen"),
        ("jobTitle", [{"metadata": {"style_names": ["ink-wash.png"]}}], "After Ink wash"),
        (
            "jobTitle",
            [{"metadata": {"content_name": "sea.png", "style_names": ["a_b.jpg", "ink.png"]}}],
            "Sea, after A b and Ink",
        ),
    ],
)
def test_formats(format_page: Page, name: str, arguments: list[Any], expected: str) -> None:
    assert format_page.evaluate(CALL, [name, arguments]) == expected


@pytest.fixture(scope="module")
def format_page(stack, browser):
    with browser.new_context(base_url=stack.url) as context:
        page = context.new_page()
        page.goto("/")
        yield page
