"""The page of the documentation, under the rules that it is served with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from shared.settings import Settings
from tests.api.servers import running_api


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_the_documentation_shows_the_routes_and_breaks_no_rule(
    settings: Settings, valkey: redis.Redis, page: Page, tmp_path: Path
) -> None:
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on(
        "response",
        lambda answer: (
            complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )
    with running_api(settings, tmp_path / "log") as url:
        page.goto(f"{url}/docs")
        expect(page.get_by_role("heading", name="Impasto").first).to_be_visible()
        expect(page.get_by_text("Accept a job").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.fonts.status") == "loaded"
    # A request to anybody else breaks the page's policy, of which browsers complain. Scalar itself
    # does not know schemas whose properties are `anyOf` without a type, as JSON Schema has them.
    known = ("document validation errors", "[Object, Object")
    assert [text for text in complaints if not text.startswith(known)] == []
