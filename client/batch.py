"""Painting many pictures in the same styles, some at a time.

A job's idempotency key is made from its bytes and parameters: whoever starts the same batch again,
after Ctrl-C or a crash, meets the jobs that were accepted before, and waits for them.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from client.call import file_name
from client.client import AsyncImpasto
from client.errors import ApiProblem, ServiceUnreachable
from client.folder import Pair
from client.patience import TOO_MANY_JOBS
from shared.jobs import Job, JobStatus, Priority

ROOM_SECONDS = 5.0  # between two questions whether there is room for one more job
# What would meet every other picture as well: wrong keys, or a service that is away.
EVERYBODYS = frozenset({401, 403, 429, 502, 503, 504})
GONE = 410


@dataclass(frozen=True)
class Recipe:
    """What all pictures of a batch have in common."""

    styles: tuple[Path, ...]
    params: dict[str, Any]
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True)
class Outcome:
    """What became of a picture."""

    pair: Pair
    job_id: str | None = None
    error: str | None = None


class Watcher(Protocol):
    """Is told how the pictures are doing."""

    def begin(self, name: str) -> None:
        """It is this one's turn."""

    def say(self, name: str, text: str) -> None:
        """What keeps it from making steps."""

    def show(self, name: str, job: Job) -> None:
        """How its job is doing."""

    def end(self, outcome: Outcome) -> None:
        """It is painted, or not."""


class Batch:
    """Paints pictures, and adds each to `outcomes`, which is there even if it is cut short."""

    def __init__(
        self,
        impasto: AsyncImpasto,
        recipe: Recipe,
        watcher: Watcher,
        outcomes: list[Outcome],
        *,
        sidecars: bool = False,
    ) -> None:
        self._impasto = impasto
        self._recipe = recipe
        self._watcher = watcher
        self._sidecars = sidecars
        self._styles = [style.read_bytes() for style in recipe.styles]
        self._outcomes = outcomes

    async def paint(self, pairs: Sequence[Pair], *, at_a_time: int) -> None:
        """Paint all of them.

        Raises:
            ClientError: the service is away or lets nobody in, so that no picture can be painted.
        """
        remaining = iter(pairs)

        async def paint_some() -> None:
            for pair in remaining:
                await self._paint(pair)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_a_time):
                    group.create_task(paint_some())
        except ExceptionGroup as errors:
            # Those that fail together say the same.
            raise errors.exceptions[0] from None

    async def _paint(self, pair: Pair) -> None:
        self._watcher.begin(pair.name)
        job_id: str | None = None
        error: str | None = None
        try:
            job_id = (await self._accepted(pair)).id
            async for job in self._impasto.follow(job_id):
                self._watcher.show(pair.name, job)
            if job.status == JobStatus.SUCCEEDED:
                await self._save(pair, job)
            else:
                error = _reason(job)
        except OSError as fault:
            error = f"{fault.filename}: {fault.strerror}"
        except ServiceUnreachable:
            raise
        except ApiProblem as problem:
            if problem.status in EVERYBODYS:
                raise
            error = str(problem)
        outcome = Outcome(pair, job_id, error)
        self._outcomes.append(outcome)
        self._watcher.end(outcome)

    async def _accepted(self, pair: Pair) -> Job:
        """The job of a picture: the one of an earlier batch, unless that has no picture."""
        content = pair.picture.read_bytes()
        names = {
            "content_name": file_name(pair.picture),
            "style_names": [file_name(style) for style in self._recipe.styles],
        }
        key = self._key(content, names)

        submit = partial(
            self._impasto.submit,
            content,
            self._styles,
            metadata=names,
            priority=self._recipe.priority,
            **self._recipe.params,
        )
        job: Job | None = None
        while job is None:
            try:
                job = await self._with_room(pair, partial(submit, idempotency_key=key))
            except ApiProblem as problem:
                if problem.status != GONE:
                    raise
                key = f"{key}+"  # it was deleted since: this is the next one
        while job.status in (JobStatus.FAILED, JobStatus.CANCELED):
            again = partial(self._impasto.retry, job.id, idempotency_key=f"{key} {job.id}")
            job = await self._with_room(pair, again)
        return job

    async def _with_room(self, pair: Pair, make_job: Callable[[], Awaitable[Job]]) -> Job:
        """What `make_job` returns, once one may have another job."""
        while True:
            try:
                return await make_job()
            except ApiProblem as problem:
                if problem.code != TOO_MANY_JOBS:
                    raise
                self._watcher.say(pair.name, "waiting: there are as many jobs as there may be")
                await asyncio.sleep(max(problem.retry_after_seconds or 0.0, ROOM_SECONDS))

    async def _save(self, pair: Pair, job: Job) -> None:
        data = await self._impasto.result(job.id)
        pair.painting.parent.mkdir(parents=True, exist_ok=True)
        if self._sidecars:
            manifest = await self._impasto.manifest(job.id)
            _write(pair.sidecar, json.dumps(manifest, indent=2).encode() + b"\n")
        _write(pair.painting, data)

    def _key(self, content: bytes, names: dict[str, Any]) -> str:
        """The same for the same request, and for no other."""
        images = [hashlib.sha256(image).hexdigest() for image in (content, *self._styles)]
        asked = [images, names, self._recipe.params, self._recipe.priority]
        return f"batch {hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()}"


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: what is there counts as done."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _reason(job: Job) -> str:
    return f"{job.error.message} ({job.error.code})" if job.error else f"the job was {job.status}"
