"""A worker that dies or is stopped loses no job."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from client import ApiProblem, Impasto
from deploy.embedded.stack import Stack
from shared.jobs import JobStatus
from tests.e2e.test_a_job import SMALL, until

LASTS_A_WHILE = {"size": 96, "steps": 200}


def _worker_of(impasto: Impasto, job_id: str) -> int:
    return next(worker.pid for worker in impasto.workers() if worker.job_id == job_id)


def test_a_job_whose_worker_process_is_killed_is_painted_by_another(
    stack: Stack, picture_file: Callable[..., Path]
) -> None:
    with Impasto(stack.url) as impasto:
        job = impasto.submit(picture_file("content"), [picture_file("style")], **LASTS_A_WHILE)
        until(lambda: impasto.job(job.id).progress is not None, "progress")

        os.kill(_worker_of(impasto, job.id), signal.SIGKILL)

        finished = impasto.wait(job.id)
        assert finished.attempt == 2
        assert finished.output is not None


def test_a_stopped_worker_gives_its_job_back_and_is_started_again(
    stack: Stack, picture_file: Callable[..., Path]
) -> None:
    with Impasto(stack.url) as impasto:
        job = impasto.submit(picture_file("content"), [picture_file("style")], **LASTS_A_WHILE)
        until(lambda: impasto.job(job.id).progress is not None, "progress")
        child = _worker_of(impasto, job.id)
        worker = next(p for p in stack.workers if p.pid == _parent(child))

        worker.terminate()
        until(lambda: not worker.is_running, "the end of the worker", seconds=15)
        stack.supervise()

        finished = impasto.wait(job.id)
        assert finished.status == JobStatus.SUCCEEDED
        assert finished.attempt == 1  # a job that is given back has lost no attempt
        until(lambda: len(impasto.workers()) == len(stack.workers), "the worker's return")


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid")))


def test_servers_that_die_come_back_with_every_job(
    stack: Stack, picture_file: Callable[..., Path]
) -> None:
    with Impasto(stack.url) as impasto:
        done = impasto.wait(
            impasto.submit(picture_file("content"), [picture_file("style")], **SMALL).id
        )
        time.sleep(1.5)  # the append-only file is written every second
        for server in stack.servers:
            os.kill(server.pid, signal.SIGKILL)
            until(lambda server=server: not server.is_running, "its end")
        stack.supervise()

        until(lambda: _readable(impasto, done.id), "the servers' return")
        assert impasto.job(done.id).output == done.output
        assert impasto.result(done.id)
        again = impasto.submit(picture_file("content"), [picture_file("style")], **SMALL)
        assert impasto.wait(again.id).status == JobStatus.SUCCEEDED


def _readable(impasto: Impasto, job_id: str) -> bool:
    try:
        return bool(impasto.result(job_id))
    except ApiProblem:  # 503 as long as one of them is away
        return False
