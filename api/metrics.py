"""`GET /metrics`: what Prometheus reads, made at each scrape.

What is about jobs lies in Redis, written there by the scripts that change the records. So every
process of the API gives the same answer, and none has to count anything: over several of them take
the maximum, not the sum. A scrape is two round trips, whatever the number of jobs.

What is about requests (`impasto_http_...`) each API counts for itself, all of its processes
together: over several APIs take the sum. No job and no owner is ever a label.
"""

import os
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import structlog
from flask import Response, request
from flask_openapi3 import OpenAPI, Tag
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from api import processes
from api.answers import media
from api.snapshot import Snapshot
from shared.connections import connect_impatient
from shared.jobs import ErrorCode, JobStatus
from shared.scripts import DURATION_BUCKETS
from shared.settings import Settings

# Kinds of device that are shown even when no worker has one, so that 'none' is a number too.
DEVICE_KINDS = ("cpu", "cuda")
# Polls take milliseconds, uploads seconds, and who waits for the end of a job a minute.
REQUEST_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
log = structlog.get_logger(__name__)


class _Counter(NamedTuple):
    """A counter of Prometheus, and the fields of `names.COUNTERS` that are its samples."""

    name: str
    documentation: str
    fields: dict[tuple[str, ...], str]  # values of the labels -> field
    labels: tuple[str, ...] = ()


def _counter(name: str, field: str, documentation: str) -> _Counter:
    return _Counter(name, documentation, {(): field})


_COUNTERS = (
    _counter("impasto_jobs_created", "created", "Jobs that were accepted."),
    _Counter(
        "impasto_jobs_finished",
        "Jobs that came to their end; code says why they failed.",
        {
            (JobStatus.SUCCEEDED, ""): "succeeded",
            (JobStatus.CANCELED, ""): "canceled",
            **{(JobStatus.FAILED, code): f"failed:{code}" for code in ErrorCode},
        },
        labels=("status", "code"),
    ),
    _counter("impasto_claims", "claims", "Attempts: jobs that a worker took."),
    _counter(
        "impasto_duplicate_claims_refused",
        "busy",
        "Claims of a job that another worker held: executions twice that did not happen.",
    ),
    _counter(
        "impasto_jobs_held_back",
        "held_back",
        "Jobs put off since as many of their owner ran as may.",
    ),
    _counter("impasto_leases_lost", "lost", "Jobs taken from workers that were not heard of."),
    _counter("impasto_jobs_released", "released", "Jobs that a worker gave back unfinished."),
    _counter("impasto_jobs_resumed", "resumed", "Jobs that went on from a checkpoint."),
    _counter("impasto_checkpoints", "checkpoints", "Checkpoints that were stored."),
    _counter("impasto_checkpoint_bytes", "checkpoint_bytes", "Size of all stored checkpoints."),
    _counter(
        "impasto_stale_writes_refused",
        "stale_writes",
        "Writes of workers that no longer held the job: second results that did not happen.",
    ),
    _counter("impasto_messages_republished", "republished", "Messages sent again by workers."),
    _counter(
        "impasto_requests_replayed",
        "replayed",
        "Requests that came again with their Idempotency-Key and made no second job.",
    ),
    _counter("impasto_jobs_restored", "restored", "Jobs that `impasto recover` brought back."),
    _counter("impasto_jobs_deleted", "deleted", "Jobs that somebody deleted."),
    _counter("impasto_jobs_expired", "expired", "Jobs that were kept for their time, and went."),
    _counter("impasto_inputs_removed", "inputs_removed", "Inputs removed that no job used."),
    _Counter(
        "impasto_webhooks",
        "Attempts to deliver a webhook; the last one of those that fail is given_up.",
        {(outcome,): f"webhooks_{outcome}" for outcome in ("delivered", "failed", "given_up")},
        labels=("outcome",),
    ),
)
_HISTOGRAMS = {
    "queue_seconds": "Time from the acceptance of a job to its first claim, s.",
    "run_seconds": "Time from the first claim of a job to its end, s.",
}


class RedisCollector(Collector):
    """Makes all metrics anew at each scrape."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """All metrics, or only that Redis does not answer."""
        try:
            found = Snapshot.read(self._redis)
        except RedisError as error:
            log.warning("metrics without Redis", error=repr(error))
            found = None
        yield _gauge("impasto_redis_up", "Whether Redis answers this API.", found is not None)
        if found is not None:
            yield from self._jobs(found)
            yield from _happened(found)
            yield from _backlogs(found)
            yield from _workers(found)
            yield from _redis(found)

    def _jobs(self, found: Snapshot) -> Iterator[Metric]:
        number = {status: int(found.statuses.get(status, 0)) for status in JobStatus}
        yield _gauges("impasto_jobs", "Jobs that are kept.", "status", number)
        queued = number[JobStatus.QUEUED]
        held_back = max(0, queued - found.backlogs["waiting_jobs"].count)
        yield _gauge(
            "impasto_unfinished_jobs",
            "Jobs that run or could: what the number of workers should follow.",
            queued - held_back + number[JobStatus.RUNNING],
        )
        yield _gauge(
            "impasto_held_back_jobs",
            "Jobs that wait since as many of their owner run as may.",
            held_back,
        )
        yield _gauges("impasto_queue_jobs", "Jobs that wait.", "priority", found.waiting)
        yield _gauges(
            "impasto_queue_oldest_seconds",
            "Time since the oldest of the jobs that wait was accepted, s.",
            "priority",
            found.oldest_seconds,
        )
        yield _gauge(
            "impasto_queue_limit_jobs",
            "Jobs that may wait; beyond it the API takes none.",
            self._settings.max_queued_jobs,
        )


class HttpMetrics:
    """What this process counts of the requests that it answers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        seconds = Histogram(
            "impasto_http_request_seconds",
            "Time until a request was answered, s; streams of events are not among them.",
            ("route", "method", "status"),
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        # Finding the series of a route takes longer than counting in it.
        self._series = cache(lambda *labels: seconds.labels(*labels))
        self.streams = Gauge(
            "impasto_http_streams",
            "Streams of events that are open.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request. The route is the pattern: none may be as many as there are jobs."""
        self._series(route, method, f"{status // 100}xx").observe(seconds)

    def collected(self) -> CollectorRegistry:
        """Where all processes of this API are counted together."""
        if processes.FOLDER not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together


def register(app: OpenAPI, settings: Settings, http: HttpMetrics) -> None:
    """Serve the metrics. Redis is asked at a scrape, not now."""
    registry = CollectorRegistry()
    registry.register(
        RedisCollector(connect_impatient(settings.redis_url.get_secret_value()), settings)
    )

    @app.get(
        "/metrics",
        tags=[Tag(name="service")],
        responses={
            "200": media(
                "As Prometheus reads it, or as OpenMetrics where `Accept` asks for that",
                "text/plain",
                "application/openmetrics-text",
            )
        },
    )
    def metrics() -> Response:
        """Tell Prometheus how the service is."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # The end of a document of OpenMetrics stands once.
        both = CollectorRegistry()
        for part in (registry, http.collected()):
            both.register(_Of(part))
        return Response(encode(both), content_type=content_type)


class _Of(Collector):
    """What a registry has, as a part of another one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()

    def describe(self) -> Iterator[Metric]:
        """Nothing, or it would be collected once more to know the names."""
        yield from ()


def _happened(found: Snapshot) -> Iterator[Metric]:
    """What the scripts have counted."""
    for counter in _COUNTERS:
        family = CounterMetricFamily(counter.name, counter.documentation, labels=counter.labels)
        for labels, field in counter.fields.items():
            family.add_metric(labels, float(found.counters.get(field, 0)))
        yield family
    for name, documentation in _HISTOGRAMS.items():
        bounds = [(str(float(bound)), f"{name}:{bound}") for bound in DURATION_BUCKETS]
        yield HistogramMetricFamily(
            f"impasto_{name}",
            documentation,
            buckets=[
                (bound, float(found.counters.get(field, 0)))
                for bound, field in [*bounds, ("+Inf", f"{name}:count")]
            ],
            sum_value=float(found.counters.get(f"{name}:sum", 0)),
        )


def _backlogs(found: Snapshot) -> Iterator[Metric]:
    """What lies there for workers to look after."""
    rows = found.backlogs
    yield _gauges(
        "impasto_backlog_rows",
        "Rows of a list that workers look after, due or not.",
        "backlog",
        {name: row.count for name, row in rows.items()},
    )
    yield _gauges(
        "impasto_backlog_due_rows",
        "Rows that are due: of leases, jobs whose worker is not heard of.",
        "backlog",
        {name: row.due for name, row in rows.items()},
    )
    yield _gauges(
        "impasto_backlog_overdue_seconds",
        "For how long the first row has been due, s; more than a minute: nobody looks after them.",
        "backlog",
        {name: row.overdue_seconds for name, row in rows.items()},
    )


def _workers(found: Snapshot) -> Iterator[Metric]:
    """The workers that are up, and what they say of themselves."""
    kinds = [worker.device.partition(":")[0] for worker in found.workers]
    yield _gauges(
        "impasto_workers",
        "Workers that are up.",
        "device",
        {kind: kinds.count(kind) for kind in sorted({*DEVICE_KINDS, *kinds})},
    )
    info = InfoMetricFamily("impasto_worker", "What a worker is.", labels=["worker"])
    busy = _per_worker("impasto_worker_busy", "Whether a worker paints.")
    step = _per_worker("impasto_worker_step_seconds", "Time of its present job's steps, s.")
    memory = _per_worker(
        "impasto_worker_memory_bytes", "Memory that it takes of its GPU, else of the machine."
    )
    speed = _per_worker(
        "impasto_worker_flops_per_second",
        "Operations of convolutions a second, as the worker measured them when it was idle.",
        "precision",
    )
    for worker in found.workers:
        facts = worker.model_dump(include={"host", "device", "device_name", "precision", "weights"})
        info.add_metric([worker.name], facts)
        busy.add_metric([worker.name], worker.busy)
        if worker.step_seconds is not None:
            step.add_metric([worker.name], worker.step_seconds)
        if worker.memory_bytes is not None:
            memory.add_metric([worker.name], worker.memory_bytes)
        if worker.speed is not None:
            for precision in ("float32", "bfloat16"):
                seconds = getattr(worker.speed, precision).seconds_per_flop
                if seconds > 0:
                    speed.add_metric([worker.name, precision], 1 / seconds)
    yield from (info, busy, step, memory, speed)


def _redis(found: Snapshot) -> Iterator[Metric]:
    """Whether Redis is set up so that it keeps the jobs, and how full it is."""
    facts = found.redis
    yield _gauge("impasto_redis_memory_used_bytes", "Memory in use.", facts["used_memory"])
    yield _gauge(
        "impasto_redis_memory_max_bytes",
        "Memory that it may use; 0 where no limit is set.",
        facts["maxmemory"],
    )
    yield _gauge(
        "impasto_redis_noeviction",
        "Whether a full Redis refuses writes instead of forgetting jobs.",
        facts["maxmemory_policy"] == "noeviction",
    )
    yield _gauge(
        "impasto_redis_aof_enabled",
        "Whether every write goes to the append-only file.",
        facts["aof_enabled"],
    )
    yield _gauge(
        "impasto_redis_aof_last_write_ok",
        "Whether the last write to the append-only file went well.",
        facts["aof_last_write_status"] == "ok",
    )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _gauges(name: str, documentation: str, label: str, values: Any) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _per_worker(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=["worker", *labels])
