"""Everything that can be asked of the service, each written once for both kinds of client."""

import json
import secrets
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from client.answers import content as as_bytes
from client.answers import nothing, typed
from client.call import Call, Picture, file_name
from client.estimate import size_px
from client.patience import FOR_A_JOB, FOR_AN_ANSWER, ONCE, Patience
from client.session import Session, ask
from shared.catalog import PresetView
from shared.estimates import JobEstimate
from shared.jobs import Job, JobList, JobStatus, LossCurve, Priority
from shared.workers import Worker, WorkerList

LONGEST_WAIT_SECONDS = 60  # that one request may wait for the end of a job


class _Presets(BaseModel):
    presets: list[PresetView]


_job = typed(Job)
_jobs = typed(JobList)
_presets = typed(_Presets)
_workers = typed(WorkerList)
_estimate = typed(JobEstimate)
_losses = typed(LossCurve)
_manifest = typed(dict[str, Any])


async def submit(
    session: Session,
    /,
    content: Picture | None,
    styles: Iterable[Picture] = (),
    *,
    masks: Iterable[Picture] = (),
    init_image: Picture | None = None,
    metadata: dict[str, Any] | None = None,
    priority: Priority = Priority.NORMAL,
    webhook: str | None = None,
    idempotency_key: str | None = None,
    wait_seconds: int = 0,
    **params: Any,
) -> Job:
    """Post a job: paint the picture `content` in the style of `styles`.

    Args:
        content: the photograph, a file's name or bytes; None for a texture (`preset="texture"`).
        styles: the paintings; none for a reconstruction (`preset="reconstruction"`).
        masks: where each style applies, white there and black elsewhere, in their order.
        init_image: what to start from; implies `init="image"`.
        metadata: given back with the job; the names of content and styles, by which the page
            calls the job, are added to it.
        priority: which queue the job waits in.
        webhook: URL that is told of the end.
        idempotency_key: two calls with the same one make one job; a random one by default.
        wait_seconds: answer only when the job has ended, or after so long; at most 60.
        params: fields of `shared.parameters.Parameters`: `preset="neural-style", size=768`.
    """
    paintings = list(styles)
    if init_image is not None:
        params.setdefault("init", "image")
    form = {
        "params": json.dumps(params),
        "metadata": json.dumps({**_names(content, paintings), **(metadata or {})}),
        "priority": Priority(priority).value,
    }
    if webhook is not None:
        form["webhook"] = webhook
    pictures: list[tuple[str, Picture]] = [
        *(("content", picture) for picture in (content,) if picture is not None),
        *(("style", picture) for picture in paintings),
        *(("mask", picture) for picture in masks),
        *(("init", picture) for picture in (init_image,) if picture is not None),
    ]
    return await ask(
        session,
        Call(
            method="POST",
            path="/v1/jobs",
            form=form,
            pictures=tuple(pictures),
            headers=_idempotent(idempotency_key) | _preference(wait_seconds),
            extra_silence_seconds=wait_seconds,
            patience=FOR_A_JOB,
            read=_job,
        ),
    )


async def job(session: Session, /, job_id: str) -> Job:
    """How a job is doing."""
    return await ask(session, status(job_id))


async def jobs(
    session: Session,
    /,
    statuses: Iterable[JobStatus] = (),
    limit: int = 20,
    cursor: str | None = None,
) -> JobList:
    """A page of jobs, newest first; all statuses when none are named."""
    query: dict[str, Any] = {"limit": limit}
    if cursor is not None:
        query["cursor"] = cursor
    if names := ",".join(statuses):
        query["status"] = names
    return await ask(session, Call(method="GET", path="/v1/jobs", query=query, read=_jobs))


async def all_jobs(
    session: Session, /, statuses: Iterable[JobStatus] = (), page_size: int = 100
) -> AsyncGenerator[Job, None]:
    """Every job there is, newest first; each page is asked for when it is needed."""
    wanted = list(statuses)
    cursor: str | None = None
    while True:
        page = await jobs(session, wanted, page_size, cursor)
        for found in page.jobs:
            yield found
        cursor = page.next_cursor
        if cursor is None:
            return


async def cancel(session: Session, /, job_id: str) -> Job:
    """Ask for the end of a job."""
    return await ask(session, Call(method="POST", path=f"{path(job_id)}/cancel", read=_job))


async def retry(
    session: Session, /, job_id: str, *, idempotency_key: str | None = None, wait_seconds: int = 0
) -> Job:
    """A new job like a finished one: the same images, parameters, metadata and webhook."""
    return await ask(
        session,
        Call(
            method="POST",
            path=f"{path(job_id)}/retry",
            headers=_idempotent(idempotency_key) | _preference(wait_seconds),
            extra_silence_seconds=wait_seconds,
            patience=FOR_A_JOB,
            read=_job,
        ),
    )


async def delete(session: Session, /, job_id: str) -> None:
    """Remove a finished job and its files."""
    await ask(session, Call(method="DELETE", path=path(job_id), patience=ONCE, read=nothing))


async def result(session: Session, /, job_id: str) -> bytes:
    """The finished picture, as a file's bytes."""
    return await ask(
        session,
        Call(method="GET", path=f"{path(job_id)}/result", query={"proxy": True}, read=as_bytes),
    )


async def save_result(session: Session, /, job_id: str, path: str | Path) -> None:
    """Write the finished picture to `path`."""
    Path(path).write_bytes(await result(session, job_id))


async def preview(session: Session, /, job_id: str, step: int | None = None) -> bytes:
    """A preview as a JPEG's bytes: of a step in `progress.previews`, or the newest."""
    query = {} if step is None else {"step": step}
    return await ask(
        session, Call(method="GET", path=f"{path(job_id)}/preview", query=query, read=as_bytes)
    )


async def losses(session: Session, /, job_id: str) -> LossCurve:
    """How the losses of a job fell, until its newest preview."""
    return await ask(session, Call(method="GET", path=f"{path(job_id)}/losses", read=_losses))


async def input_image(session: Session, /, job_id: str, sha256: str) -> bytes:
    """An image that a job was made from: one of its `inputs`."""
    where = f"{path(job_id)}/inputs/{quote(sha256, safe='')}"
    return await ask(session, Call(method="GET", path=where, read=as_bytes))


async def manifest(session: Session, /, job_id: str) -> dict[str, Any]:
    """What reproduces the picture."""
    return await ask(session, Call(method="GET", path=f"{path(job_id)}/manifest", read=_manifest))


async def presets(session: Session, /) -> list[PresetView]:
    """The presets: source, the value of every parameter, and which images each needs."""
    return (await ask(session, Call(method="GET", path="/v1/presets", read=_presets))).presets


async def workers(session: Session, /) -> list[Worker]:
    """The workers that are up."""
    return (await ask(session, Call(method="GET", path="/v1/workers", read=_workers))).workers


async def estimate(
    session: Session,
    /,
    content: Picture | tuple[int, int] | None = None,
    styles: Iterable[Picture | tuple[int, int]] = (),
    *,
    masks: int = 0,
    **params: Any,
) -> JobEstimate:
    """What a job would take on the workers that are up: steps, seconds, memory.

    Args:
        content: the photograph, or its width and height in px; nothing of it is sent but these.
        styles: the paintings, likewise.
        masks: how many there are.
        params: as for `submit`.
    """
    asked = {
        "params": params,
        "content": None if content is None else size_px(content),
        "styles": [size_px(style) for style in styles],
        "masks": masks,
    }
    return await ask(session, Call(method="POST", path="/v1/estimate", body=asked, read=_estimate))


def status(job_id: str, patience: Patience = FOR_AN_ANSWER) -> Call[Job]:
    """Asks how a job is doing."""
    return Call(method="GET", path=path(job_id), patience=patience, read=_job)


def path(job_id: str) -> str:
    """Where a job is; an id never leads anywhere else."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _names(content: Picture | None, styles: list[Picture]) -> dict[str, Any]:
    """By which people know a job. What is no file has none."""
    known = [name for name in map(file_name, styles) if name is not None]
    names: dict[str, Any] = {"style_names": known} if len(known) == len(styles) else {}
    if content is not None and (name := file_name(content)) is not None:
        names["content_name"] = name
    return names


def _idempotent(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_urlsafe(24) if key is None else key}


def _preference(wait_seconds: int) -> dict[str, str]:
    if not 0 <= wait_seconds <= LONGEST_WAIT_SECONDS:
        raise ValueError(f"wait_seconds is {wait_seconds}: expected 0 to {LONGEST_WAIT_SECONDS}")
    return {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
