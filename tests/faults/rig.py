"""The whole system, ready to be broken: servers, the API and workers, each behind its own proxies.

Every part is a process of its own and can be killed, frozen, cut off and started again while the
others go on. `repair` brings back whatever is broken, so that one rig serves many tests.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx
import redis

from client.client import Impasto
from deploy.embedded import servers
from deploy.embedded.ports import free_ports
from deploy.embedded.process import Process
from deploy.embedded.servers import Server, start_seaweedfs, start_valkey
from shared import names
from shared.jobs import ANONYMOUS, Checkpoint, Job, JobRecord, JobStatus
from shared.messaging import ProgressReader, parse_progress
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import STORAGE_ERRORS, Storage
from shared.workers import WorkerRegistry
from tests.conftest import picture_bytes
from tests.faults.jobs import LASTS, SMALL
from tests.faults.proxy import Proxy

LEASE_SECONDS = 3.0
# A lost worker is noticed within seconds, so that a test does not wait a minute for it.
SHORT_TIMES = {
    "IMPASTO_HEARTBEAT_SECONDS": "0.4",
    "IMPASTO_LEASE_SECONDS": str(LEASE_SECONDS),
    "IMPASTO_RECONCILE_INTERVAL_SECONDS": "0.5",
    "IMPASTO_REPUBLISH_SECONDS": "2",
    "IMPASTO_CHECKPOINT_INTERVAL_SECONDS": "0.3",
    "IMPASTO_OUTAGE_PATIENCE_SECONDS": "5",
    "IMPASTO_SWEEP_INTERVAL_SECONDS": "1",
    "IMPASTO_PROGRESS_INTERVAL_SECONDS": "0.1",
}
ACCEPTED, UNAVAILABLE = 202, 503
# The API promises 3 s; twice as long for a machine that does other things.
REFUSAL_SECONDS = 6.0
# Long enough for a machine on which much else runs.
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.03
LAST_LINES = 25


def until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition. Raises `AssertionError` when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Part:
    """A process of ours, with its own ways to Redis and S3."""

    process: Process
    redis: Proxy
    s3: Proxy

    @property
    def name(self) -> str:
        return self.process.name

    def cut_off(self) -> None:
        """Pull its cable: it reaches nothing, and what it sends arrives when it is mended."""
        self.redis.hold()
        self.s3.hold()

    def mend(self) -> None:
        """Put its cable in again."""
        self.redis.mend()
        self.s3.mend()

    def kill(self) -> None:
        """Kill it and all its children, as a machine that loses its power."""
        kill(self.process)

    def terminate(self) -> None:
        """Ask it to end in order."""
        self.process.terminate()

    def freeze(self) -> None:
        """Stop it and its children where they are; nobody is told."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)

    def wait_for_the_end(self, seconds: float = WAIT_SECONDS) -> None:
        until(lambda: not self.process.is_running, f"the end of {self.name}", seconds)


class Rig:
    """The system with N workers. A context manager."""

    def __init__(
        self, folder: Path, *, workers: int = 2, environment: Mapping[str, str] | None = None
    ) -> None:
        """
        Args:
            folder: for data, logs and pictures.
            workers: how many.
            environment: settings that differ from those of `SHORT_TIMES`.
        """
        self.folder = folder
        self.logs = folder / "logs"
        self._worker_count = workers
        self._extra = {**SHORT_TIMES, **(environment or {})}
        self._stack = ExitStack()
        self._jobs: list[str] = []
        self._had_full_disk: list[Server] = []
        self.workers: list[Part] = []
        # What each request was painted as: it is the same whatever interrupts it.
        self.pictures: dict[str, str] = {}

    # -- start and stop ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(self._close)
            self._start()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for part in self.workers:
            kill(part.process)  # nobody waits for what they do
        self._stack.close()

    def _start(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.valkey = self._stack.enter_context(self._start_valkey())
        self.s3 = self._stack.enter_context(start_seaweedfs(self.folder / "s3", self.logs))
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith("IMPASTO_")
        }
        self._environment = clean | self.valkey.environment | self.s3.environment | self._extra
        # What the tests see is seen past all proxies.
        self.settings = Settings.from_environment(self._environment)
        self.redis: Any = self._stack.enter_context(
            redis.Redis.from_url(
                self.settings.redis_url.get_secret_value(), decode_responses=True, socket_timeout=5
            )
        )
        self.records = JobRecords(self.redis, self.settings)
        self.storage = Storage(self.settings, patient=False)
        self._progress = ProgressReader(self.redis)

        for number in range(1, self._worker_count + 1):
            name = f"worker-{number}"
            worker = self._part(name, ["worker", "--name", name], IMPASTO_THREADS="1")
            self.workers.append(worker)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.api = self._part("api", ["api", "--port", str(port)])
        self.client = self._stack.enter_context(Impasto(self.url))
        self._wait_for_the_api()
        self._wait_for_workers()
        # What a worker takes once it has painted; from then on it grows no more.
        for job in [self.submit(**LASTS) for _ in self.workers]:
            self.client.wait(job.id)
        self.memory_at_start = max(self.memory().values())

    def _start_valkey(self) -> Server:
        """Valkey that takes a file that may not grow for a full disk, and does not die of it."""
        script = self.folder / "valkey-server"
        script.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec '{servers.get_binary_path()}' \"$@\"\n")
        script.chmod(0o755)
        with patch.object(servers, "get_binary_path", return_value=script):
            return start_valkey(self.folder / "valkey", self.logs)

    def _part(self, name: str, arguments: list[str], **extra: str) -> Part:
        redis_url = urlsplit(self.settings.redis_url.get_secret_value())
        s3_url = urlsplit(str(self.settings.s3_endpoint_url))
        ways = []
        for url in (redis_url, s3_url):
            assert url.hostname is not None
            assert url.port is not None
            ways.append(self._stack.enter_context(Proxy((url.hostname, url.port))))
        to_redis, to_s3 = ways
        through = redis_url._replace(
            netloc=redis_url.netloc.replace(str(redis_url.port), str(to_redis.port))
        ).geturl()
        process = Process(
            name,
            [sys.executable, "-m", "client.cli", *arguments],
            self.logs / f"{name}.log",
            {
                **self._environment,
                **dict.fromkeys(self.valkey.environment, through),
                "IMPASTO_S3_ENDPOINT_URL": f"http://{to_s3.host}:{to_s3.port}",
                "IMPASTO_DEVICE": "cpu",
                **extra,
            },
        )
        process.start()
        self._stack.callback(process.stop)
        return Part(process, to_redis, to_s3)

    # -- jobs -------------------------------------------------------------------------------------

    def picture(self, name: str) -> Path:
        """A picture file; the same for the same name."""
        path = self.folder / f"{name}.png"
        if not path.exists():
            path.write_bytes(picture_bytes(name))
        return path

    def submit(self, **params: Any) -> Job:
        """Post a job; its end is checked after the test."""
        job = self.client.submit(self.picture("content"), [self.picture("style")], **params)
        self._jobs.append(job.id)
        return job

    def post(self, key: str | None = None, **params: Any) -> httpx.Response:
        """Post a job once, whatever the answer; the client would try again."""
        files = [
            ("content", ("content.png", self.picture("content").read_bytes())),
            ("style", ("style.png", self.picture("style").read_bytes())),
        ]
        headers = {} if key is None else {"Idempotency-Key": key}
        url, form = f"{self.url}/v1/jobs", {"params": json.dumps(params)}
        answer = httpx.post(url, data=form, files=files, headers=headers, timeout=30)
        if answer.status_code == ACCEPTED:
            self.watch(answer.json()["id"])
        return answer

    def accepts(self) -> bool:
        """Whether the API takes a job; if not, it has to say so in time, and when to come again."""
        return not self._refuses(lambda: self.post(**SMALL))

    def answers(self) -> bool:
        """Whether the API says which jobs there are; if not, the same."""
        return not self._refuses(lambda: httpx.get(f"{self.url}/v1/jobs", timeout=30))

    def _refuses(self, ask: Callable[[], httpx.Response]) -> bool:
        started = time.monotonic()
        answer = ask()
        if answer.is_success:
            return False
        assert answer.status_code == UNAVAILABLE, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert time.monotonic() - started < REFUSAL_SECONDS
        return True

    def watch(self, job_id: str) -> None:
        """Check the end of a job that was posted otherwise."""
        self._jobs.append(job_id)

    def take_jobs(self) -> list[str]:
        """The jobs that were posted since this was asked before."""
        jobs, self._jobs = self._jobs, []
        return jobs

    def record(self, job_id: str) -> JobRecord:
        """The record of a job."""
        found = self.records.get(job_id)
        assert found is not None, f"job {job_id} is lost"
        return found[0]

    def wait_until_under_way(self, job_id: str) -> Part:
        """Wait until a worker has told of a step of this job; returns the worker."""

        def is_there() -> bool:
            status = self.record(job_id).status
            assert not status.is_terminal, f"job {job_id} {status} before it was seen"
            (state,) = self._progress.states([job_id])
            told = parse_progress(state) if state else None
            return status == JobStatus.RUNNING and told is not None

        until(is_there, f"a step of {job_id}")
        return self.holder(job_id)

    def wait_for_checkpoint(self, job_id: str) -> Checkpoint:
        """Wait until a job can be resumed, and return from where."""
        until(lambda: self.record(job_id).checkpoints, f"a checkpoint of {job_id}")
        return self.record(job_id).checkpoints[0]

    def wait_for_end(self, job_id: str, seconds: float = WAIT_SECONDS) -> JobRecord:
        """Wait until a job has ended."""
        until(lambda: self.record(job_id).status.is_terminal, f"the end of {job_id}", seconds)
        return self.record(job_id)

    def holder(self, job_id: str) -> Part:
        """The worker that holds a job."""
        name = self.record(job_id).worker
        return next(worker for worker in self.workers if worker.name == name)

    def others(self, worker: Part) -> list[Part]:
        """The other workers."""
        return [other for other in self.workers if other is not worker]

    # -- processes --------------------------------------------------------------------------------

    def child(self, worker: Part) -> int:
        """Id of the process that paints; its parent only receives messages and signals."""
        return next(one.pid for one in self._registered() if one.name == worker.name)

    def painter(self, job_id: str) -> int | None:
        """Id of the living process that paints a job."""
        for one in self._registered():
            if one.job_id == job_id and _is_alive(one.pid):
                return int(one.pid)
        return None

    @contextlib.contextmanager
    def another_worker(self, name: str, **environment: str) -> Iterator[Part]:
        """One worker more, which may be set up otherwise, as long as the block runs."""
        worker = self._part(name, ["worker", "--name", name], IMPASTO_THREADS="1", **environment)
        try:
            yield worker
        finally:
            worker.process.stop()
            worker.redis.close()
            worker.s3.close()

    def run_command(self, *arguments: str) -> str:
        """Run `impasto ...` as an operator does, and return what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "client.cli", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, part: Part) -> None:
        """Start a part again that has ended."""
        part.process.start()

    def memory(self) -> dict[str, int]:
        """Resident memory of the painting process of each worker, bytes."""
        return {one.name: _resident_bytes(one.pid) for one in self._registered()}

    def stop_redis(self) -> None:
        """Kill Redis."""
        kill(self.valkey.process)

    def start_redis(self) -> None:
        """Start Redis again with what its append-only file has."""
        self.valkey.process.start()
        self._wait_for_redis()

    def wipe_redis(self) -> None:
        """Remove all that Redis keeps on disk; it has to be stopped."""
        shutil.rmtree(self.folder / "valkey")
        (self.folder / "valkey").mkdir()

    def stop_s3(self) -> None:
        """Kill S3."""
        kill(self.s3.process)

    def start_s3(self) -> None:
        """Start S3 again with its data."""
        self.s3.process.start()
        self._wait_for_s3()

    def keep_redis(self) -> Path:
        """A copy of what Redis has on disk now."""
        copy = self.folder / "valkey-as-it-was"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / "valkey", copy)
        return copy

    def bring_back_redis(self, copy: Path) -> None:
        """Have Redis know no more than when the copy was made; it has to be stopped."""
        shutil.rmtree(self.folder / "valkey")
        shutil.copytree(copy, self.folder / "valkey")

    @contextlib.contextmanager
    def full_disk(self, server: Server) -> Iterator[None]:
        """No file of a server may grow as long as the block runs."""
        pid = server.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
            self._had_full_disk.append(server)

    @contextlib.contextmanager
    def little_memory(self, more_bytes: int) -> Iterator[None]:
        """The painting processes get hardly more memory than they have."""
        before = {}
        for one in self._registered():
            size = int(_status(one.pid)["VmData"].split()[0]) * 1024
            before[one.pid] = resource.prlimit(one.pid, resource.RLIMIT_DATA)
            hard = before[one.pid][1]
            resource.prlimit(one.pid, resource.RLIMIT_DATA, (size + more_bytes, hard))
        try:
            yield
        finally:
            for pid, limits in before.items():
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_DATA, limits)

    @contextlib.contextmanager
    def without_redis(self) -> Iterator[None]:
        """Redis is away as long as the block runs."""
        self.stop_redis()
        try:
            yield
        finally:
            self.start_redis()

    @contextlib.contextmanager
    def without_s3(self) -> Iterator[None]:
        """S3 is away as long as the block runs."""
        self.stop_s3()
        try:
            yield
        finally:
            self.start_s3()

    # -- repair -----------------------------------------------------------------------------------

    @property
    def parts(self) -> list[Part]:
        """The API and the workers."""
        return [self.api, *self.workers]

    def repair(self) -> None:
        """Bring back whatever is broken, and wait until all of it works."""
        for part in self.parts:
            part.mend()
            part.thaw()
        for server in self._had_full_disk:  # SeaweedFS's log of names never gets over it
            kill(server.process)
        self._had_full_disk.clear()
        for server in (self.valkey, self.s3):
            if not server.process.is_running:
                server.process.start()
        self._wait_for_redis()
        self._wait_for_s3()
        self.redis.config_set("maxmemory", 0)
        for part in self.parts:
            if not part.process.is_running:
                part.process.start()
        self._wait_for_the_api()
        self._wait_for_workers()

    def settle(self) -> list[str]:
        """Cancel what is not finished, and return the jobs that were posted since the last time."""
        jobs = self.take_jobs()
        unfinished = self._unfinished()
        for job_id in unfinished:
            httpx.post(f"{self.url}/v1/jobs/{job_id}/cancel", timeout=30)
        for job_id in [*jobs, *unfinished]:
            self.wait_for_end(job_id)
        until(lambda: not any(one.job_id for one in self._registered()), "idle workers")
        return jobs

    def _unfinished(self) -> list[str]:
        """All of them, also those that no test knows: the API may have accepted one and died."""
        indexes = [names.index(ANONYMOUS, status) for status in JobStatus if not status.is_terminal]
        return [str(job_id) for index in indexes for job_id in self.redis.zrange(index, 0, -1)]

    def last_words(self) -> str:
        """The end of every log."""
        parts = []
        for log in sorted(self.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            parts.append("\n".join([f"--- {log.name}", *lines]))
        return "\n".join(parts)

    def _registered(self) -> list[Any]:
        return WorkerRegistry(self.redis, self.settings).up()

    def _wait_for_redis(self) -> None:
        self.valkey.process.wait_until(lambda: _answers(self.redis.ping), WAIT_SECONDS)

    def _wait_for_s3(self) -> None:
        self.s3.process.wait_until(lambda: _answers(self.storage.ping), WAIT_SECONDS)

    def _wait_for_the_api(self) -> None:
        def is_ready() -> bool:
            try:
                return httpx.get(f"{self.url}/readyz", timeout=10).is_success
            except httpx.TransportError:
                return False

        self.api.process.wait_until(is_ready, WAIT_SECONDS)

    def _wait_for_workers(self) -> None:
        for worker in self.workers:
            worker.process.wait_until(lambda worker=worker: self._is_up(worker), WAIT_SECONDS)

    def _is_up(self, worker: Part) -> bool:
        """Whether a worker is announced by a living process, and waits for messages or paints."""
        for one in self._registered():
            if one.name == worker.name and _parent(one.pid) == worker.process.pid:
                ours = set(worker.redis.addresses)
                commands = {c["cmd"] for c in self.redis.client_list() if c["addr"] in ours}
                return one.job_id is not None or "brpop" in commands
        return False


def kill(process: Process) -> None:
    """Kill a process and all its children, and wait until they are gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.stop()


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (redis.RedisError, *STORAGE_ERRORS):
        return False
    return True


def _status(pid: int) -> dict[str, str]:
    """What the kernel says of a process; nothing when there is none."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def _is_alive(pid: int) -> bool:
    return not _status(pid).get("State", "Z").startswith("Z")


def _parent(pid: int) -> int | None:
    return int(_status(pid).get("PPid", 0)) or None


def _resident_bytes(pid: int) -> int:
    return int(_status(pid).get("VmRSS", "0 kB").split()[0]) * 1024
