"""`impasto worker`: one process that paints, or one for each GPU."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import click

from shared.cores import Cores
from shared.settings import Settings

POLL_SECONDS = 0.5
RESTART_SECONDS = 2.0
# What glibc reads when a process starts. Without it, slivers of memory beside each tensor stay in
# a cache of small pieces, so that tensors cannot be joined when they are freed: painting then takes
# half as much memory again.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


@click.command()
@click.option(
    "--device", default=None, help="auto, cpu, cuda or cuda:N. [default: IMPASTO_DEVICE or auto]"
)
@click.option(
    "--gpus",
    type=click.Choice(["all"]),
    help="One worker for each GPU of this machine, each pinned to its own.",
)
@click.option("--name", default=None, help="Name of the worker. [default: made from host and pid]")
@click.option("--log-level", default="WARNING", show_default=True, help="How much Celery logs.")
def worker(device: str | None, gpus: str | None, name: str | None, log_level: str) -> None:
    """Take jobs from the queue and paint them.

    Start as many as there are devices, on any machine that reaches Redis and S3. SIGTERM gives a
    running job back to the queue and ends the worker.
    """
    settings = Settings()
    name = name or settings.worker_name
    if gpus == "all":
        _one_for_each_gpu(name, settings.threads, log_level)
    else:
        name = name or f"{os.uname().nodename}-{os.getpid()}"
        _become_celery(device or settings.device, name, log_level)


def _become_celery(device: str, name: str, log_level: str) -> None:
    named = {"IMPASTO_DEVICE": device, "IMPASTO_WORKER_NAME": name}
    environment = {**MALLOC, **os.environ, **named}
    command = [
        *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "worker"),
        *("--pool", "prefork", "--concurrency", "1"),
        *("--hostname", f"{name}@%h", "--loglevel", log_level),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    os.execve(sys.executable, command, environment)  # noqa: S606 - signals go to Celery itself


def _one_for_each_gpu(name: str | None, threads: int | None, log_level: str) -> None:
    import torch  # which takes seconds, and no other worker waits for it twice

    count = torch.cuda.device_count()  # asks the driver; makes no CUDA context in this process
    if count == 0:
        raise click.ClickException(
            "--gpus all: no GPU is visible here; leave it out to use the CPU"
        )
    prefix = name or os.uname().nodename
    threads = threads or Cores.usable().share(count)
    children = {gpu: _start_on(gpu, prefix, threads, log_level) for gpu in range(count)}
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in children.values():
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    click.echo(f"{count} workers, one for each GPU", err=True)
    while not stopping:
        time.sleep(POLL_SECONDS)
        for gpu, child in children.items():
            if child.poll() is not None and not stopping:
                click.echo(f"the worker of GPU {gpu} ended; starting it again", err=True)
                time.sleep(RESTART_SECONDS)
                if not stopping:  # the signal may have come during the pause
                    children[gpu] = _start_on(gpu, prefix, threads, log_level)
    for child in children.values():
        child.wait()


def _start_on(gpu: int, prefix: str, threads: int, log_level: str) -> subprocess.Popen[bytes]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    pinned = visible.split(",")[gpu] if visible else str(gpu)
    command = [
        *(sys.executable, "-m", "client.cli", "worker", "--device", "cuda:0"),
        *("--name", f"{prefix}-gpu{gpu}", "--log-level", log_level),
    ]
    environment = {"CUDA_VISIBLE_DEVICES": pinned, "IMPASTO_THREADS": str(threads)}
    return subprocess.Popen(command, env={**os.environ, **environment})
