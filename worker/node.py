"""One worker process: its device, its network, and its connections."""

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
import torch
from celery import Celery

from shared.records import JobRecords, connect_impatient, connect_patient
from shared.settings import Settings
from shared.storage import Storage
from shared.workers import Worker, WorkerRegistry
from worker.engine import VGG19, load_weights, measure_speed
from worker.heartbeat import Heartbeat
from worker.reconciler import Reconciler

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

    @classmethod
    def start(cls, app: Celery, name: str, settings: Settings) -> "Node":
        """Load the network onto the device, connect, and announce the worker."""
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        weights = load_weights(settings.weights)
        network = VGG19(weights, settings.device)
        url = settings.redis_url.get_secret_value()
        redis = connect_patient(url)
        records = JobRecords(redis, settings)
        asking = JobRecords(connect_impatient(url), settings)
        worker = Worker(
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=str(network.device),
            device_name=network.device_name,
            precision=network.precision("auto"),
            weights=weights.name,
            weights_sha256=weights.sha256,
            # On a network of its own, which goes with the weights that no job here uses
            speed=measure_speed(VGG19(weights, settings.device)),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            job_id=None,
        )
        heartbeat = Heartbeat(
            worker,
            records,
            WorkerRegistry(redis, settings),
            Reconciler(redis, records, app, settings.reconcile_interval_seconds),
            settings,
        )
        heartbeat.start()
        log.info("worker is up", **worker.model_dump(exclude={"job_id", "speed"}))
        return cls(name, settings, network, records, asking, Storage(settings), heartbeat)

    def stop(self) -> None:
        """Withdraw the worker."""
        self.heartbeat.stop()
