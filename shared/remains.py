"""What S3 still has of a job whose record is lost."""

import hashlib
import re
import threading
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from shared.archive import Archive
from shared.jobs import (
    Checkpoint,
    JobEnd,
    JobStatus,
    Output,
    StoredOutput,
    StoredRequest,
    Timestamp,
)
from shared.records import CHECKPOINTS_KEPT
from shared.storage import ObjectMissing, Storage, StorageCorrupt, job_prefix, manifest_key

RESULTS_AT_ONCE = 2  # that are in memory, whatever the number of threads
_RESULT = re.compile(r"(?P<lease>(?P<fence>\d+)-\w+)/result\.\w+")
_CHECKPOINT = re.compile(
    r"checkpoints/(?P<fence>\d+)-\w+-(?P<step>\d+)-(?P<sha256>[0-9a-f]{64})\.pt"
)


class _Manifest(BaseModel):
    """What is needed of a manifest here; workers write all of it."""

    created_at: Timestamp
    output: Output


@dataclass(frozen=True)
class Remains:
    """What was asked for, how it ended, and if it has not, from where it goes on."""

    request: StoredRequest
    end: JobEnd | None
    checkpoints: list[Checkpoint]  # newest first


class RemainsReader:
    """Reads them. Many threads may do so at once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._archive = Archive(storage)
        self._results = threading.Semaphore(RESULTS_AT_ONCE)

    def read(self, job_id: str) -> Remains | None:
        """What there is of a job; None if nobody knows any more what was asked for.

        Raises:
            StorageCorrupt: what was asked for cannot be read.
        """
        request = self._archive.request(job_id)
        if request is None:
            return None
        try:
            end = self._archive.end(job_id)
        except StorageCorrupt:
            end = None
        if end is not None and end.status.is_terminal:
            return Remains(request, end, [])
        keys = list(self._storage.keys(job_prefix(job_id)))
        end = self._end_from_result(job_id, keys)
        return Remains(request, end, [] if end else self._checkpoints(job_id, keys))

    def _end_from_result(self, job_id: str, keys: list[str]) -> JobEnd | None:
        """The end that a worker was about to tell when Redis, or the worker, was lost."""
        found = _matches(_RESULT, job_id, keys)
        for match, key in sorted(found, key=lambda each: int(each[0]["fence"]), reverse=True):
            if end := self._whole(key, manifest_key(job_id, match["lease"])):
                return end
        return None

    def _whole(self, result: str, manifest: str) -> JobEnd | None:
        """A success with this result, if it is what its manifest says."""
        try:
            written = _Manifest.model_validate_json(self._storage.get(manifest))
            with self._results:
                sha256 = hashlib.sha256(self._storage.get(result)).hexdigest()
        except (ObjectMissing, ValidationError):
            return None
        if sha256 != written.output.sha256:
            return None
        return JobEnd(
            status=JobStatus.SUCCEEDED,
            finished_at=written.created_at,
            output=StoredOutput(**dict(written.output), result_key=result, manifest_key=manifest),
            error=None,
        )

    def _checkpoints(self, job_id: str, keys: list[str]) -> list[Checkpoint]:
        """The newest ones. Whether they are sound is seen by the worker that goes on from them."""
        found = _matches(_CHECKPOINT, job_id, keys)
        found.sort(key=lambda each: (int(each[0]["fence"]), int(each[0]["step"])), reverse=True)
        checkpoints = []
        for match, key in found[:CHECKPOINTS_KEPT]:
            size_bytes = self._storage.size_bytes(key)
            if size_bytes is not None:  # else a worker that still runs has replaced it
                checkpoint = Checkpoint(
                    key=key,
                    sha256=match["sha256"],
                    size_bytes=size_bytes,
                    step=int(match["step"]),
                )
                checkpoints.append(checkpoint)
        return checkpoints


def _matches(
    pattern: re.Pattern[str], job_id: str, keys: list[str]
) -> list[tuple[re.Match[str], str]]:
    prefix = job_prefix(job_id)
    return [(match, key) for key in keys if (match := pattern.fullmatch(key.removeprefix(prefix)))]
