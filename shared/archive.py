"""What S3 knows of each job: what was asked for and how it ended.

Enough to write the record again when Redis has lost it (`impasto recover`).
"""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.jobs import JobEnd, StoredRequest
from shared.storage import ObjectMissing, Storage, StorageCorrupt, end_key, request_key

_JSON = "application/json"
Document = TypeVar("Document", bound=BaseModel)


class Archive:
    """Writes and reads it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def write_request(self, request: StoredRequest) -> None:
        """Keep what was asked for. Before there is a record, so that no record is without it."""
        key = request_key(request.id)
        self._storage.put(key, request.model_dump_json().encode(), _JSON)

    def write_end(self, job_id: str, end: JobEnd) -> None:
        """Keep how it ended. After the record says so: that is the truth."""
        self._storage.put(end_key(job_id), end.model_dump_json().encode(), _JSON)

    def request(self, job_id: str) -> StoredRequest | None:
        """What was asked for; None if nothing is known of the job.

        Raises:
            StorageCorrupt: what lies there is no such thing.
        """
        request = self._read(request_key(job_id), StoredRequest)
        if request is not None and request.id != job_id:
            raise StorageCorrupt(f"{request_key(job_id)} is that of job {request.id}")
        return request

    def end(self, job_id: str) -> JobEnd | None:
        """How it ended; None if it has not, or nobody could say so any more.

        Raises:
            StorageCorrupt: what lies there is no such thing.
        """
        return self._read(end_key(job_id), JobEnd)

    def _read(self, key: str, kind: type[Document]) -> Document | None:
        try:
            return kind.model_validate_json(self._storage.get(key))
        except ObjectMissing:
            return None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise StorageCorrupt(f"{key}: {where or 'JSON'}: {fault['msg']}") from None
