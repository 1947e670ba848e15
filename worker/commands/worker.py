"""`impasto worker`: one process that paints, or one for each GPU."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import click
import torch

from shared.settings import Settings
from worker.engine import EngineError, load_weights, resolve_device

POLL_SECONDS = 0.5
RESTART_SECONDS = 2.0


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
    device = device or settings.device
    name = name or settings.worker_name
    try:
        load_weights(settings.weights)  # of no use in this process, but only this shows all faults
        if gpus is None:
            resolve_device(device)
    except EngineError as error:
        raise click.ClickException(str(error)) from None
    if gpus == "all":
        _one_for_each_gpu(name, log_level)
    else:
        _become_celery(device, name or f"{os.uname().nodename}-{os.getpid()}", log_level)


def _become_celery(device: str, name: str, log_level: str) -> None:
    environment = {**os.environ, "IMPASTO_DEVICE": device, "IMPASTO_WORKER_NAME": name}
    command = [
        *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "worker"),
        *("--pool", "prefork", "--concurrency", "1"),
        *("--hostname", f"{name}@%h", "--loglevel", log_level),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    os.execve(sys.executable, command, environment)  # noqa: S606 - signals go to Celery itself


def _one_for_each_gpu(name: str | None, log_level: str) -> None:
    count = torch.cuda.device_count()  # asks the driver; makes no CUDA context in this process
    if count == 0:
        raise click.ClickException(
            "--gpus all: no GPU is visible here; leave it out to use the CPU"
        )
    prefix = name or os.uname().nodename
    children = {gpu: _start_on(gpu, prefix, log_level) for gpu in range(count)}
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
                    children[gpu] = _start_on(gpu, prefix, log_level)
    for child in children.values():
        child.wait()


def _start_on(gpu: int, prefix: str, log_level: str) -> subprocess.Popen[bytes]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    pinned = visible.split(",")[gpu] if visible else str(gpu)
    command = [
        *(sys.executable, "-m", "client.cli", "worker", "--device", "cuda:0"),
        *("--name", f"{prefix}-gpu{gpu}", "--log-level", log_level),
    ]
    return subprocess.Popen(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": pinned})
