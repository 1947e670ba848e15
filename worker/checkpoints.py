"""Checkpoints: the whole state of a run in S3, from which any other worker goes on.

A checkpoint counts only once the job's record points at it and tells its SHA-256, which only the
holder of the lease can do. The newest two are kept, since the newest may turn out to be damaged.
"""

import hashlib
import io
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
import torch

from shared.jobs import Checkpoint, JobRecord
from shared.records import JobRecords, Lease
from shared.storage import Storage, checkpoint_key
from worker.engine import Stylization
from worker.engine.memory import available_bytes
from worker.errand import Errand
from worker.pace import Interval
from worker.stops import Interrupted, Stops
from worker.threads import use_threads

# A larger share is not worth what a lost worker costs; a longer pause loses too much.
SHARE = 0.01
LONGEST_PAUSE_SECONDS = 300.0
# SIGTERM leaves 10 s for all: what is not stored by then is painted again.
LAST_SECONDS = 6.0
FORMAT = 1
# Beside the state: its copy, and the file that is made of the copy.
COPIES = 2.2
CONTENT_TYPE = "application/octet-stream"
log = structlog.get_logger(__name__)


class CheckpointCorrupt(Exception):
    """A file is not a whole checkpoint."""


@dataclass(frozen=True)
class Resumed:
    """A run that goes on."""

    run: Stylization
    seconds: float  # that it had been painted for


def encode(run: Stylization, seconds: float) -> Callable[[], io.BytesIO]:
    """What makes a checkpoint's file of the run as it is now; may be called in another thread."""
    state = {
        "format": FORMAT,
        "run": run.state_dict(),  # copies
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }

    def to_file() -> io.BytesIO:
        file = io.BytesIO()
        torch.save(state, file)
        return file

    return to_file


def decode(data: bytes, sha256: str) -> dict[str, Any]:
    """The state in a checkpoint's file. Raises `CheckpointCorrupt`."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointCorrupt("it is not what was stored")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointCorrupt(str(error)) from None
    if state.get("format") != FORMAT:
        raise CheckpointCorrupt("it is of another version of Impasto")
    return state


class Checkpoints:
    """Saves the state of a run now and then, in a thread, and a last time when the worker goes."""

    def __init__(
        self, records: JobRecords, storage: Storage, lease: Lease, interval_seconds: float
    ) -> None:
        self._records = records
        self._storage = storage
        self._lease = lease
        self._interval_seconds = interval_seconds
        self._interval = Interval(
            interval_seconds, SHARE, longest_pause=LONGEST_PAUSE_SECONDS, at_once=False
        )
        self._saving: Errand[float] | None = None
        self._saved_step = 0

    def resume(
        self, record: JobRecord, start: Callable[[], Stylization], stops: Stops
    ) -> Resumed | None:
        """Go on from the newest checkpoint that is sound; None if there is none.

        Args:
            record: names the checkpoints.
            start: makes the run anew.
            stops: what may interrupt the reading.
        """
        for checkpoint in record.checkpoints:
            try:
                read = partial(self._storage.get, checkpoint.key)
                data = stops.with_storage(read)
                state = decode(data, checkpoint.sha256)
                del data  # may be gigabytes
                use_threads(state["threads"])  # whose number decides in which order sums are taken
                run = start()
                run.load_state_dict(state["run"])
                resumed = Resumed(run, float(state["seconds"]))
            except Interrupted:
                raise
            except Exception as error:  # damaged, or of another version: nothing depends on it
                log.warning("checkpoint not used", key=checkpoint.key, error=repr(error))
                continue
            self._saved_step = run.step
            log.info("job resumed", step=run.step)
            return resumed
        return None

    def save_if_due(self, run: Stylization, seconds: float, eta_seconds: float | None) -> None:
        """Begin to save if it is time, and the rest of the run is worth it."""
        if self._saving is not None:
            if not self._saving.is_done:
                return
            self._settle(self._saving)
            self._saving = None
        nearly_done = eta_seconds is not None and eta_seconds < self._interval_seconds
        if nearly_done or not self._interval.is_due():
            return
        with self._interval.counted():
            self._saving = self._begin(run, seconds)

    def save_last(self, run: Stylization, seconds: float) -> None:
        """Save now, if that can be done in time."""
        until = time.monotonic() + LAST_SECONDS
        if self._saving is not None:  # or the older would come to lie above the newer
            self._saving.wait(LAST_SECONDS)
        if run.step == self._saved_step or time.monotonic() > until:
            return
        saving = self._begin(run, seconds)
        if saving is None:
            return
        if saving.wait(until - time.monotonic()):
            self._settle(saving)
        else:
            log.warning("no time for a last checkpoint")

    def _begin(self, run: Stylization, seconds: float) -> Errand[float] | None:
        """Begin to save; None where that would take too much memory, or nothing is left to do."""
        if run.step == run.total_steps:
            return None
        if not _fits(run):
            log.warning("too little memory for a checkpoint", size_bytes=run.state_bytes)
            return None
        step = run.step

        def save() -> float:
            """Returns the processor's time that it took."""
            self._save(to_file(), step)
            return time.thread_time()

        try:
            to_file = encode(run, seconds)
            saving = Errand(save)
        except (RuntimeError, MemoryError) as error:  # others take memory, and threads, too
            log.warning("checkpoint not stored", error=repr(error))
            return None
        self._saved_step = step
        return saving

    def _save(self, file: io.BytesIO, step: int) -> None:
        data = file.getbuffer()
        sha256 = hashlib.sha256(data).hexdigest()
        checkpoint = Checkpoint(
            key=checkpoint_key(self._lease.job_id, self._lease.token, step, sha256),
            sha256=sha256,
            size_bytes=len(data),
            step=step,
        )
        data.release()
        self._storage.put_file(checkpoint.key, file, CONTENT_TYPE)
        dropped = self._records.checkpoint(self._lease, checkpoint)
        if dropped is None:
            log.info("checkpoint not used: the lease is lost")
            return
        for key in dropped:
            self._storage.delete(key)

    def _settle(self, saving: Errand[float]) -> None:
        try:
            self._interval.charge(saving.result())
        except Exception as error:  # whatever it is, the job goes on, and the one before counts
            log.warning("checkpoint not stored", error=repr(error))


def _fits(run: Stylization) -> bool:
    """Whether there is memory for the copy of the state, which may be on a GPU, and the file."""
    if run.device.type == "cpu":
        return COPIES * run.state_bytes < available_bytes(run.device)
    return run.state_bytes < available_bytes(run.device) and (
        run.state_bytes < available_bytes(torch.device("cpu"))
    )
