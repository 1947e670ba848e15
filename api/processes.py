"""Several processes of one API that count their requests together, in files of a common folder.

To be imported without `prometheus_client`, which decides when it is imported where it counts.
"""

import os
import shutil
import tempfile
from typing import Any

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the environment variable that it looks for


def count_together() -> None:
    """Let all processes that are forked from this one count in a folder of their own."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="impasto-metrics-")


def forget(_: Any, worker: Any) -> None:
    """For gunicorn: a process is gone, and so are the streams that it had open."""
    if FOLDER in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def remove_counts(_: Any) -> None:
    """For gunicorn: all processes are gone."""
    if FOLDER in os.environ:
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
