"""The Celery application of a worker: `celery -A worker.app worker -P prefork -c 1`.

Prefork with one child per device: CUDA does not survive a fork, so only the child touches the
device, and the parent stays able to answer pings and signals while the child is busy.
"""

import os
import signal
import sys
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import (
    setup_logging,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)
from celery.utils.nodenames import gethostname

from shared.logs import adopt_logs, configure_logs
from shared.messaging import TASK_NAME, worker_config
from shared.settings import Settings
from worker.engine import EngineError, Weights, load_weights
from worker.node import Node
from worker.stops import SharedFlag
from worker.task import run_job
from worker.threads import use_threads

log = structlog.get_logger(__name__)
settings = Settings()
configure_logs(settings)
app = Celery("impasto")
app.conf.update(worker_config(settings))

# Made before the fork: the parent gets the signal, the child's step loop reads the flag.
shutting_down = SharedFlag()
weights: Weights | None = None
node: Node | None = None


@setup_logging.connect
def _on_setup_logging(loglevel: int, **_: Any) -> None:
    adopt_logs(settings, "celery", loglevel)


@worker_init.connect
def _on_init(**_: Any) -> None:
    """Load the weights in the parent: what is wrong with them ends the worker with a sentence, and
    each of its children has them at once, in memory that they share."""
    global weights
    use_threads(1)  # the threads of PyTorch would not survive the fork either
    try:
        weights = load_weights(settings.weights)
    except EngineError as error:
        sys.exit(f"Error: {error}")


@worker_shutting_down.connect
def _on_shutting_down(**_: Any) -> None:
    shutting_down.set()


@worker_process_init.connect
def _on_process_init(**_: Any) -> None:
    global node
    try:
        if weights is None:
            raise RuntimeError("the worker was not initialised")
        node = Node.start(settings.worker_name or gethostname(), settings, weights)
    except Exception as error:
        # Celery would go on, and take messages that nobody here can serve.
        log.error("the worker cannot start", error=str(error) or repr(error))
        os.kill(os.getppid(), signal.SIGQUIT)


@worker_process_shutdown.connect
def _on_process_shutdown(**_: Any) -> None:
    if node is not None:
        node.stop()


@app.task(name=TASK_NAME, bind=True)
def stylize(_task: Task, job_id: str) -> dict[str, Any]:
    """Paint the job of this id; its record says what it is."""
    if node is None:
        raise RuntimeError("the worker process was not initialised")
    return run_job(node, job_id, shutting_down)
