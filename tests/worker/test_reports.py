"""Reports cost a run next to nothing, however slow whoever takes them is."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from shared.jobs import Progress
from shared.parameters import Parameters
from shared.settings import Settings
from shared.storage import Storage
from worker.engine import VGG19, Stylization, load_weights
from worker.reports import PREVIEW_SHARE, PROGRESS_SHARE, Reporter

SLOW_SECONDS = 0.002


class SlowBucket(BaseHTTPRequestHandler):
    """Takes every object, and takes its time."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SLOW_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def slow_storage() -> Iterator[Storage]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowBucket) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        storage = Storage(
            Settings(
                s3_endpoint_url=f"http://127.0.0.1:{server.server_port}",
                s3_access_key_id="key",
                s3_secret_access_key="secret",
            )
        )
        storage.put("first", b"", "text/plain")  # a worker has connected before it has a job
        yield storage
        server.shutdown()
        thread.join()


def test_a_slow_broker_and_a_slow_bucket_get_fewer_reports_and_the_run_keeps_its_time(
    slow_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = Parameters(size=32, steps=10_000, optimizer="adam", pyramid=None)
    random = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    run = Stylization(VGG19(load_weights(), "cpu"), random, [random], parameters)
    settings = Settings(progress_interval_seconds=0, preview_interval_seconds=0)
    costs: dict[str, list[float]] = {"progress": [], "preview": []}

    def publish(_: Progress) -> None:
        started = time.monotonic()
        time.sleep(SLOW_SECONDS)
        costs["progress"].append(time.monotonic() - started)

    store = Reporter._store_preview

    def store_preview(reporter: Reporter, step: int) -> None:
        started = time.monotonic()
        store(reporter, step)
        costs["preview"].append(time.monotonic() - started)

    monkeypatch.setattr(Reporter, "_store_preview", store_preview)
    reporter = Reporter("job", run, slow_storage, settings, publish)
    started = time.monotonic()
    for progress in run:
        reporter.step(progress, preview_wanted=True)
        if len(costs["progress"]) >= 3 and len(costs["preview"]) >= 2:
            break
    elapsed = time.monotonic() - started
    for what, share in (("progress", PROGRESS_SHARE), ("preview", PREVIEW_SHARE)):
        first, *others = costs[what]
        assert others
        # The first report opens a connection and is given; one that takes longer than the one
        # before it has not quite earned its time
        given = first if what == "progress" else 0.0
        assert first - given + sum(others[:-1]) < share * elapsed
    assert PROGRESS_SHARE + PREVIEW_SHARE < 0.02
