"""schemathesis reads the OpenAPI document and tries whether the API keeps it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from api.examples import BODIES
from shared.jobs import ErrorCode, Job, JobError, LossCurve, StoredOutput
from shared.keys import ApiKeys
from shared.records import JobRecords, Lease
from shared.settings import Settings
from shared.storage import Storage, losses_key, preview_key
from shared.workers import WorkerRegistry
from tests.api.conftest import CONTENT, STYLE, Report
from tests.api.servers import running_api
from tests.shared.test_workers import worker

FILES = {"content": ("content.png", CONTENT), "style": ("style.png", STYLE)}
PREVIEW_STEP = 12
LOSSES = LossCurve(step=[1, 5], content=[2, 1], style=[3, 2], tv=[0, 0], total=[5, 3])
# For a longer search: more examples, and every time another seed.
EXAMPLES = int(os.environ.get("IMPASTO_CONTRACT_EXAMPLES", "4"))
SEED = int(os.environ.get("IMPASTO_CONTRACT_SEED", "6"))
OFTEN = 100_000
MANIFEST = json.dumps(BODIES["manifest"]["value"]).encode()
CONFIGURATION = """\
max-redirects = 0
max-stream-events = 1
request-timeout = 30.0
hooks = "tests.api.contract_hooks"
cache.enabled = false

[dictionaries]
jobs.values = {jobs}
images.values = {images}
steps.values = {steps}

[parameters]
"path.job_id" = {{ dictionary = "jobs", probability = 0.9 }}
"path.sha256" = {{ dictionary = "images", probability = 0.8 }}
"query.step" = {{ dictionary = "steps", probability = 0.5 }}
"""
# It has read the document before; the others come by chance, and are in test_openapi.py.
UNSEEN = {
    "GET /openapi.json 200",
    "GET /v1/jobs/{job_id}/events 204",
    "GET /v1/jobs/{job_id}/result 200",
}
UNKNOWN = "019ab0c3-5d1e-7c3a-9b1f-2f4e6a8c0d11"
Paint = Callable[[str], StoredOutput]


class Client:
    """Somebody with a key."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {secret}"}

    def submit(self) -> Job:
        answer = httpx.post(f"{self.url}/v1/jobs", files=FILES, headers=self.headers)
        assert answer.status_code == 202, answer.text
        return Job.model_validate_json(answer.content)

    def ask(self, method: str, path: str) -> None:
        answer = httpx.request(method, self.url + path, headers=self.headers)
        assert answer.is_success, answer.text


@pytest.fixture
def client(settings: Settings, valkey: redis.Redis, tmp_path: Path) -> Iterator[Client]:
    secret = ApiKeys(valkey, settings).create("somebody")
    environment = {
        "IMPASTO_REQUESTS_PER_MINUTE": str(OFTEN),
        "IMPASTO_JOBS_PER_MINUTE": str(OFTEN),
        "IMPASTO_MAX_UNFINISHED_JOBS": str(OFTEN),
    }
    with running_api(settings, tmp_path / "api.log", **environment) as url:
        yield Client(url, secret)


@pytest.fixture
def jobs(
    client: Client,
    records: JobRecords,
    storage: Storage,
    valkey: redis.Redis,
    settings: Settings,
    paint: Paint,
    report: Report,
) -> list[Job]:
    """Jobs in all states, so that there is something to answer; most have succeeded."""
    queued, running, failed, canceled, deleted, *succeeded = (client.submit() for _ in range(11))
    for job in (running, failed):
        lease = records.claim(job.id, "w1")
        assert isinstance(lease, Lease)
        storage.put(preview_key(job.id, PREVIEW_STEP), CONTENT, "image/jpeg")
        report(job.id, step=PREVIEW_STEP, previews=[PREVIEW_STEP])
        if job is failed:
            records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="the loss became NaN"))
    for job in succeeded:
        storage.put(paint(job.id).manifest_key, MANIFEST, "application/json")
        storage.put(losses_key(job.id), LOSSES.model_dump_json().encode(), "application/json")
    for job in (canceled, deleted):
        client.ask("POST", job.urls.cancel)
    client.ask("DELETE", deleted.urls.delete)
    WorkerRegistry(valkey, settings).announce(worker("w1", job_id=running.id))
    return [*succeeded, queued, running, failed, canceled, deleted]


def test_the_api_answers_as_its_document_says(
    client: Client, jobs: list[Job], tmp_path: Path
) -> None:
    configuration, answers = tmp_path / "schemathesis.toml", tmp_path / "answers"
    images = [jobs[0].inputs.content, *jobs[0].inputs.styles]
    configuration.write_text(
        CONFIGURATION.format(
            jobs=json.dumps([*(job.id for job in jobs), UNKNOWN]),
            images=json.dumps(images),
            steps=[PREVIEW_STEP],
        )
    )
    (header,) = client.headers.items()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
        *("run", f"{client.url}/openapi.json", "--header", ": ".join(header)),
        *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--no-shrink", "--no-color"),
        *("--generation-database", "none", "--continue-on-failure"),
        # What is taken depends on more than a schema can say: on which images go with which
        # parameters, on what became of the job, on other requests with the same key.
        *("--exclude-checks", "positive_data_acceptance"),
    ]
    environment = {**os.environ, "IMPASTO_TEST_ANSWERS": str(answers), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=250)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")

    # It would all be true of an API that refuses everything.
    seen = set(answers.read_text().splitlines())
    assert successes(httpx.get(f"{client.url}/openapi.json").json()) - UNSEEN <= seen


def successes(document: dict[str, Any]) -> set[str]:
    """Method, path and status of every good answer that is described."""
    return {
        f"{method.upper()} {path} {status}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for status in operation["responses"]
        if status.startswith("2") or status in ("302", "303")
    }
