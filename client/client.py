"""`Impasto`: every route of the API as a method, with typed answers."""

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from client.errors import ApiProblem, ClientError, JobFailed, ServiceUnreachable
from client.persistence import persistently
from shared.jobs import Job, JobList, JobStatus, Priority
from shared.workers import Worker, WorkerList

DEFAULT_URL = "http://127.0.0.1:8080"
POLL_SECONDS = 0.25
# While jobs are followed, the service may be away this long, s.
PATIENCE_SECONDS = 60.0

# Nobody took the connection, or there is no such address.
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

T = TypeVar("T")


def default_url() -> str:
    """`IMPASTO_URL`, or the address of `impasto up` on this machine."""
    return os.environ.get("IMPASTO_URL", DEFAULT_URL)


class Impasto:
    """A connection to the service.

    Every method raises `ServiceUnreachable` when nothing answers, and `ApiProblem` when the service
    refuses. Those that make a job try again for a while before they do, and make no second one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: address of the service; `IMPASTO_URL` or that of `impasto up` when None.
            api_key: where keys are required; `IMPASTO_API_KEY` when None.
            timeout_seconds: longest silence of the service.

        Raises:
            ClientError: the key has characters that no key has.
        """
        self.url = (url or default_url()).rstrip("/")
        key = (api_key or os.environ.get("IMPASTO_API_KEY", "")).strip()
        if not key.isascii() or not key.isprintable():
            raise ClientError("the API key has characters that no key has: is it complete?")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def submit(
        self,
        content: str | Path | None,
        styles: Iterable[str | Path] = (),
        *,
        masks: Iterable[str | Path] = (),
        init_image: str | Path | None = None,
        metadata: dict[str, Any] | None = None,
        priority: Priority = Priority.NORMAL,
        webhook: str | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> Job:
        """Post a job: paint the picture `content` in the style of `styles`.

        Args:
            content: the photograph; None for a texture (`preset="texture"`).
            styles: the paintings; none for a reconstruction (`preset="reconstruction"`).
            masks: where each style applies, white there and black elsewhere, in their order.
            init_image: what to start from; implies `init="image"`.
            metadata: given back with the job; the names of content and styles, by which the page
                calls the job, are added to it.
            priority: which queue the job waits in.
            webhook: URL that is told of the end.
            idempotency_key: two calls with the same one make one job; a random one by default.
            params: fields of `shared.parameters.Parameters`: `preset="neural-style", size=768`.
        """
        paintings = list(styles)
        names: dict[str, Any] = {"style_names": [_name(painting) for painting in paintings]}
        if content is not None:
            names["content_name"] = _name(content)
        if init_image is not None:
            params.setdefault("init", "image")
        pictures = [
            *(("content", path) for path in (content,) if path is not None),
            *(("style", path) for path in paintings),
            *(("mask", path) for path in masks),
            *(("init", path) for path in (init_image,) if path is not None),
        ]
        form = {
            "params": json.dumps(params),
            "metadata": json.dumps({**names, **(metadata or {})}),
            "priority": priority.value,
        }
        if webhook is not None:
            form["webhook"] = webhook
        headers = _idempotent(idempotency_key)

        def send() -> httpx.Response:
            with ExitStack() as files:
                parts = [
                    (field, (_name(path), files.enter_context(Path(path).open("rb"))))
                    for field, path in pictures
                ]
                return self._request("POST", "/v1/jobs", data=form, files=parts, headers=headers)

        return _read(Job, persistently(send))

    def job(self, job_id: str) -> Job:
        """How a job is doing."""
        return _read(Job, self._request("GET", _path(job_id)))

    def jobs(
        self, statuses: Iterable[JobStatus] = (), limit: int = 20, cursor: str | None = None
    ) -> JobList:
        """A page of jobs, newest first; all statuses when none are named."""
        query: dict[str, Any] = {"limit": limit}
        if cursor is not None:
            query["cursor"] = cursor
        if names := ",".join(statuses):
            query["status"] = names
        return _read(JobList, self._request("GET", "/v1/jobs", params=query))

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job."""
        return _read(Job, self._request("POST", f"{_path(job_id)}/cancel"))

    def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """A new job like a finished one: the same images, parameters, metadata and webhook."""
        headers = _idempotent(idempotency_key)
        path = f"{_path(job_id)}/retry"
        return _read(Job, persistently(lambda: self._request("POST", path, headers=headers)))

    def delete(self, job_id: str) -> None:
        """Remove a finished job and its files."""
        self._request("DELETE", _path(job_id))

    def result(self, job_id: str) -> bytes:
        """The finished picture, as a file's bytes."""
        return self._request("GET", f"{_path(job_id)}/result", params={"proxy": True}).content

    def save_result(self, job_id: str, path: str | Path) -> None:
        """Write the finished picture to `path`."""
        Path(path).write_bytes(self.result(job_id))

    def preview(self, job_id: str) -> bytes:
        """The newest preview, as a JPEG's bytes."""
        return self._request("GET", f"{_path(job_id)}/preview").content

    def manifest(self, job_id: str) -> dict[str, Any]:
        """What reproduces the picture."""
        return _read(dict[str, Any], self._request("GET", f"{_path(job_id)}/manifest"))

    def presets(self) -> list[dict[str, Any]]:
        """The presets: source, the value of every parameter, and which images each needs."""
        return _read(_Presets, self._request("GET", "/v1/presets")).presets

    def workers(self) -> list[Worker]:
        """The workers that are up."""
        return _read(WorkerList, self._request("GET", "/v1/workers")).workers

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
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise ServiceUnreachable(
                f"no Impasto answers at {self.url} ({error}): start one with `impasto up`,"
                " or give its address with --url or IMPASTO_URL",
                was_sent=not isinstance(error, NEVER_SENT),
            ) from None
        if not response.is_success:
            raise _problem(response)
        return response


class _Presets(BaseModel):
    presets: list[dict[str, Any]]


def _name(path: str | Path) -> str:
    # The names of files are bytes, and not always UTF-8.
    return os.fsencode(Path(path).name).decode(errors="replace")


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _idempotent(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_urlsafe(24) if key is None else key}


def _read(kind: type[T], response: httpx.Response) -> T:
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError:
        raise ApiProblem(
            response.status_code, "unknown", f"{response.url} does not answer as Impasto does"
        ) from None


def _problem(response: httpx.Response) -> ApiProblem:
    code, detail = "unknown", f"{response.url} answered {response.status_code}"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        problem = response.json()
        code, detail = problem["code"], problem["detail"]
    asked = response.headers.get("Retry-After", "")
    return ApiProblem(
        response.status_code,
        code,
        detail,
        retry_after_seconds=float(asked) if re.fullmatch(r"\d{1,4}", asked) else None,
    )
