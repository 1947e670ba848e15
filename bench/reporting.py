"""What a run pays for telling how it goes: progress, previews, wishes, and saving its state.

As a worker does it, with real servers of Redis and S3, at a worker's intervals; a preview is wanted
all the time. The calls are timed within one run: two runs, with and without, differ by more than
what is looked for.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.goals import Goal
from bench.pictures import PAINTING, PHOTOGRAPH, landscape, read
from deploy.embedded.servers import start_seaweedfs, start_valkey
from shared.connections import connect_impatient
from shared.jobs import Progress
from shared.messaging import ProgressWriter
from shared.parameters import Parameters
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage
from worker.checkpoints import SHARE as CHECKPOINT_SHARE
from worker.checkpoints import encode
from worker.engine import VGG19, Stylization, load_weights
from worker.heartbeat import Hold
from worker.reports import Reporter
from worker.stops import WISHES_INTERVAL_SECONDS, Stops

SIZE_PX = 512
SECONDS = 40.0
JOB_ID = "bench"
SAVES = 5


def measure(console: Console, seconds: float = SECONDS, size: int = SIZE_PX) -> list[Goal]:
    """Print the shares of a run; what of it is asked for."""
    console.rule(f"Reports of a run of neural-style at {size} px")
    shape = landscape(size)
    run = Stylization(
        VGG19(load_weights("oxford-q8")),
        read(PHOTOGRAPH, shape),
        [read(PAINTING, shape)],
        Parameters(preset="neural-style", size=size, steps=10_000),
    )
    with console.status("starting Redis and S3, then painting"), _servers() as settings:
        shares = _shares(run, settings, seconds)
    save = _save_seconds(run)
    pause = max(settings.checkpoint_interval_seconds, save / CHECKPOINT_SHARE)

    every = settings.progress_interval_seconds, settings.preview_interval_seconds
    table = Table("", "of the run's time")
    table.add_row(
        f"progress every {every[0]:g} s and previews every {every[1]:g} s",
        f"{shares['reports']:.2%}",
    )
    table.add_row(
        f"looking every {WISHES_INTERVAL_SECONDS:g} s what is wished", f"{shares['wishes']:.2%}"
    )
    table.add_row(
        f"a checkpoint ({1000 * save:.0f} ms of the processor) every {pause:.0f} s",
        f"{save / pause:.2%}",
    )
    together = sum(shares.values()) + save / pause
    table.add_row("together", f"{together:.2%}")
    console.print(table)
    return [Goal("reports and saving the state: share of a run", together, 0.02, form=".2%")]


def _shares(run: Stylization, settings: Settings, seconds: float) -> dict[str, float]:
    """The shares of so many seconds of `run` that go into reports and into wishes."""
    writer = ProgressWriter(settings)
    records = JobRecords(connect_impatient(settings.redis_url.get_secret_value()), settings)

    def publish(progress: Progress) -> None:
        writer.write(JOB_ID, progress)

    storage = Storage(settings)
    steps = iter(run)
    # A worker is connected already
    Reporter(JOB_ID, run, storage, settings, publish).step(next(steps), preview_wanted=True)
    reporter = Reporter(JOB_ID, run, storage, settings, publish)
    kept = settings.model_copy(update={"lease_seconds": 10 * seconds})  # nobody renews it here
    hold = Hold(Lease(JOB_ID, fence=1, attempt=1, claim="bench"), kept, time.monotonic())
    stops = Stops(hold, threading.Event(), lambda: records.wishes(JOB_ID), seconds)
    spent = {"reports": 0.0, "wishes": 0.0}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        progress = next(steps)
        progress.losses()  # waits for the device: that is the step's time
        before = time.perf_counter()
        stops.check()
        looked = time.perf_counter()
        reporter.step(progress, preview_wanted=True)
        spent["wishes"] += looked - before
        spent["reports"] += time.perf_counter() - looked
    total = time.perf_counter() - started
    return {name: value / total for name, value in spent.items()}


def _save_seconds(run: Stylization) -> float:
    """The processor's time that it takes to make a checkpoint of a run, s."""
    seconds = []
    for _ in range(SAVES):
        started = time.thread_time()
        encode(run, 0.0)()
        seconds.append(time.thread_time() - started)
    return median(seconds)


@contextmanager
def _servers() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="impasto-bench-") as name:
        folder = Path(name)
        with (
            start_valkey(folder / "valkey", folder) as valkey,
            start_seaweedfs(folder / "s3", folder) as seaweedfs,
        ):
            yield Settings.from_environment(valkey.environment | seaweedfs.environment)
