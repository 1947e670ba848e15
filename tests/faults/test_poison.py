"""Jobs that break their workers end with a reason, and the workers paint on."""

import os
import signal
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
CLOCK_AN_HOUR_FAST = """
import datetime, time
seconds, nanoseconds = time.time, time.time_ns
time.time = lambda: seconds() + 3600
time.time_ns = lambda: nanoseconds() + 3600 * 10**9
class Fast(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(hours=1)
    @classmethod
    def utcnow(cls):
        return super().utcnow() + datetime.timedelta(hours=1)
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


def test_a_worker_whose_clock_is_an_hour_fast_harms_nobody(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CLOCK_AN_HOUR_FAST)
    busy = [rig.submit(**LONG).id for _ in rig.workers]
    for job_id in busy:
        rig.wait_until_under_way(job_id)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with rig.another_worker("fast", PYTHONPATH=path):
        job = rig.submit(**SMALL)
        until(lambda: rig.record(job.id).attempt > 0, "the claim")
        assert rig.record(job.id).worker == "fast"
        for job_id in busy:
            assert rig.record(job_id).attempt == 1  # it has taken nobody's job
            rig.client.cancel(job_id)
        record = rig.wait_for_end(job.id)
    assert record.status == JobStatus.SUCCEEDED
    assert record.finished_at is not None
    assert abs((record.finished_at - datetime.now(UTC)).total_seconds()) < 600


def test_a_worker_whose_weights_are_damaged_takes_no_job(rig: Rig, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(os.urandom(10_000))
    with rig.another_worker("damaged", IMPASTO_WEIGHTS=str(weights)) as worker:
        worker.wait_for_the_end()
        assert "damaged" not in rig.memory()
        assert "Error:" in worker.process.log.read_text()
    paints(rig)
