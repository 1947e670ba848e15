"""Jobs that break their workers end with a reason, and the workers paint on."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from shared.jobs import ErrorCode, JobStatus
from tests.faults.jobs import LONG, SMALL
from tests.faults.rig import Rig, until

OVERFLOWS = {
    "preset": "neural-style",
    "style_weight": 1e12,
    "style_layers": {"relu1_1": 1e12},
    "gram_divisor": "none",
}
# S3 refuses whoever's clock is off by more than 15 minutes.
MINUTES, HOUR = 600, 3600
FAST_CLOCK = """
import datetime, time
seconds, nanoseconds = time.time, time.time_ns
time.time = lambda: seconds() + SECONDS
time.time_ns = lambda: nanoseconds() + SECONDS * 10**9
class Fast(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=SECONDS)
    @classmethod
    def utcnow(cls):
        return super().utcnow() + datetime.timedelta(seconds=SECONDS)
datetime.datetime = Fast
"""


def paints(rig: Rig) -> None:
    """Every worker paints."""
    jobs = [rig.submit(**SMALL) for _ in rig.workers]
    assert {rig.wait_for_end(job.id).status for job in jobs} == {JobStatus.SUCCEEDED}


def test_a_job_that_kills_its_workers_fails_after_three(rig: Rig) -> None:
    job = rig.submit(**LONG)
    for attempt in range(1, rig.settings.max_attempts + 1):
        until(lambda n=attempt: rig.record(job.id).attempt == n, f"attempt {attempt}")
        until(lambda: rig.painter(job.id), "who paints it")
        painter = rig.painter(job.id)
        assert painter is not None
        os.kill(painter, signal.SIGKILL)

    record = rig.wait_for_end(job.id)
    assert (record.status, record.attempt) == (JobStatus.FAILED, 3)
    assert record.error is not None
    assert record.error.code == ErrorCode.MAX_ATTEMPTS
    paints(rig)


def test_a_job_whose_losses_overflow_fails_and_says_so(rig: Rig) -> None:
    record = rig.wait_for_end(rig.submit(**SMALL, **OVERFLOWS).id)
    assert (record.status, record.attempt) == (JobStatus.FAILED, 1)
    assert record.error is not None
    assert record.error.code == ErrorCode.DIVERGED
    paints(rig)


def test_a_job_that_is_too_large_for_the_memory_fails_and_says_so(rig: Rig) -> None:
    with rig.little_memory(64 * 2**20):
        record = rig.wait_for_end(rig.submit(size=1024, steps=5, pyramid=None).id)
    assert (record.status, record.attempt) == (JobStatus.FAILED, 1)
    assert record.error is not None
    assert record.error.code == ErrorCode.OUT_OF_MEMORY
    paints(rig)


@contextlib.contextmanager
def a_fast_clock(rig: Rig, folder: Path, seconds: int) -> Iterator[str]:
    """All workers have something to do, but one whose clock is fast; a job that waits for it."""
    (folder / "sitecustomize.py").write_text(FAST_CLOCK.replace("SECONDS", str(seconds)))
    busy = [rig.submit(**LONG).id for _ in rig.workers]
    for job_id in busy:
        rig.wait_until_under_way(job_id)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    with rig.another_worker("fast", PYTHONPATH=path):
        job = rig.submit(**SMALL)
        until(lambda: "fast" in rig.memory(), "the fast worker")
        yield job.id
        for job_id in busy:
            assert rig.record(job_id).attempt == 1  # it has taken nobody's job
            rig.client.cancel(job_id)
        record = rig.wait_for_end(job.id)
    assert record.status == JobStatus.SUCCEEDED
    assert record.finished_at is not None
    assert abs((record.finished_at - datetime.now(UTC)).total_seconds()) < MINUTES / 2


def test_a_worker_whose_clock_is_fast_paints_and_harms_nobody(rig: Rig, tmp_path: Path) -> None:
    with a_fast_clock(rig, tmp_path, MINUTES) as job_id:
        assert rig.wait_for_end(job_id).worker == "fast"


def test_a_worker_whose_clock_is_so_fast_that_s3_refuses_it_leaves_jobs_to_others(
    rig: Rig, tmp_path: Path
) -> None:
    with a_fast_clock(rig, tmp_path, HOUR) as job_id:
        time.sleep(2)
    assert rig.record(job_id).worker != "fast"


def test_a_worker_whose_weights_are_damaged_takes_no_job(rig: Rig, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(os.urandom(10_000))
    with rig.another_worker("damaged", IMPASTO_WEIGHTS=str(weights)) as worker:
        worker.wait_for_the_end()
        assert "damaged" not in rig.memory()
        assert "Error:" in worker.process.log.read_text()
    paints(rig)
