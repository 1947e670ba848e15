"""What the service costs: POST to result, against the engine alone in a warm process.

The same pictures and parameters, in turns: a job over HTTP, through Redis, Celery, a worker and S3;
then the engine in this process, from decoded tensors to the finished pixels.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.pictures import PAINTING, PHOTOGRAPH
from client import Impasto
from deploy.embedded.data import DataFolder
from deploy.embedded.stack import Stack
from shared.jobs import JobStatus
from shared.parameters import Parameters
from worker.engine import VGG19, Stylization, load_weights
from worker.pictures import read_picture

PARAMETERS: dict[str, Any] = {"size": 256, "steps": 100, "pyramid": None}
POLL_SECONDS = 0.05  # finer than our client asks, for the sake of the measurement


def measure(console: Console, rounds: int = 5) -> None:
    """Print the medians and the share of the job that is not the engine's."""
    console.rule(f"Overhead of the service: {PARAMETERS}")
    network = VGG19(load_weights("oxford-q8"))
    with (
        tempfile.TemporaryDirectory(prefix="impasto-bench-") as folder,
        DataFolder(Path(folder)) as data,
        Stack(data, workers=1, port=None, report=console.print) as stack,
        Impasto(stack.url) as impasto,
    ):
        _engine(network)  # both are warm before anything counts
        _job(impasto)
        engine, job, waits = [], [], []
        for _ in range(rounds):
            engine.append(_engine(network))
            seconds, queued = _job(impasto)
            job.append(seconds)
            waits.append(queued)
    table = Table("", "median s", "all s")
    for name, values in [("engine", engine), ("job", job), ("of it, queued", waits)]:
        table.add_row(
            name, f"{statistics.median(values):.2f}", " ".join(f"{value:.2f}" for value in values)
        )
    console.print(table)
    shares = [(j - e) / j for j, e in zip(job, engine, strict=True)]
    console.print(
        f"share of the job that is not the engine's: median {statistics.median(shares):.1%}"
        f"  ({' '.join(f'{share:.1%}' for share in shares)})"
    )


def _engine(network: VGG19) -> float:
    content, style = (read_picture(path.read_bytes()).pixels for path in (PHOTOGRAPH, PAINTING))
    started = time.perf_counter()
    run = Stylization(network, content, [style], Parameters.model_validate(PARAMETERS))
    for _ in run:
        pass
    run.picture()
    return time.perf_counter() - started


def _job(impasto: Impasto) -> tuple[float, float]:
    started = time.perf_counter()
    job = impasto.submit(PHOTOGRAPH, [PAINTING], **PARAMETERS)
    while not job.status.is_terminal:
        time.sleep(POLL_SECONDS)
        job = impasto.job(job.id)
    assert job.status == JobStatus.SUCCEEDED, job.error
    impasto.result(job.id)
    return time.perf_counter() - started, job.metrics.queue_seconds or 0.0
