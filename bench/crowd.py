"""A crowd around the API: workers that report, and clients that follow streams of events.

Each is made in a process of its own (`bench.remote`) and works there in a thread until it is told
to stop.
"""

import selectors
import socket
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shared.connections import connect_impatient
from shared.jobs import Losses, Progress
from shared.messaging import ProgressWriter
from shared.settings import Settings

REPORT_SECONDS = 0.5  # as often as workers do
PARTS = 10  # of the jobs, whose reports do not come all at once
KEPT_SECONDS = 3600
# `eta_seconds` says when a report was written, so that those who read it know how old it is.
FIRST = Progress(
    step=0,
    total_steps=10_000,
    fraction=0.25,
    level=2,
    width_px=362,
    height_px=272,
    losses=Losses(content=1.2, style=3.4, tv=0.1, total=4.7),
    steps_per_second=6.1,
    eta_seconds=0.0,
    previews=list(range(0, 120, 10)),
)


class Painters:
    """Reports the progress of jobs as workers do, without painting."""

    def __init__(self, environment: dict[str, str], job_ids: Sequence[str]) -> None:
        settings = Settings.from_environment(environment)
        self._redis = connect_impatient(settings.result_backend)
        self._job_ids = job_ids
        self._keys = [f"celery-task-meta-{job_id}" for job_id in job_ids]
        self._stop = threading.Event()
        writer = ProgressWriter(settings)
        for job_id in job_ids:
            writer.write(job_id, FIRST)
        # What Celery wrote: it would take too long to write so many again and again by itself.
        self._texts = [str(self._redis.get(key)) for key in self._keys]

    def start(self) -> None:
        """Begin to report."""
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        """Report no more."""
        self._stop.set()
        self._thread.join()
        self._stop.clear()

    def _work(self) -> None:
        step, part, due = 0, 0, time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            if part == 0:
                step += 1
            now = time.monotonic()
            with self._redis.pipeline(transaction=False) as pipe:
                for key, text in list(zip(self._keys, self._texts, strict=True))[part::PARTS]:
                    text = text.replace('"step": 0,', f'"step": {step},', 1)
                    text = text.replace('"eta_seconds": 0.0', f'"eta_seconds": {now}', 1)
                    pipe.set(key, text, ex=KEPT_SECONDS)
                    pipe.publish(key, text)
                pipe.execute()
            part = (part + 1) % PARTS
            due += REPORT_SECONDS / PARTS


@dataclass(frozen=True)
class Followed:
    """What came over all streams."""

    events: int
    seconds: float
    delay_seconds: float  # from the report to the client, median
    delay_p99_seconds: float
    closed: int  # streams that the server ended


class Followers:
    """Follows a stream of events for each path."""

    def __init__(self, port: int, paths: Sequence[str]) -> None:
        self._selector = selectors.DefaultSelector()
        self._streams = []
        for path in paths:
            stream = socket.create_connection(("127.0.0.1", port))
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert stream.recv(65536).startswith(b"HTTP/1.1 200"), path
            self._selector.register(stream, selectors.EVENT_READ)
            self._streams.append(stream)

    def follow(self, seconds: float) -> Followed:
        """Read for so long."""
        delays: list[float] = []
        events = closed = 0
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                stream = key.fileobj
                assert isinstance(stream, socket.socket)
                data = stream.recv(65536)
                now = time.monotonic()
                if not data:
                    self._selector.unregister(stream)
                    closed += 1
                    continue
                events += data.count(b"event: ")
                for told in data.split(b"event: progress")[1:]:
                    _, found, rest = told.partition(b'"eta_seconds":')
                    if found and b"," in rest:
                        delays.append(now - float(rest.split(b",", 1)[0]))
        delays.sort()
        return Followed(
            events=events,
            seconds=seconds,
            delay_seconds=statistics.median(delays) if delays else float("nan"),
            delay_p99_seconds=delays[int(len(delays) * 0.99)] if delays else float("nan"),
            closed=closed,
        )

    def close(self) -> None:
        """Go away."""
        for stream in self._streams:
            stream.close()
