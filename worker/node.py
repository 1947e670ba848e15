"""One worker process: its device, its network, and its connections."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from shared.archive import Archive
from shared.connections import connect_patient
from shared.cores import Cores
from shared.estimates import Speed
from shared.garbage import Garbage
from shared.messaging import ProgressWriter, Publisher
from shared.outbox import Outbox
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage
from shared.workers import Worker, WorkerRegistry
from worker.engine import VGG19, Weights, measure_speed
from worker.engine.memory import available_bytes, release_memory, taken_bytes
from worker.heartbeat import Heartbeat
from worker.postman import Postman
from worker.reconciler import Reconciler
from worker.rounds import Round
from worker.speedometer import Speedometer
from worker.sweeper import Sweeper
from worker.threads import Threads
from worker.turns import LOOKS

POST_SECONDS = 1.0  # how often it is looked for webhooks that are due
SAID = {"name", "host", "pid", "device", "precision", "weights", "weights_sha256"}
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Node:
    """What a job needs to run here. Made once per process; VGG-19 stays loaded."""

    name: str
    settings: Settings
    network: VGG19
    records: JobRecords
    progress: ProgressWriter
    publisher: Publisher
    storage: Storage
    quick_storage: Storage  # the same, but quick to give up
    archive: Archive
    heartbeat: Heartbeat
    rounds: tuple[Round, ...]
    threads: Threads
    speedometer: Speedometer

    @classmethod
    def start(cls, name: str, settings: Settings, weights: Weights) -> "Node":
        """Bring the network onto the device, connect, and announce the worker."""
        network = VGG19(weights, settings.device, target_cache_bytes=settings.target_cache_bytes)
        url = settings.redis_url.get_secret_value()
        redis = connect_patient(url)
        records = JobRecords(redis, settings)
        storage = Storage(settings)
        publisher = Publisher(settings)
        registry = WorkerRegistry(redis, settings)
        cores = Cores.usable()
        worker = Worker(
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=str(network.device),
            device_name=network.device_name,
            precision=network.precision("auto"),
            weights=weights.name,
            weights_sha256=weights.sha256,
            cores=cores.pool,
            speed=None,
            available_bytes=available_bytes(network.device),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            job_id=None,
        )
        heartbeat = Heartbeat(
            worker,
            records,
            registry,
            settings,
            memory_bytes=lambda: taken_bytes(network.device),
        )
        reconciler = Reconciler(redis, records, publisher, settings.reconcile_interval_seconds)
        postman = Postman(Outbox(redis, records), settings)
        garbage = Garbage(redis, settings)
        # Quick to give up: a removal has to end before somebody else may begin it
        quick_storage = Storage(settings, patient=False)
        sweeper = Sweeper(redis, garbage, quick_storage, settings.sweep_interval_seconds)
        rounds = (
            Round("sweeper", sweeper.run_if_due, sweeper.interval_seconds / LOOKS),
            Round("reconciler", reconciler.run_if_due, reconciler.interval_seconds / LOOKS),
            Round("postman", postman.run, POST_SECONDS),
        )
        threads = Threads(settings, cores, registry)

        def measure(look: Callable[[], None]) -> Speed:
            try:
                # On a network of its own, which goes with the weights that no job here uses
                return measure_speed(VGG19(weights, settings.device), look)
            finally:
                release_memory(network.device)

        def tell(speed: Speed) -> None:
            heartbeat.tell(
                speed=speed,
                device_name=network.device_name,
                available_bytes=available_bytes(network.device),
            )

        heartbeat.start()
        threads.take()
        heartbeat.tell(device_name=network.device_name)
        speedometer = Speedometer(threads, measure, tell, settings.heartbeat_seconds)
        speedometer.start()
        for each in rounds:
            each.start()
        log.info("worker is up", device_name=network.device_name, **worker.model_dump(include=SAID))
        return cls(
            name=name,
            settings=settings,
            network=network,
            records=records,
            progress=ProgressWriter(settings),
            publisher=publisher,
            storage=storage,
            quick_storage=quick_storage,
            archive=Archive(storage),
            heartbeat=heartbeat,
            rounds=rounds,
            threads=threads,
            speedometer=speedometer,
        )

    def stop(self) -> None:
        """Withdraw the worker."""
        self.speedometer.stop()
        for each in self.rounds:
            each.stop()
        self.heartbeat.stop()
