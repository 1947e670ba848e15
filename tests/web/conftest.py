"""A real browser on the real page, and the few things that every test does with it."""

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import redis
from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FilePayload,
    Page,
    Request,
    Route,
    expect,
    sync_playwright,
)

from deploy.embedded.ports import free_ports
from shared.jobs import Losses, Progress, StoredOutput
from shared.messaging import ProgressWriter
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage, losses_key, manifest_key, preview_key, result_key

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP studio.test 127.0.0.1",  # another machine, without HTTPS
)
WAIT_MS = 30_000
TITLE = "Quiet field, after Diagonal strokes"  # of a picture from the photograph and the painting
PAGE_JOBS = 24  # that the page asks for at a time
START_SECONDS = 60.0
log = logging.getLogger(__name__)
Open = Callable[..., AbstractContextManager[Page]]
Post = Callable[..., str]
Finish = Callable[..., None]
Hold = Callable[..., list[Route]]

expect.set_options(timeout=WAIT_MS)


@dataclass
class Watch:
    """What a page should never do: complain on its console, or talk to anybody else."""

    origins: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    _forgiven: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complain(message.text)

    def on_error(self, error: Exception) -> None:
        self.complain(str(error))

    def on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https") and f"{url.scheme}://{url.netloc}" not in self.origins:
            self.complain(f"asked another origin: {request.url}")

    def complain(self, complaint: str) -> None:
        log.warning(complaint)  # pytest shows it, whatever the test fails at
        if not self._is_forgiven(complaint):
            self.complaints.append(complaint)

    def forgive(self, *words: str) -> None:
        """Overlook what a test has provoked, and what Chromium writes down of it later."""
        self._forgiven.extend(words)
        self.complaints[:] = [each for each in self.complaints if not self._is_forgiven(each)]

    def _is_forgiven(self, complaint: str) -> bool:
        return any(word in complaint for word in self._forgiven)


@pytest.fixture(scope="package")  # as long as it lives, no event loop can run in this thread
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
def watch() -> Iterator[Watch]:
    """What the pages of a test complained of; what it did not expect fails it."""
    watch = Watch()
    yield watch
    assert watch.complaints == []


@pytest.fixture
def width() -> int:
    """Of the window, px. Tests parametrize it."""
    return 1280


@pytest.fixture
def theme() -> str:
    """What the visitor's system prefers. Tests parametrize it."""
    return "light"


@pytest.fixture
def open_page(browser: Browser, watch: Watch, width: int, theme: str) -> Open:
    """Opens the page of a service: `with open_page(url) as page`."""

    @contextlib.contextmanager
    def opened(url: str, path: str = "/", **options: Any) -> Iterator[Page]:
        watch.origins.add(url)
        defaults = {"viewport": {"width": width, "height": 800}, "color_scheme": theme}
        with browser.new_context(base_url=url, **{**defaults, **options}) as context:
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("console", watch.on_console)
            page.on("pageerror", watch.on_error)
            page.on("request", watch.on_request)
            page.goto(path)
            yield page

    return opened


@pytest.fixture
def page(stack, open_page: Open) -> Iterator[Page]:
    """The page of the whole system, opened and ready. Afterwards nothing is painted any more."""
    with open_page(stack.url) as page:
        expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()
        yield page
    with httpx.Client(base_url=stack.url) as api:
        unfinished = {"status": "queued,running"}
        for job in api.get("/v1/jobs", params=unfinished).raise_for_status().json()["jobs"]:
            api.post(job["urls"]["cancel"])


@pytest.fixture
def hold(page: Page) -> Hold:
    """Keeps requests from the service: `hold("**/v1/jobs", "POST")` -> those that have come."""

    def held(url: str, method: str = "GET") -> list[Route]:
        routes: list[Route] = []

        def keep(route: Route) -> None:
            if route.request.method == method:
                routes.append(route)
            else:
                route.fallback()

        page.route(url, keep)
        return routes

    return held


def run_clock_until(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Let a page's own clock run on, in leaps."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        page.clock.run_for(5_000)


class Front:
    """An API of its own before the servers of others, which can go away and come back."""

    def __init__(self, environment: dict[str, str], log_path: Path) -> None:
        self._port = free_ports(1)[0]
        self._environment = environment
        self._log = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "client.cli", "api"],
                env={**os.environ, **self._environment, "IMPASTO_API_PORT": str(self._port)},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """End it: nobody listens any more."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False


def _front(settings: Settings, log_path: Path) -> Front:
    """Before the servers of the tests, without workers."""
    secret = settings.s3_secret_access_key
    assert secret
    environment = {
        "IMPASTO_REDIS_URL": settings.redis_url.get_secret_value(),
        "IMPASTO_S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
        "IMPASTO_S3_ACCESS_KEY_ID": str(settings.s3_access_key_id),
        "IMPASTO_S3_SECRET_ACCESS_KEY": secret.get_secret_value(),
        "IMPASTO_KEY_CACHE_SECONDS": "0",
    }
    return Front(environment, log_path)


@pytest.fixture(scope="package")
def _shared_front(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with _front(settings, tmp_path_factory.mktemp("front") / "front.log") as front:
        yield front


@pytest.fixture
def quiet(_shared_front: Front, valkey: redis.Redis) -> Front:
    """An API without workers and without jobs: what is posted waits. It serves many tests, and is
    neither stopped nor given keys, of which it would remember that there are some."""
    return _shared_front


@pytest.fixture
def guarded(settings: Settings, valkey: redis.Redis, tmp_path: Path) -> Iterator[Front]:
    """The same for one test, which may make keys."""
    with _front(settings, tmp_path / "front.log") as front:
        yield front


@pytest.fixture
def post(photograph: FilePayload, painting: FilePayload) -> Post:
    """Posts a job with both pictures: `post(url, key, size=64)` -> its id."""

    def send(url: str, key: str | None = None, **params: object) -> str:
        files = {"content": photograph["buffer"], "style": painting["buffer"]}
        names = {"content_name": photograph["name"], "style_names": [painting["name"]]}
        form = {"params": json.dumps(params), "metadata": json.dumps(names)}
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx.post(f"{url}/v1/jobs", files=files, data=form, headers=headers, timeout=30)
        return str(answer.raise_for_status().json()["id"])

    return send


@pytest.fixture
def finish(
    settings: Settings, records: JobRecords, storage: Storage, photograph: FilePayload
) -> Finish:
    """Does what a worker does, with a picture that is there already: `finish(job_id, side_px)`."""

    def finished(job_id: str, side_px: int = 96) -> None:
        lease = records.claim(job_id, "painter")
        assert isinstance(lease, Lease)
        picture = photograph["buffer"]
        output = StoredOutput(
            content_type="image/png",
            width_px=side_px,
            height_px=side_px,
            size_bytes=len(picture),
            sha256="ab" * 32,
            result_key=result_key(job_id, lease.token, "png"),
            manifest_key=manifest_key(job_id, lease.token),
        )
        storage.put(output.result_key, picture, "image/png")
        storage.put(output.manifest_key, b'{"weights": "oxford"}', "application/json")
        storage.put(preview_key(job_id, 90), picture, "image/png")
        curve = {name: [9.5, 4.5, 2.5] for name in ("content", "style", "tv", "total")}
        kept = json.dumps({"step": [1, 50, 90], **curve}).encode()
        storage.put(losses_key(job_id), kept, "application/json")
        progress = Progress(
            step=100,
            total_steps=100,
            fraction=1.0,
            level=1,
            width_px=side_px,
            height_px=side_px,
            losses=Losses(content=1.5, style=2.5, tv=0.5, total=4.5),
            steps_per_second=6.0,
            eta_seconds=0.0,
            previews=[90],
        )
        ProgressWriter(settings).write(job_id, progress)
        assert records.succeed(lease, output)

    return finished


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
        more = self.page.locator("#compose summary", has_text="More")
        if not self.page.get_by_label("Steps", exact=True).is_visible():
            more.click()
        self.page.get_by_label("Steps", exact=True).fill(str(steps))
        self.page.get_by_role("button", name="Paint", exact=True).click()
        self.page.wait_for_url("**/#job/*")
        return self.page.url.rsplit("/", 1)[-1]

    def take(self, name: str, folder: Path) -> Path:
        """Click a button that downloads something, and wait for the file."""
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name=name, exact=True).click()
        path = folder / started.value.suggested_filename
        started.value.save_as(path)
        return path

    def cancel(self) -> None:
        """Click the button and see that it has worked."""
        self.page.locator("#cancel").click()
        expect(self.page.locator("#job-state")).to_have_text("Canceled")


@pytest.fixture
def visitor(page: Page) -> Visitor:
    return Visitor(page)
