"""A real browser on the real page, and the few things that every test does with it."""

import io
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FilePayload,
    Page,
    Request,
    expect,
    sync_playwright,
)

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 30_000
log = logging.getLogger(__name__)

expect.set_options(timeout=WAIT_MS)


@dataclass
class Watch:
    """What a page should never do: complain on its console, or talk to anybody else."""

    origin: str
    complaints: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        # No preview yet: an answer like others, although Chromium writes it down as an error.
        is_missing_preview = message.location["url"].endswith("/preview") and "404" in message.text
        if message.type in ("error", "warning") and not is_missing_preview:
            self.complain(message.text)

    def on_error(self, error: Exception) -> None:
        self.complain(str(error))

    def on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https") and f"{url.scheme}://{url.netloc}" != self.origin:
            self.complain(f"asked another origin: {request.url}")

    def complain(self, complaint: str) -> None:
        log.warning(complaint)  # pytest shows it, whatever the test fails at
        self.complaints.append(complaint)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "these tests need Chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_FLAGS, timeout=WAIT_MS
        )
        yield browser
        browser.close()


@pytest.fixture
def watch(stack) -> Watch:
    return Watch(stack.url)


@pytest.fixture
def width() -> int:
    """Of the window, px. Tests parametrize it."""
    return 1280


@pytest.fixture
def theme() -> str:
    """What the visitor's system prefers. Tests parametrize it."""
    return "light"


@pytest.fixture
def page(stack, browser: Browser, watch: Watch, width: int, theme: str) -> Iterator[Page]:
    """The page, opened. What it complained of and the test did not expect fails the test."""
    with browser.new_context(
        base_url=stack.url, viewport={"width": width, "height": 800}, color_scheme=theme
    ) as context:
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", watch.on_console)
        page.on("pageerror", watch.on_error)
        page.on("request", watch.on_request)
        page.goto("/")
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        yield page
    assert watch.complaints == []


@pytest.fixture(scope="session")
def photograph() -> FilePayload:
    """A bright field under a dark sky, 96 x 72 px."""
    rows, columns = np.mgrid[0:72, 0:96]
    sky = np.stack([40 + rows, 60 + rows, 130 + rows], axis=-1)
    field = np.stack([190 - rows, 60 + columns, 40 + rows // 2], axis=-1)
    return _png("quiet_field.png", np.where((rows < 36)[..., None], sky, field))


@pytest.fixture(scope="session")
def painting() -> FilePayload:
    """Thick diagonal strokes, 96 x 96 px."""
    rows, columns = np.mgrid[0:96, 0:96]
    stroke = 100 + 100 * np.sin((rows + columns) / 5)
    return _png("diagonal-strokes.png", np.stack([stroke, 220 - stroke, 90 + 0 * stroke], axis=-1))


@pytest.fixture(scope="session")
def second_painting() -> FilePayload:
    """Rings, 96 x 64 px."""
    rows, columns = np.mgrid[0:64, 0:96]
    ring = 120 + 110 * np.sin(np.hypot(rows - 32, columns - 48) / 3)
    return _png("rings.png", np.stack([ring, ring, 255 - ring], axis=-1))


def _png(name: str, pixels: np.ndarray) -> FilePayload:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


@dataclass
class Visitor:
    """Somebody at the page."""

    page: Page

    def choose(self, photograph: FilePayload, *paintings: FilePayload) -> None:
        """Choose the pictures."""
        self.page.locator("#content input[type=file]").set_input_files([photograph])
        self.page.locator("#style input[type=file]").set_input_files(list(paintings))

    def order(self, *, size: int, steps: int) -> str:
        """Hand the form in with this size and number of steps. Returns the id of the job."""
        self.page.get_by_label("Long side of the picture").fill(str(size))
        self.page.get_by_text("More", exact=True).click()
        self.page.get_by_label("Steps", exact=True).fill(str(steps))
        self.page.get_by_role("button", name="Paint", exact=True).click()
        self.page.wait_for_url("**/#job/*")
        return self.page.url.rsplit("/", 1)[-1]

    def download(self, folder: Path) -> Path:
        """Click the download and wait for the file."""
        with self.page.expect_download() as started:
            self.page.get_by_role("link", name="Download").click()
        path = folder / started.value.suggested_filename
        started.value.save_as(path)
        return path

    def cancel(self) -> None:
        """Click the button and see that it has worked."""
        self.page.get_by_role("button", name="Cancel").click()
        expect(self.page.locator("#job-state")).to_have_text("Canceled")


@pytest.fixture
def visitor(page: Page) -> Visitor:
    return Visitor(page)
