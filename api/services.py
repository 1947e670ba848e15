"""What the routes work with: job records, messages, progress, workers, S3 and what it holds."""

from dataclasses import dataclass
from typing import Self, cast

from flask import current_app

from api.afterwards import Afterwards
from api.display import Display
from api.watching import Watching
from shared.archive import Archive
from shared.connections import connect_impatient
from shared.garbage import Garbage
from shared.idempotency import IdempotencyKeys
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
    idempotency: IdempotencyKeys
    garbage: Garbage
    publisher: Publisher
    storage: Storage
    archive: Archive
    workers: WorkerRegistry
    afterwards: Afterwards
    display: Display
    watching: Watching

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Clients that answer or fail within seconds. Nothing is contacted yet."""
        state = connect_impatient(settings.redis_url.get_secret_value())
        shares = settings.result_backend == settings.redis_url.get_secret_value()
        results = state if shares else connect_impatient(settings.result_backend)
        storage = Storage(settings, patient=False)
        records = JobRecords(state, settings)
        display = Display(state, ProgressReader(results))
        return cls(
            settings=settings,
            records=records,
            idempotency=IdempotencyKeys(state),
            garbage=Garbage(state, settings),
            publisher=Publisher(settings),
            storage=storage,
            archive=Archive(storage),
            workers=WorkerRegistry(state, settings),
            afterwards=Afterwards(),
            display=display,
            watching=Watching(records, display, settings),
        )


def services() -> Services:
    """The services of the application that handles this request."""
    return cast(Services, current_app.extensions[EXTENSION])
