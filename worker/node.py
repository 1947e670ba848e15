"""One worker process: its device, its network, and its connections."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from celery import Celery

from shared.connections import connect_impatient, connect_patient
from shared.cores import Cores
from shared.estimates import Speed
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage
from shared.workers import Worker, WorkerRegistry
from worker.engine import VGG19, Weights, measure_speed
from worker.engine.memory import release_memory
from worker.heartbeat import Heartbeat
from worker.reconciler import Reconciler
from worker.speedometer import Speedometer
from worker.threads import Threads

SAID = {"name", "host", "pid", "device", "precision", "weights", "weights_sha256"}
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Node:
    """What a job needs to run here. Made once per process; VGG-19 stays loaded."""

    name: str
    settings: Settings
    network: VGG19
    records: JobRecords  # outlasts a restart of Redis
    asking: JobRecords  # answers or gives up at once, since a step waits
    storage: Storage
    heartbeat: Heartbeat
    threads: Threads
    speedometer: Speedometer

    @classmethod
    def start(cls, app: Celery, name: str, settings: Settings, weights: Weights) -> "Node":
        """Bring the network onto the device, connect, and announce the worker."""
        network = VGG19(weights, settings.device, target_cache_bytes=settings.target_cache_bytes)
        url = settings.redis_url.get_secret_value()
        redis = connect_patient(url)
        records = JobRecords(redis, settings)
        asking = JobRecords(connect_impatient(url), settings)
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
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            job_id=None,
        )
        heartbeat = Heartbeat(
            worker,
            records,
            registry,
            Reconciler(redis, records, app, settings.reconcile_interval_seconds),
            settings,
        )
        threads = Threads(settings, cores, registry)

        def measure(look: Callable[[], None]) -> Speed:
            try:
                # On a network of its own, which goes with the weights that no job here uses
                return measure_speed(VGG19(weights, settings.device), look)
            finally:
                release_memory(network.device)

        def tell(speed: Speed) -> None:
            heartbeat.tell(speed=speed, device_name=network.device_name)

        heartbeat.start()
        threads.take()
        heartbeat.tell(device_name=network.device_name)
        speedometer = Speedometer(threads, measure, tell, settings.heartbeat_seconds)
        speedometer.start()
        log.info("worker is up", device_name=network.device_name, **worker.model_dump(include=SAID))
        return cls(
            name=name,
            settings=settings,
            network=network,
            records=records,
            asking=asking,
            storage=Storage(settings),
            heartbeat=heartbeat,
            threads=threads,
            speedometer=speedometer,
        )

    def stop(self) -> None:
        """Withdraw the worker."""
        self.speedometer.stop()
        self.heartbeat.stop()
