"""What Prometheus is told is what happened."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api.app import create_app
from api.metrics import RedisCollector
from shared import names
from shared.jobs import (
    Checkpoint,
    ErrorCode,
    JobError,
    JobStatus,
    Priority,
    StoredOutput,
)
from shared.outbox import Outbox
from shared.records import JobRecords, Lease
from shared.scripts import FOLDER
from shared.settings import Settings
from shared.workers import WorkerRegistry
from tests.api.conftest import Change, form
from tests.api.servers import serve
from tests.shared.conftest import job_request
from tests.shared.test_workers import worker

LEASE_SECONDS = 0.3
CLOSED = "127.0.0.1:9"
OUTPUT = StoredOutput(
    content_type="image/png",
    width_px=48,
    height_px=32,
    size_bytes=1,
    sha256="ab" * 32,
    result_key="r",
    manifest_key="m",
)
CHECKPOINT = Checkpoint(key="k", sha256="cd" * 32, size_bytes=1000, step=7)


@dataclass(frozen=True)
class Scrape:
    """The answer to one GET /metrics."""

    samples: list[Sample]

    def __getitem__(self, name: str) -> float:
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        """The one sample with this name and these labels."""
        (value,) = [
            sample.value
            for sample in self.samples
            if sample.name == name and sample.labels.items() >= labels.items()
        ]
        return value

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples with this name, by the values of their labels in the order of their names."""
        return {
            tuple(sample.labels.values()): sample.value
            for sample in self.samples
            if sample.name == name
        }


def scrape(api: FlaskClient) -> Scrape:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return Scrape([sample for family in families for sample in family.samples])


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def brief(valkey: redis.Redis, change: Change) -> JobRecords:
    """Records whose leases run out at once."""
    return JobRecords(
        valkey, change(lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.05, max_attempts=2)
    )


def accept(records: JobRecords, **fields: Any) -> str:
    request = job_request(**fields)
    assert records.create(request) is None
    return request.id


def take(records: JobRecords, job_id: str) -> Lease:
    lease = records.claim(job_id, "w")
    assert isinstance(lease, Lease)
    return lease


def test_a_new_installation_has_a_number_for_everything(api: FlaskClient) -> None:
    """So that an alert can tell 'none yet' from 'not measured'."""
    found = scrape(api)
    assert found["impasto_redis_up"] == 1
    assert found.all("impasto_jobs") == {(status.value,): 0 for status in JobStatus}
    assert found.all("impasto_queue_jobs") == {(priority.value,): 0 for priority in Priority}
    assert found.all("impasto_workers") == {("cpu",): 0, ("cuda",): 0}
    assert set(found.all("impasto_jobs_finished_total")) == {
        ("", "succeeded"),
        ("", "canceled"),
        *((code.value, "failed") for code in ErrorCode),
    }
    assert set(found.all("impasto_jobs_finished_total").values()) == {0}
    assert found["impasto_run_seconds_count"] == 0


def test_jobs_are_counted_by_what_became_of_them(api: FlaskClient, records: JobRecords) -> None:
    jobs = [accept(records) for _ in range(6)]
    assert records.succeed(take(records, jobs[0]), OUTPUT)
    failed = JobError(code=ErrorCode.DIVERGED, message="the loss became NaN")
    assert records.fail(take(records, jobs[1]), failed)
    take(records, jobs[2])
    records.cancel(jobs[3])

    found = scrape(api)

    assert found.all("impasto_jobs") == {
        ("queued",): 2,
        ("running",): 1,
        ("succeeded",): 1,
        ("failed",): 1,
        ("canceled",): 1,
    }
    assert found["impasto_unfinished_jobs"] == 3
    assert found["impasto_jobs_created_total"] == 6
    assert found["impasto_claims_total"] == 3
    finished = found.all("impasto_jobs_finished_total")
    assert {labels: number for labels, number in finished.items() if number} == {
        ("", "succeeded"): 1,
        ("diverged", "failed"): 1,
        ("", "canceled"): 1,
    }
    records.delete(jobs[0])
    found = scrape(api)
    assert found.of("impasto_jobs", status="succeeded") == 0
    assert found.of("impasto_jobs_finished_total", status="succeeded") == 1  # it still happened
    assert found["impasto_jobs_deleted_total"] == 1


def test_the_queue_is_shown_by_priority_with_the_age_of_its_oldest_job(
    api: FlaskClient, records: JobRecords, settings: Settings
) -> None:
    accept(records, priority=Priority.HIGH)
    time.sleep(0.4)
    first = accept(records, priority=Priority.LOW)
    accept(records, priority=Priority.LOW)

    found = scrape(api)

    assert found.all("impasto_queue_jobs") == {("high",): 1, ("normal",): 0, ("low",): 2}
    age = found.all("impasto_queue_oldest_seconds")
    assert age["normal",] == 0
    assert 0 < age["low",] <= age["high",] - 0.4
    assert age["high",] < 60
    assert found["impasto_queue_limit_jobs"] == settings.max_queued_jobs

    taken = take(records, first)
    records.release(taken)
    assert scrape(api).of("impasto_queue_oldest_seconds", priority="low") > 0


def test_what_was_done_to_lose_no_job_is_counted(api: FlaskClient, brief: JobRecords) -> None:
    job_id = accept(brief)
    first = take(brief, job_id)
    assert brief.checkpoint(first, CHECKPOINT) == []
    assert brief.claim(job_id, "another") == "busy"
    time.sleep(LEASE_SECONDS + 0.05)

    overdue = scrape(api)
    assert overdue.of("impasto_backlog_due_rows", backlog="leases") == 1
    assert overdue.of("impasto_backlog_overdue_seconds", backlog="leases") > 0

    assert len(brief.take_due(10)) == 1
    second = take(brief, job_id)
    brief.resumed(second, CHECKPOINT.step)
    assert not brief.succeed(first, OUTPUT)
    assert brief.release(second) == JobStatus.QUEUED

    found = scrape(api)
    assert found["impasto_claims_total"] == 2
    assert found["impasto_duplicate_claims_refused_total"] == 1
    assert found["impasto_leases_lost_total"] == 1
    assert found["impasto_messages_republished_total"] == 1
    assert found["impasto_jobs_resumed_total"] == 1
    assert found["impasto_stale_writes_refused_total"] == 1
    assert found["impasto_jobs_released_total"] == 1
    assert found["impasto_checkpoints_total"] == 1
    assert found["impasto_checkpoint_bytes_total"] == 1000


def test_a_job_that_loses_all_its_workers_is_seen_by_its_code(
    api: FlaskClient, brief: JobRecords
) -> None:
    job_id = accept(brief)
    for _ in range(2):
        take(brief, job_id)
        time.sleep(LEASE_SECONDS + 0.05)
    assert brief.claim(job_id, "w") == "exhausted"
    found = scrape(api)
    assert found.of("impasto_jobs_finished_total", status="failed", code="max_attempts") == 1


def test_durations_are_histograms(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis
) -> None:
    waited, ran = accept(records), accept(records)
    hour = 3600
    valkey.hincrbyfloat(names.record(waited), "created_at", -hour - 10)
    lease = take(records, waited)
    other = take(records, ran)
    valkey.hincrbyfloat(names.record(ran), "started_at", -100)
    records.succeed(lease, OUTPUT)
    records.succeed(other, OUTPUT)

    found = scrape(api)

    for name in ("queue_seconds", "run_seconds"):
        buckets = list(found.all(f"impasto_{name}_bucket").items())
        assert [float(bound) for (bound,), _ in buckets] == sorted(
            float(bound) for (bound,), _ in buckets
        )
        numbers = [number for _, number in buckets]
        assert numbers == sorted(numbers)
        assert buckets[-1] == (("+Inf",), 2)
        assert found[f"impasto_{name}_count"] == 2
    assert found.of("impasto_queue_seconds_bucket", le="3600.0") == 1
    assert found.of("impasto_queue_seconds_bucket", le="14400.0") == 2
    assert hour < found["impasto_queue_seconds_sum"] < hour + 60
    assert found.of("impasto_run_seconds_bucket", le="60.0") == 1
    assert found.of("impasto_run_seconds_bucket", le="300.0") == 2


def test_every_bucket_that_a_job_can_fall_into_is_shown(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis
) -> None:
    """A job that waited for no time is in all buckets."""
    take(records, accept(records))
    written = {
        float(field.partition(":")[2])
        for field in valkey.hkeys(names.COUNTERS)
        if re.fullmatch(r"queue_seconds:\d+", field)
    }
    shown = {float(bound) for (bound,) in scrape(api).all("impasto_queue_seconds_bucket")}
    assert shown == {*written, float("inf")}


def test_everything_that_the_scripts_count_is_shown(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis
) -> None:
    counted = {
        name
        for path in FOLDER.glob("*.lua")
        for name in re.findall(r"\bcount\('(\w+)'", path.read_text())
    }
    assert len(counted) > 15
    fields = counted | {"succeeded", "canceled"} | {f"failed:{code}" for code in ErrorCode}
    numbers = {field: 1000 + index for index, field in enumerate(sorted(fields))}
    valkey.hset(names.COUNTERS, mapping=numbers)
    shown = {sample.value for sample in scrape(api).samples if sample.name.endswith("_total")}
    assert [field for field, number in numbers.items() if number not in shown] == []


def test_webhooks_and_what_is_to_be_removed_are_shown(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis
) -> None:
    job_id = accept(records, webhook="https://example.org/")
    records.succeed(take(records, job_id), OUTPUT)
    valkey.zadd(names.GARBAGE, {"jobs/old/": time.time() - 500})

    before = scrape(api)

    assert before.all("impasto_backlog_rows") == {
        ("leases",): 0,
        ("waiting_jobs",): 0,
        ("webhooks",): 1,
        ("finished_jobs",): 1,
        ("garbage",): 2,  # and the checkpoints of the job
    }
    due = before.all("impasto_backlog_due_rows")
    assert (due["webhooks",], due["garbage",]) == (1, 2)
    assert due["finished_jobs",] == 0  # kept for a while
    assert 490 < before.of("impasto_backlog_overdue_seconds", backlog="garbage") < 600
    assert before.of("impasto_backlog_overdue_seconds", backlog="finished_jobs") == 0

    outbox = Outbox(valkey, records)
    (record,) = outbox.take(5)
    outbox.delivered(record.id, 1)
    after = scrape(api)
    assert after.of("impasto_backlog_rows", backlog="webhooks") == 0
    assert after.all("impasto_webhooks_total") == {
        ("delivered",): 1,
        ("failed",): 0,
        ("given_up",): 0,
    }


def test_workers_are_shown_with_what_they_do(
    api: FlaskClient, valkey: redis.Redis, settings: Settings
) -> None:
    registry = WorkerRegistry(valkey, settings)
    registry.announce(worker("idle"))
    registry.announce(
        worker("busy", job_id="01a2015f-5161-725d-9a81-199bd9d00454").model_copy(
            update={
                "busy": True,
                "device": "cuda:1",
                "speed": None,
                "step_seconds": 0.25,
                "memory_bytes": 3 * 2**30,
            }
        )
    )

    found = scrape(api)

    assert found.all("impasto_workers") == {("cpu",): 1, ("cuda",): 1}
    assert found.all("impasto_worker_busy") == {("idle",): 0, ("busy",): 1}
    assert found.all("impasto_worker_step_seconds") == {("busy",): 0.25}
    assert found.all("impasto_worker_memory_bytes") == {("busy",): 3 * 2**30}
    assert found.of("impasto_worker_info", worker="busy", device="cuda:1") == 1
    speed = {
        sample.labels["precision"]: sample.value
        for sample in found.samples
        if sample.name == "impasto_worker_flops_per_second"
    }
    assert speed == {"float32": pytest.approx(1e11), "bfloat16": pytest.approx(2e11)}

    registry.withdraw(worker("idle"))
    assert scrape(api).of("impasto_workers", device="cpu") == 0


def test_the_setup_of_redis_is_shown(api: FlaskClient, valkey: redis.Redis) -> None:
    found = scrape(api)
    assert found["impasto_redis_noeviction"] == 1
    assert found["impasto_redis_aof_enabled"] == 1
    assert found["impasto_redis_aof_last_write_ok"] == 1
    assert found["impasto_redis_memory_used_bytes"] > 100_000
    assert found["impasto_redis_memory_max_bytes"] == 0
    before = valkey.config_get("maxmemory*")
    try:
        valkey.config_set("maxmemory-policy", "allkeys-lru")
        valkey.config_set("maxmemory", 2**30)
        found = scrape(api)
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            valkey.config_set(name, before[name])
    assert found["impasto_redis_noeviction"] == 0
    assert found["impasto_redis_memory_max_bytes"] == 2**30


def test_no_job_and_no_owner_is_a_label(
    api: FlaskClient, records: JobRecords, valkey: redis.Redis, settings: Settings
) -> None:
    job_id = accept(records, owner="a-customer", webhook="https://example.org/secret")
    records.succeed(take(records, job_id), OUTPUT)
    running = accept(records, owner="a-customer")
    take(records, running)
    WorkerRegistry(valkey, settings).announce(worker("w", job_id=running))
    text = api.get("/metrics").text
    for secret in (job_id, running, "a-customer", "example.org"):
        assert secret not in text


def test_openmetrics_is_spoken_to_those_who_ask_for_it(
    api: FlaskClient, records: JobRecords
) -> None:
    take(records, accept(records))
    answer = api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text")
    families = list(openmetrics.text_string_to_metric_families(answer.text))
    assert {"impasto_jobs", "impasto_claims", "impasto_queue_seconds"} <= {
        family.name for family in families
    }


@pytest.mark.parametrize("answers", [False, True])
def test_without_redis_the_metrics_say_just_that_in_time(
    change: Change, silent_server: str, answers: bool
) -> None:
    address = silent_server if answers else CLOSED
    api = create_app(change(redis_url=f"redis://{address}/0")).test_client()
    started = time.monotonic()
    found = scrape(api)
    assert time.monotonic() - started < (4.0 if answers else 3.0)
    about_jobs = [sample for sample in found.samples if "_http_" not in sample.name]
    assert [(sample.name, sample.value) for sample in about_jobs] == [("impasto_redis_up", 0)]


class CountingConnection(redis.Connection):
    """Counts what is sent at once, and so how often an answer is waited for."""

    trips = 0

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        type(self).trips += 1
        super().send_packed_command(command, check_health)


def test_a_scrape_is_two_round_trips_whatever_the_number_of_jobs(
    valkey: redis.Redis, change: Change
) -> None:
    settings = change(max_queued_jobs=20_000, max_unfinished_jobs=20_000)
    pool = redis.ConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        connection_class=CountingConnection,
        decode_responses=True,
    )
    with redis.Redis.from_pool(pool) as client:
        client.ping()
        collector = RedisCollector(client, settings)

        def collect() -> tuple[dict[str, Metric], int, int]:
            sent = valkey.info("stats")["total_net_output_bytes"]
            CountingConnection.trips = 0
            metrics = {metric.name: metric for metric in collector.collect()}
            trips = CountingConnection.trips
            return metrics, trips, valkey.info("stats")["total_net_output_bytes"] - sent

        _, few_trips, few_bytes = collect()
        records = JobRecords(valkey, settings)
        for _ in range(10_000):
            accept(records)
        metrics, many_trips, many_bytes = collect()

    assert metrics["impasto_unfinished_jobs"].samples[0].value == 10_000
    assert few_trips == many_trips == 2
    assert many_bytes - few_bytes < 500


# -- requests -----------------------------------------------------------------------------------

COUNT = "impasto_http_request_seconds_count"


def test_requests_are_counted_by_route_and_not_by_job(change: Change, valkey: redis.Redis) -> None:
    api = create_app(change()).test_client()
    for n in range(3):
        api.get(f"/v1/jobs/{n}")
    api.get("/v1/jobs")
    api.get("/etc/passwd")
    api.open("/v1/jobs", method="BREW")
    found = scrape(api)
    assert found.all(COUNT) == {
        ("GET", "/v1/jobs/<job_id>", "4xx"): 3,
        ("GET", "/v1/jobs", "2xx"): 1,
        ("GET", "", "4xx"): 1,
        ("other", "", "4xx"): 1,
    }
    labels = {"route": "/v1/jobs", "method": "GET", "status": "2xx"}
    assert found.of("impasto_http_request_seconds_bucket", **labels, le="+Inf") == 1
    assert 0 < found.of("impasto_http_request_seconds_sum", **labels) < 30


def test_streams_that_are_open_are_counted_and_requests_do_not_wait_for_them(
    change: Change, valkey: redis.Redis
) -> None:
    service = create_app(change())
    api = service.test_client()
    job_id = api.post("/v1/jobs", **form()).get_json()["id"]
    assert scrape(api)["impasto_http_streams"] == 0
    stream = api.get(f"/v1/jobs/{job_id}/events")
    next(stream.iter_encoded())
    assert scrape(api)["impasto_http_streams"] == 1
    stream.close()
    found = scrape(api)
    assert found["impasto_http_streams"] == 0
    assert ("GET", "/v1/jobs/<job_id>/events", "2xx") not in found.all(COUNT)


def test_all_processes_of_an_api_count_together(
    settings: Settings, valkey: redis.Redis, tmp_path: Path
) -> None:
    def asked(url: str) -> Scrape:
        answer = httpx.get(f"{url}/metrics")
        families = text_string_to_metric_families(answer.raise_for_status().text)
        return Scrape([sample for family in families for sample in family.samples])

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"IMPASTO_API_PROCESSES": "2", "TMPDIR": str(temporary)}
    with serve(settings, tmp_path / "log", **environment) as served:
        for _ in range(40):
            httpx.get(f"{served.url}/v1/jobs")
        labels = {"route": "/v1/jobs", "method": "GET", "status": "2xx"}
        for _ in range(8):  # whichever of them answers
            found = asked(served.url)
            assert found.of(COUNT, **labels) == 40
            assert found["impasto_redis_up"] == 1
        parent = served.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGKILL)
        assert asked(served.url).of(COUNT, **labels) == 40  # what it counted is not forgotten
        assert len(list(temporary.glob("impasto-metrics-*"))) == 1
    assert not list(temporary.glob("impasto-metrics-*"))
