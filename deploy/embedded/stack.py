"""The whole system on one machine: Redis, S3, the API and workers, as child processes."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import httpx

from deploy.embedded import interrupts
from deploy.embedded.data import DataFolder
from deploy.embedded.ports import listen
from deploy.embedded.process import Process
from deploy.embedded.servers import start_seaweedfs, start_valkey
from shared.cores import Cores
from shared.settings import Settings

API_START_SECONDS = 30.0
WORKERS_START_SECONDS = 180.0
RESTART_PAUSE_SECONDS = 1.0


class Stack:
    """Everything that a job needs, running. A context manager: leaving it stops it all."""

    def __init__(
        self, data: DataFolder, *, workers: int, port: int | None, report: Callable[[str], None]
    ) -> None:
        self._data = data
        self._worker_count = workers
        self._port = port
        self._report = report
        self._stop = ExitStack()
        self.servers: list[Process] = []
        self._processes: list[Process] = []
        self.environment: dict[str, str] = {}
        self.workers: list[Process] = []
        self.url = ""

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(self._close)
            self._start()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        # Workers and API first and together, so that nobody loses a server while it ends.
        for process in self._processes:
            process.terminate()
        self._stop.close()

    @property
    def settings(self) -> Settings:
        """The settings that all parts of this stack use."""
        return Settings.from_environment(self.environment)

    def supervise(self) -> None:
        """Look after the processes: one that died is started again, on its port and its data."""
        interrupts.check()
        for process in [*self.servers, *self._processes]:
            if not process.is_running:
                self._report(f"{process.name} died; starting it again (log: {process.log})")
                time.sleep(RESTART_PAUSE_SECONDS)
                process.start()

    def _start(self) -> None:
        # We listen, and the API inherits the socket: nobody can take the port in between.
        listener = self._stop.enter_context(listen(self._port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        self._report("Starting Redis (Valkey) and S3 (SeaweedFS)")
        self.environment = dict(os.environ)
        for start, folder in [(start_valkey, "valkey"), (start_seaweedfs, "seaweedfs")]:
            server = self._stop.enter_context(start(self._data.path / folder, self._data.logs))
            self.servers.append(server.process)
            self.environment |= server.environment

        self._report(f"Starting {self._worker_count} worker(s): VGG-19 is loaded")
        # Known beforehand, so that even the first to be up leaves the others theirs
        threads = self.settings.threads or Cores.usable().share(self._worker_count)
        for number in range(1, self._worker_count + 1):
            worker = self._spawn(
                f"worker-{number}",
                ["worker", "--name", f"worker-{number}"],
                {"IMPASTO_THREADS": str(threads)},
            )
            self.workers.append(worker)

        self._report(f"Starting the API at {self.url}")
        descriptor = listener.fileno()
        api = self._spawn("api", ["api", "--fd", str(descriptor)], {}, descriptors=(descriptor,))
        api.wait_until(self._api_answers, API_START_SECONDS)
        for worker in self.workers:
            worker.wait_until(self._workers_are_up, WORKERS_START_SECONDS)

    def _spawn(
        self,
        name: str,
        arguments: list[str],
        extra: dict[str, str],
        descriptors: tuple[int, ...] = (),
    ) -> Process:
        process = Process(
            name,
            [sys.executable, "-m", "client.cli", *arguments],
            self._data.logs / f"{name}.log",
            {**self.environment, **extra},
            descriptors=descriptors,
        )
        process.start()
        self._processes.append(process)
        self._stop.callback(process.stop)
        return process

    def _api_answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def _workers_are_up(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/v1/workers", timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success and len(answer.json()["workers"]) >= self._worker_count
