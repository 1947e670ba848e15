"""`Impasto`: every route of the API as a method, with typed answers."""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from client.errors import ApiProblem, JobFailed, ServiceUnreachable
from shared.jobs import Job, JobList, JobStatus, Priority
from shared.workers import Worker, WorkerList

DEFAULT_URL = "http://127.0.0.1:8080"
POLL_SECONDS = 0.25
# While jobs are followed, the service may be away this long, s.
PATIENCE_SECONDS = 60.0


def default_url() -> str:
    """`IMPASTO_URL`, or the address of `impasto up` on this machine."""
    return os.environ.get("IMPASTO_URL", DEFAULT_URL)


class Impasto:
    """A connection to the service.

    Every method raises `ServiceUnreachable` when nothing answers, and `ApiProblem` when the service
    refuses.
    """

    def __init__(self, url: str | None = None, *, timeout_seconds: float = 60.0) -> None:
        self.url = (url or default_url()).rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def submit(
        self,
        content: str | Path,
        styles: Iterable[str | Path],
        *,
        metadata: dict[str, Any] | None = None,
        priority: Priority = Priority.NORMAL,
        **params: Any,
    ) -> Job:
        """Post a job: paint the picture `content` in the style of `styles`.

        `params` are fields of `shared.parameters.Parameters`: `preset="neural-style", size=768`.
        """
        with ExitStack() as files:
            parts = [
                (field, (Path(path).name, files.enter_context(Path(path).open("rb"))))
                for field, path in [("content", content), *(("style", style) for style in styles)]
            ]
            form = {
                "params": json.dumps(params),
                "metadata": json.dumps(metadata or {}),
                "priority": priority.value,
            }
            response = self._request("POST", "/v1/jobs", data=form, files=parts)
        return Job.model_validate_json(response.content)

    def job(self, job_id: str) -> Job:
        """How a job is doing."""
        return Job.model_validate_json(self._request("GET", f"/v1/jobs/{job_id}").content)

    def jobs(
        self, statuses: Iterable[JobStatus] = (), limit: int = 20, cursor: str | None = None
    ) -> JobList:
        """A page of jobs, newest first; all statuses when none are named."""
        query: dict[str, Any] = {"limit": limit}
        if cursor is not None:
            query["cursor"] = cursor
        if names := ",".join(statuses):
            query["status"] = names
        return JobList.model_validate_json(self._request("GET", "/v1/jobs", params=query).content)

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job."""
        return Job.model_validate_json(self._request("POST", f"/v1/jobs/{job_id}/cancel").content)

    def result(self, job_id: str) -> bytes:
        """The finished picture, as a file's bytes."""
        return self._request("GET", f"/v1/jobs/{job_id}/result", params={"proxy": True}).content

    def save_result(self, job_id: str, path: str | Path) -> None:
        """Write the finished picture to `path`."""
        Path(path).write_bytes(self.result(job_id))

    def preview(self, job_id: str) -> bytes:
        """The newest preview, as a JPEG's bytes."""
        return self._request("GET", f"/v1/jobs/{job_id}/preview").content

    def manifest(self, job_id: str) -> dict[str, Any]:
        """What reproduces the picture."""
        manifest: dict[str, Any] = self._request("GET", f"/v1/jobs/{job_id}/manifest").json()
        return manifest

    def presets(self) -> list[dict[str, Any]]:
        """The presets, with the value of every parameter."""
        presets: list[dict[str, Any]] = self._request("GET", "/v1/presets").json()["presets"]
        return presets

    def workers(self) -> list[Worker]:
        """The workers that are up."""
        return WorkerList.model_validate_json(self._request("GET", "/v1/workers").content).workers

    def follow(self, job_id: str) -> Iterator[Job]:
        """The job, again and again, until it has ended; a service that is away is waited for."""
        away_since: float | None = None
        while True:
            try:
                job = self.job(job_id)
            except (ServiceUnreachable, ApiProblem) as error:
                if isinstance(error, ApiProblem) and error.status < 500:
                    raise
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_SECONDS:
                    raise
            else:
                away_since = None
                yield job
                if job.status.is_terminal:
                    return
            time.sleep(POLL_SECONDS)

    def wait(self, job_id: str) -> Job:
        """Wait for the end of a job. Raises `JobFailed` when it ends without a picture."""
        *_, job = self.follow(job_id)
        if job.status != JobStatus.SUCCEEDED:
            raise JobFailed(job)
        return job

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise ServiceUnreachable(
                f"no Impasto answers at {self.url} ({error}): start one with `impasto up`,"
                " or give its address with --url or IMPASTO_URL"
            ) from None
        if response.is_error:
            raise _problem(response)
        return response


def _problem(response: httpx.Response) -> ApiProblem:
    with contextlib.suppress(ValueError, KeyError):
        problem = response.json()
        return ApiProblem(response.status_code, problem["code"], problem["detail"])
    return ApiProblem(
        response.status_code, "unknown", f"{response.url} answered {response.status_code}"
    )
