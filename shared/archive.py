"""What S3 knows of each job: what was asked for and how it ended.

Enough to write the record again when Redis has lost it (`impasto recover`).
"""

from shared.jobs import JobEnd, StoredRequest
from shared.storage import ObjectMissing, Storage, end_key, request_key

_JSON = "application/json"


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
        """What was asked for; None if nothing is known of the job."""
        try:
            return StoredRequest.model_validate_json(self._storage.get(request_key(job_id)))
        except ObjectMissing:
            return None

    def end(self, job_id: str) -> JobEnd | None:
        """How it ended; None if it has not, or nobody could say so any more."""
        try:
            return JobEnd.model_validate_json(self._storage.get(end_key(job_id)))
        except ObjectMissing:
            return None
