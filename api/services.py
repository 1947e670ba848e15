"""What the routes work with: the job records, the messages, the progress, the workers and S3."""

from dataclasses import dataclass
from typing import Self, cast

from flask import current_app

from shared.connections import connect_impatient
from shared.messaging import ProgressReader, Publisher
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage
from shared.workers import WorkerRegistry

EXTENSION = "impasto"


@dataclass(frozen=True)
class Services:
    """One of each, shared by all requests of a process."""

    settings: Settings
    records: JobRecords
    progress: ProgressReader
    publisher: Publisher
    storage: Storage
    workers: WorkerRegistry

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Clients that answer or fail within seconds. Nothing is contacted yet."""
        state = connect_impatient(settings.redis_url.get_secret_value())
        results = connect_impatient(settings.result_backend)
        return cls(
            settings=settings,
            records=JobRecords(state, settings),
            progress=ProgressReader(results),
            publisher=Publisher(settings),
            storage=Storage(settings, patient=False),
            workers=WorkerRegistry(state, settings),
        )


def services() -> Services:
    """The services of the application that handles this request."""
    return cast(Services, current_app.extensions[EXTENSION])
