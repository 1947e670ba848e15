"""Polls and submits per second, beside a bare Flask route on the same server, in the same run."""

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.load import Load, request_bytes, run
from client import Impasto
from deploy.embedded.ports import free_ports
from deploy.embedded.process import Process
from deploy.embedded.servers import start_seaweedfs, start_valkey

CONNECTIONS = 4
SECONDS = 3.0
START_SECONDS = 30.0
BOUNDARY = "impasto-bench"


def measure(console: Console, rounds: int = 5) -> None:
    """Print rates, 99th percentiles and their ratios."""
    console.rule(f"Rates over {CONNECTIONS} connections, {rounds} rounds of {SECONDS:.0f} s each")
    with ExitStack() as stop:
        folder = Path(stop.enter_context(tempfile.TemporaryDirectory(prefix="impasto-bench-")))
        environment = {**os.environ, "IMPASTO_MAX_QUEUED_JOBS": "1000000"}
        for start, name in [(start_valkey, "valkey"), (start_seaweedfs, "s3")]:
            environment |= stop.enter_context(start(folder / name, folder)).environment
        _measure(console, rounds, folder, environment, stop)


def _measure(
    console: Console, rounds: int, folder: Path, environment: dict[str, str], stop: ExitStack
) -> None:
    ours, bare = free_ports(2)
    pictures = [_picture(folder / f"{name}.jpg", seed) for seed, name in enumerate("cs")]

    def serve(name: str, arguments: list[str], environment: dict[str, str], url: str) -> None:
        process = Process(name, [sys.executable, *arguments], folder / f"{name}.log", environment)
        process.start()
        stop.callback(process.stop)
        process.wait_until(lambda: _answers(url), START_SECONDS)

    api = ["-m", "client.cli", "api", "--port", str(ours)]
    serve("api", api, environment, f"http://127.0.0.1:{ours}/healthz")
    with Impasto(f"http://127.0.0.1:{ours}") as impasto:
        job = impasto.submit(pictures[0], [pictures[1]])
    extra = {"BENCH_JOB": job.model_dump_json(), "IMPASTO_API_PORT": str(bare)}
    serve("bare", ["-m", "bench.bare"], environment | extra, f"http://127.0.0.1:{bare}/poll")

    upload, kind = _multipart(pictures)
    loads = {
        ("poll", "Impasto"): (ours, request_bytes("GET", ours, f"/v1/jobs/{job.id}")),
        ("poll", "bare"): (bare, request_bytes("GET", bare, "/poll")),
        ("submit", "Impasto"): (ours, request_bytes("POST", ours, "/v1/jobs", upload, kind)),
        ("submit", "bare"): (bare, request_bytes("POST", bare, "/submit", upload, kind)),
    }
    seen: dict[tuple[str, str], list[Load]] = {key: [] for key in loads}
    for _ in range(rounds):  # in turns, so that a busy machine hits both
        for key, (port, request) in loads.items():
            seen[key].append(run(port, request, connections=CONNECTIONS, seconds=SECONDS))

    table = Table("", "requests/s", "p99 ms", "of the bare route's rate")
    for (what, who), measured in seen.items():
        rate = statistics.median(load.rate for load in measured)
        p99 = statistics.median(load.p99_seconds for load in measured)
        ratio = statistics.median(
            mine.rate / other.rate for mine, other in zip(measured, seen[what, "bare"], strict=True)
        )
        table.add_row(f"{what}, {who}", f"{rate:.0f}", f"{p99 * 1000:.0f}", f"{ratio:.0%}")
    console.print(table)


def _picture(path: Path, seed: int) -> Path:
    """A JPEG of about 1 MB."""
    noise = np.random.default_rng(seed).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC)
    image.save(path, "JPEG", quality=95)
    return path


def _multipart(pictures: list[Path]) -> tuple[bytes, str]:
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode()
        + path.read_bytes()
        + b"\r\n"
        for name, path in zip(("content", "style"), pictures, strict=True)
    )
    return parts + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
