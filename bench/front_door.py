"""Polls, submits and streams of the API, beside a bare Flask route on the same server.

In turns within one run, so that a busy machine hits both; medians of the rounds, and ratios of each
round. All of it runs on one machine: servers, API and clients share its cores.
"""

import io
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.crowd import Followed, Followers, Painters
from bench.goals import Goal
from bench.load import Load, Poll, Post, run
from bench.remote import Remote
from deploy.embedded.ports import free_ports
from deploy.embedded.process import Process
from deploy.embedded.servers import start_seaweedfs, start_valkey
from shared.connections import connect_impatient
from shared.jobs import Inputs, Job, JobRequest, StoredOutput
from shared.keys import ApiKeys
from shared.parameters import Parameters
from shared.records import JobRecords, Lease, new_job_id
from shared.settings import Settings

CONNECTIONS = 4
START_SECONDS = 60.0
BOUNDARY = "impasto-bench"
POLL_SHARE, SUBMIT_SHARE = 0.5, 0.7  # of a bare route's rate, that are asked for
MANY_JOBS = 500
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Nothing here is about limits.
NO_LIMITS = {
    "IMPASTO_MAX_QUEUED_JOBS": "1000000",
    "IMPASTO_MAX_UNFINISHED_JOBS": "1000000",
    "IMPASTO_MAX_STREAMS": "1000",
    "IMPASTO_MAX_KEY_STREAMS": "1000",
    "IMPASTO_REQUESTS_PER_MINUTE": "60000000",
    "IMPASTO_JOBS_PER_MINUTE": "600000",
}


@dataclass(frozen=True)
class Served:
    """A server that is measured."""

    port: int
    pid: int  # of the process that answers

    @property
    def cpu_seconds(self) -> float:
        """How much it has computed."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    @property
    def memory_bytes(self) -> int:
        """The memory that it has now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@dataclass(frozen=True)
class House:
    """The servers, and what is behind them."""

    ours: Served
    keyed: Served  # where a key is needed; on a database of its own
    bare: Served
    environment: Mapping[str, str]
    jobs: JobRecords
    keyed_poll: Poll


def measure(
    console: Console, rounds: int = 9, seconds: float = 1.0, streams: int = 400
) -> list[Goal]:
    """Print rates, percentiles and costs. Returns what was asked for."""
    with (
        tempfile.TemporaryDirectory(prefix="impasto-bench-") as folder,
        open_house(Path(folder)) as house,
    ):
        found = measure_polls(console, house, rounds, seconds)
        found += measure_many_polls(console, house, rounds, seconds)
        found += measure_submits(console, house, rounds, seconds)
        measure_mix(console, house, rounds, seconds, streams // 4)
        measure_streams(console, house, seconds * rounds, streams)
    return found


# -- the parts ------------------------------------------------------------------------------------


def measure_polls(console: Console, house: House, rounds: int, seconds: float) -> list[Goal]:
    """GET of a job in each of its states, with and without a key."""
    console.rule(f"Polls over {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s each")
    port = house.ours.port
    queued, running, finished = (make(house.jobs) for make in (queue, start, finish))
    etag = httpx.get(f"http://127.0.0.1:{port}{path(finished)}").headers["ETag"]
    loads = {
        "bare route": (house.bare, Poll(house.bare.port, ["/poll"])),
        "queued": (house.ours, Poll(port, [path(queued)])),
        "running": (house.ours, Poll(port, [path(running)])),
        "finished": (house.ours, Poll(port, [path(finished)])),
        "running, with a key": (house.keyed, house.keyed_poll),
        "not modified": (house.ours, Poll(port, [path(finished)], f"If-None-Match: {etag}\r\n")),
    }
    return _beside_painters(console, house, [running], loads, rounds, seconds)


def measure_many_polls(console: Console, house: House, rounds: int, seconds: float) -> list[Goal]:
    """GET of one job after the other, each of which has moved on since the last time."""
    console.rule(f"Polls of {MANY_JOBS} jobs in turn, whose progress changes twice a second")
    jobs = [start(house.jobs) for _ in range(MANY_JOBS)]
    loads = {
        "bare route": (house.bare, Poll(house.bare.port, ["/poll"])),
        "many running": (house.ours, Poll(house.ours.port, [path(job) for job in jobs])),
    }
    return _beside_painters(console, house, jobs, loads, rounds, seconds)


def _beside_painters(
    console: Console,
    house: House,
    job_ids: Sequence[str],
    loads: Mapping[str, tuple[Served, Poll | Post]],
    rounds: int,
    seconds: float,
) -> list[Goal]:
    with Remote(Painters, dict(house.environment), job_ids) as painters:
        painters.call("start")
        seen = _in_turns(loads, rounds, seconds)
        painters.call("stop")
    return _show(console, seen, POLL_SHARE, "poll")


def measure_submits(console: Console, house: House, rounds: int, seconds: float) -> list[Goal]:
    """POST of two pictures of 1 MB, new ones each time, or with a style that lies there already."""
    console.rule(f"Submits over {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s each")
    content, style = _picture(0), _picture(1)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    ours, bare = house.ours.port, house.bare.port

    def new() -> bytes:
        return _multipart(_another(content), _another(style))

    def same_style() -> bytes:
        return _multipart(_another(content), style)

    loads = {
        "bare route": (house.bare, Post(bare, "/submit", kind, new)),
        "both pictures new": (house.ours, Post(ours, "/v1/jobs", kind, new)),
        "style seen before": (house.ours, Post(ours, "/v1/jobs", kind, same_style)),
    }
    return _show(console, _in_turns(loads, rounds, seconds), SUBMIT_SHARE, "submit")


def measure_mix(console: Console, house: House, rounds: int, seconds: float, streams: int) -> None:
    """Polls while others submit and follow."""
    console.rule(f"Polls of {MANY_JOBS} jobs alone, then beside submits and {streams} streams")
    port = house.ours.port
    jobs = [start(house.jobs) for _ in range(MANY_JOBS)]
    polls = Poll(port, [path(job) for job in jobs])
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    content, style = _picture(0), _picture(1)
    posts = Post(port, "/v1/jobs", kind, lambda: _multipart(_another(content), _another(style)))
    followed = [path(job) + "/events" for job in jobs[:streams]]
    table = Table("", "polls/s", "p50 ms", "p99 ms", "submits/s", "p99 ms")
    with Remote(Painters, dict(house.environment), jobs) as painters:
        painters.call("start")
        alone = [run(polls, connections=CONNECTIONS, seconds=seconds) for _ in range(rounds)]
        with Remote(Followers, port, followed) as followers:
            followers.ask("follow", seconds * rounds)
            both = [_at_once(polls, posts, seconds) for _ in range(rounds)]
            followers.answer()
        painters.call("stop")
    table.add_row("alone", *_cells(alone), "", "")
    posted = [post for _, post in both]
    table.add_row(
        "beside the others",
        *_cells([poll for poll, _ in both]),
        f"{statistics.median(load.rate for load in posted):.1f}",
        f"{_milliseconds(posted, 0.99):.0f}",
    )
    console.print(table)


def measure_streams(console: Console, house: House, seconds: float, streams: int) -> None:
    """Polls without and with streams of events, and what these cost."""
    console.rule(f"Polls beside {streams} streams, {seconds:g} s each; progress twice a second")
    jobs = [start(house.jobs) for _ in range(streams)]
    polls = Poll(house.ours.port, [path(start(house.jobs))])
    table = Table(
        "", "polls/s", "p50 ms", "p99 ms", "API's CPU", "events/s", "delay ms", "p99 ms", "kB each"
    )
    with Remote(Painters, dict(house.environment), jobs) as painters:
        painters.call("start")
        for what, followed in {
            "no stream": [],
            f"{streams} on one job": jobs[:1] * streams,
            f"{streams} on {streams} jobs": jobs,
        }.items():
            row = _beside_streams(house.ours, polls, followed, seconds)
            table.add_row(what, *row)
        painters.call("stop")
    console.print(table)


def _beside_streams(api: Served, polls: Poll, job_ids: Sequence[str], seconds: float) -> list[str]:
    before = api.memory_bytes
    with Remote(Followers, api.port, [path(job) + "/events" for job in job_ids]) as followers:
        followers.ask("follow", seconds)  # nobody polls: what the streams cost by themselves
        cpu = api.cpu_seconds
        quiet: Followed = followers.answer()
        cpu = (api.cpu_seconds - cpu) / seconds
        followers.ask("follow", seconds)
        load = run(polls, connections=CONNECTIONS, seconds=seconds)
        busy: Followed = followers.answer()
        memory = api.memory_bytes - before
    assert quiet.closed == busy.closed == 0
    told = [""] * 4
    if job_ids:
        told = [
            f"{quiet.events / seconds:.0f}, {busy.events / seconds:.0f}",
            f"{quiet.delay_seconds * 1000:.0f}, {busy.delay_seconds * 1000:.0f}",
            f"{quiet.delay_p99_seconds * 1000:.0f}, {busy.delay_p99_seconds * 1000:.0f}",
            f"{memory / len(job_ids) / 1000:.0f}",
        ]
    return [*_cells([load]), f"{cpu:.0%}", *told]


def _at_once(polls: Poll, posts: Post, seconds: float) -> tuple[Load, Load]:
    posted: list[Load] = []
    posting = threading.Thread(
        target=lambda: posted.append(run(posts, connections=1, seconds=seconds))
    )
    posting.start()
    polled = run(polls, connections=CONNECTIONS, seconds=seconds)
    posting.join()
    return polled, posted[0]


def _in_turns(
    loads: Mapping[str, tuple[Served, Poll | Post]], rounds: int, seconds: float
) -> dict[str, list[tuple[Load, float]]]:
    """Each load once in each round, with the CPU time that an answer takes its server, s."""
    seen: dict[str, list[tuple[Load, float]]] = {name: [] for name in loads}
    for _ in range(rounds):
        for name, (server, what) in loads.items():
            cpu = server.cpu_seconds
            load = run(what, connections=CONNECTIONS, seconds=seconds)
            seen[name].append((load, (server.cpu_seconds - cpu) / len(load.durations)))
    return seen


def _show(
    console: Console, seen: Mapping[str, list[tuple[Load, float]]], share: float, what: str
) -> list[Goal]:
    """The first of them is the bare route."""
    table = Table("", "/s", "p50 ms", "p99 ms", "CPU ms", "of the bare rate", "range", "asked for")
    goals = []
    (bare, *_) = seen.values()
    for name, rows in seen.items():
        loads = [load for load, _ in rows]
        cpu = statistics.median(cpu for _, cpu in rows)
        shares = [mine.rate / other.rate for mine, (other, _) in zip(loads, bare, strict=True)]
        ratio = statistics.median(shares)
        cells = [*_cells(loads), f"{cpu * 1000:.2f}"]
        if rows is not bare:
            cells += [f"{ratio:.0%}", f"{min(shares):.0%} to {max(shares):.0%}", f"{share:.0%}"]
            goals.append(Goal(f"{what}, {name}", ratio, share, at_least=True))
        table.add_row(name, *cells)
    console.print(table)
    return goals


def _cells(loads: Sequence[Load]) -> list[str]:
    """Rate, p50 and p99."""
    rate = statistics.median(load.rate for load in loads)
    return [f"{rate:.0f}", *(f"{_milliseconds(loads, share):.1f}" for share in (0.5, 0.99))]


def _milliseconds(loads: Sequence[Load], share: float) -> float:
    return statistics.median(load.percentile(share) for load in loads) * 1000


# -- jobs, without anybody who paints them --------------------------------------------------------


def path(job_id: str) -> str:
    """Where a job is asked for."""
    return f"/v1/jobs/{job_id}"


def queue(jobs: JobRecords, owner: str = "anonymous") -> str:
    """A job that waits."""
    request = JobRequest(
        id=new_job_id(),
        owner=owner,
        params=Parameters(),
        metadata={"content_name": "harbor.jpg", "style_names": ["swirl.jpg"]},
        inputs=Inputs(content="ab" * 32, styles=["cd" * 32]),
    )
    assert jobs.create(request) is None
    return request.id


def start(jobs: JobRecords, owner: str = "anonymous") -> str:
    """A job that runs."""
    job_id = queue(jobs, owner)
    assert isinstance(jobs.claim(job_id, "bench"), Lease)
    return job_id


def finish(jobs: JobRecords) -> str:
    """A job that has succeeded."""
    job_id = queue(jobs)
    lease = jobs.claim(job_id, "bench")
    assert isinstance(lease, Lease)
    output = StoredOutput(
        content_type="image/png",
        width_px=512,
        height_px=384,
        size_bytes=300_000,
        sha256="ef" * 32,
        result_key=f"jobs/{job_id}/result.png",
        manifest_key=f"jobs/{job_id}/manifest.json",
    )
    assert jobs.succeed(lease, output)
    return job_id


# -- servers --------------------------------------------------------------------------------------


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """Redis, S3, the API twice (without keys and with one) and the bare application."""
    with ExitStack() as stop:
        environment = dict(NO_LIMITS)
        for starter, name in [(start_valkey, "valkey"), (start_seaweedfs, "s3")]:
            environment |= stop.enter_context(starter(folder / name, folder)).environment
        keyed_environment = environment | {
            f"IMPASTO_{name}_URL": _other_database(environment["IMPASTO_REDIS_URL"])
            for name in ("REDIS", "BROKER", "RESULT_BACKEND")
        }
        jobs, keyed_jobs = _records(environment), _records(keyed_environment)
        settings = Settings.from_environment(keyed_environment)
        keys = ApiKeys(connect_impatient(settings.redis_url.get_secret_value()), settings)
        secret = keys.create("bench")
        (key,) = keys.list()

        def serve(name: str, arguments: list[str], environment: dict[str, str]) -> Served:
            (port,) = free_ports(1)
            command = [sys.executable, *(part.format(port=port) for part in arguments)]
            process = Process(
                name,
                command,
                folder / f"{name}.log",
                {**os.environ, **environment, "IMPASTO_API_PORT": str(port)},
            )
            process.start()
            stop.callback(process.stop)
            process.wait_until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), START_SECONDS)
            return Served(port, _child(process.pid))

        api = ["-m", "client.cli", "api", "--port", "{port}"]
        ours, keyed = serve("api", api, environment), serve("keyed", api, keyed_environment)
        job = Job.model_validate_json(_get(ours.port, path(start(jobs))))
        bare = serve(
            "bare", ["-m", "bench.bare"], environment | {"BENCH_JOB": job.model_dump_json()}
        )
        headers = f"Authorization: Bearer {secret}\r\n"
        keyed_poll = Poll(keyed.port, [path(start(keyed_jobs, key.id))], headers)
        yield House(ours, keyed, bare, environment, jobs, keyed_poll)


def _records(environment: Mapping[str, str]) -> JobRecords:
    settings = Settings.from_environment(environment)
    return JobRecords(connect_impatient(settings.redis_url.get_secret_value()), settings)


def _other_database(url: str) -> str:
    return urlsplit(url)._replace(path="/1").geturl()


def _child(pid: int) -> int:
    """gunicorn's process that answers."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.TransportError:
        return False


def _get(port: int, asked: str) -> bytes:
    return httpx.get(f"http://127.0.0.1:{port}{asked}").raise_for_status().content


# -- pictures -------------------------------------------------------------------------------------


def _picture(seed: int) -> bytes:
    """A JPEG of about 1 MB."""
    noise = np.random.default_rng(seed).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _another(jpeg: bytes) -> bytes:
    """The same picture as a file that nobody has seen."""
    comment = os.urandom(16)
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + jpeg[2:]


def _multipart(content: bytes, style: bytes) -> bytes:
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in (("content", content), ("style", style))
    )
    return parts + f"--{BOUNDARY}--\r\n".encode()
