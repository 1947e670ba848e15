"""A run that goes on from a checkpoint ends as if it had never stopped."""

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pytest
import redis
import torch
from torch import Tensor

from shared.jobs import JobRecord
from shared.parameters import Parameters
from shared.records import JobRecords, Lease, Wishes
from shared.settings import Settings
from shared.storage import JOBS, Storage, job_prefix
from tests.shared.conftest import job_request
from worker import checkpoints as module
from worker.checkpoints import CheckpointCorrupt, Checkpoints, decode, encode
from worker.engine import VGG19, Stylization, load_weights
from worker.heartbeat import Hold
from worker.stops import Stops
from worker.threads import use_threads

STEPS = 12
PARAMETERS = Parameters(size=48, steps=STEPS, precision="float32")


@pytest.fixture(scope="module")
def network() -> VGG19:
    return VGG19(load_weights("oxford-q8"), "cpu")


def picture(seed: int) -> Tensor:
    return torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def start(network: VGG19) -> Callable[[], Stylization]:
    return lambda: Stylization(network, picture(0), [picture(1)], PARAMETERS)


@pytest.fixture(scope="module")
def uninterrupted(start: Callable[[], Stylization]) -> Tensor:
    run = start()
    for _ in run:
        pass
    return run.picture()


@dataclass
class Job:
    """A job that is held by a worker."""

    records: JobRecords
    storage: Storage
    valkey: redis.Redis
    id: str
    lease: Lease

    @property
    def record(self) -> JobRecord:
        found = self.records.get(self.id)
        assert found is not None
        return found[0]

    def checkpoints(self, interval_seconds: float = 0.001) -> Checkpoints:
        return Checkpoints(self.records, self.storage, self.lease, interval_seconds)

    def stops(self, settings: Settings) -> Stops:
        hold = Hold(self.lease, settings, time.monotonic() + 3600)
        return Stops(hold, threading.Event(), lambda: Wishes(cancel=False, preview=False), 60)

    def take_over(self) -> None:
        """Another worker gets the job, whose first one is lost."""
        self.valkey.hset(f"impasto:job:{{{self.id}}}", "lease_until", 1)
        lease = self.records.claim(self.id, "w2")
        assert isinstance(lease, Lease)
        self.lease = lease


@pytest.fixture
def job(records: JobRecords, storage: Storage, valkey: redis.Redis) -> Iterator[Job]:
    request = job_request(params=PARAMETERS)
    assert records.create(request) is None
    lease = records.claim(request.id, "w1")
    assert isinstance(lease, Lease)
    yield Job(records, storage, valkey, request.id, lease)
    storage.delete_prefix(job_prefix(request.id))


def paint(run: Stylization, steps: int) -> None:
    for progress in run:
        if progress.step == steps:
            return


def finish(run: Stylization) -> Tensor:
    for _ in run:
        pass
    return run.picture()


@pytest.mark.parametrize("at", [1, 7, STEPS - 1])
def test_another_worker_goes_on_and_ends_with_the_identical_picture(
    job: Job,
    start: Callable[[], Stylization],
    uninterrupted: Tensor,
    settings: Settings,
    at: int,
) -> None:
    run = start()
    paint(run, at)
    job.checkpoints().save_last(run, 12.5)
    job.take_over()

    resumed = job.checkpoints().resume(job.record, start, job.stops(settings))

    assert resumed is not None
    assert (resumed.run.step, resumed.seconds) == (at, 12.5)
    assert torch.equal(finish(resumed.run), uninterrupted)


def test_another_worker_goes_on_with_as_many_threads(
    job: Job, start: Callable[[], Stylization], settings: Settings
) -> None:
    """Whatever its own share of the cores is: their number decides the last bits."""
    before = torch.get_num_threads()
    try:
        use_threads(2)
        save_at(job, start, 2)
        use_threads(1)
        job.checkpoints().resume(job.record, start, job.stops(settings))
        assert torch.get_num_threads() == 2
    finally:
        use_threads(before)


def test_a_job_without_checkpoints_starts_from_the_beginning(
    job: Job, start: Callable[[], Stylization], settings: Settings
) -> None:
    assert job.checkpoints().resume(job.record, start, job.stops(settings)) is None


def save_at(job: Job, start: Callable[[], Stylization], *steps: int) -> None:
    run, checkpoints = start(), job.checkpoints()
    for at in steps:
        paint(run, at)
        checkpoints.save_last(run, float(at))


def test_two_checkpoints_are_kept_and_older_ones_removed(
    job: Job, start: Callable[[], Stylization]
) -> None:
    save_at(job, start, 2, 4, 6)
    assert [checkpoint.step for checkpoint in job.record.checkpoints] == [6, 4]
    kept = {checkpoint.key for checkpoint in job.record.checkpoints}
    assert set(job.storage.keys(f"{JOBS}{job.id}/checkpoints/")) == kept


@pytest.mark.parametrize("damage", ["flipped", "cut short", "emptied", "removed"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(
    job: Job,
    start: Callable[[], Stylization],
    uninterrupted: Tensor,
    settings: Settings,
    damage: str,
) -> None:
    save_at(job, start, 3, 6)
    newest = job.record.checkpoints[0].key
    data = bytearray(job.storage.get(newest))
    data[len(data) // 2] ^= 1
    damaged = {"flipped": bytes(data), "cut short": bytes(data[:-100]), "emptied": b""}
    if damage == "removed":
        job.storage.delete(newest)
    else:
        job.storage.put(newest, damaged[damage], "application/octet-stream")

    resumed = job.checkpoints().resume(job.record, start, job.stops(settings))

    assert resumed is not None
    assert resumed.run.step == 3
    assert torch.equal(finish(resumed.run), uninterrupted)


def test_where_both_are_damaged_it_starts_from_the_beginning(
    job: Job, start: Callable[[], Stylization], settings: Settings
) -> None:
    save_at(job, start, 3, 6)
    for checkpoint in job.record.checkpoints:
        job.storage.put(checkpoint.key, b"nothing", "application/octet-stream")
    assert job.checkpoints().resume(job.record, start, job.stops(settings)) is None


def test_a_checkpoint_of_other_parameters_is_not_used(
    job: Job, network: VGG19, start: Callable[[], Stylization], settings: Settings
) -> None:
    """As after an update of Impasto that means something else by them."""
    other = PARAMETERS.model_copy(update={"style_weight": 3.0})
    run = Stylization(network, picture(0), [picture(1)], other)
    paint(run, 3)
    job.checkpoints().save_last(run, 1.0)
    assert job.checkpoints().resume(job.record, start, job.stops(settings)) is None


def test_a_worker_that_lost_its_lease_stores_no_checkpoint_that_counts(
    job: Job, start: Callable[[], Stylization]
) -> None:
    stale, run = job.checkpoints(), start()
    paint(run, 2)
    job.take_over()
    save_at(job, start, 4)

    stale.save_last(run, 1.0)

    assert [checkpoint.step for checkpoint in job.record.checkpoints] == [4]


def test_the_run_is_not_held_up_while_a_checkpoint_is_stored(
    job: Job, start: Callable[[], Stylization], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    put = job.storage.put_file

    def slowly(key: str, data: BinaryIO, content_type: str) -> None:
        assert let_go.wait(60)
        put(key, data, content_type)

    monkeypatch.setattr(job.storage, "put_file", slowly)
    checkpoints, run = job.checkpoints(), start()
    for progress in run:
        checkpoints.save_if_due(run, 1.0, None)
        if progress.step == 6:
            break
    assert job.record.checkpoints == []
    let_go.set()
    assert checkpoints._saving is not None
    assert checkpoints._saving.wait(30)
    # What was saved is the state at which it was begun, though the run went on meanwhile
    (checkpoint,) = job.record.checkpoints
    assert checkpoint.step < 6
    state = decode(job.storage.get(checkpoint.key), checkpoint.sha256)
    assert state["run"]["progress"]["steps"] == checkpoint.step


def test_a_run_that_is_nearly_done_is_not_saved(job: Job, start: Callable[[], Stylization]) -> None:
    run, checkpoints = start(), job.checkpoints(interval_seconds=0.01)
    paint(run, 2)
    time.sleep(0.02)
    checkpoints.save_if_due(run, 1.0, eta_seconds=0.005)
    assert checkpoints._saving is None
    checkpoints.save_if_due(run, 1.0, eta_seconds=50.0)
    assert checkpoints._saving is not None
    assert checkpoints._saving.wait(30)


def test_a_storage_that_is_away_costs_the_checkpoint_and_not_the_run(
    job: Job, start: Callable[[], Stylization]
) -> None:
    away = Settings(s3_endpoint_url="http://127.0.0.1:9", _env_file=None)
    job.storage = Storage(away, patient=False)
    save_at(job, start, 2)
    assert job.record.checkpoints == []


def test_a_last_checkpoint_is_given_up_when_there_is_no_time_for_it(
    job: Job, start: Callable[[], Stylization], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.3)
    forever = threading.Event()
    monkeypatch.setattr(job.storage, "put_file", lambda *_: forever.wait(60))
    run = start()
    paint(run, 2)
    before = time.monotonic()
    job.checkpoints().save_last(run, 1.0)
    assert time.monotonic() - before < 20
    forever.set()


def test_a_file_that_is_no_checkpoint_is_refused(start: Callable[[], Stylization]) -> None:
    data = encode(start(), 1.0)().getvalue()
    sound = hashlib.sha256(data).hexdigest()
    assert decode(data, sound)["seconds"] == 1.0
    with pytest.raises(CheckpointCorrupt):
        decode(data + b"x", sound)
    for wrong in (b"", b"x", data[:-100], torch_file({"format": 2}), torch_file({})):
        with pytest.raises(CheckpointCorrupt):
            decode(wrong, hashlib.sha256(wrong).hexdigest())


def torch_file(state: dict[str, int]) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def test_a_run_without_a_step_left_is_not_saved(job: Job, start: Callable[[], Stylization]) -> None:
    """There would be nothing to tell of it; the worker that goes on makes some steps again."""
    run = start()
    finish(run)
    job.checkpoints().save_last(run, 1.0)
    assert job.record.checkpoints == []


def test_a_state_that_does_not_fit_twice_is_not_saved_and_the_job_goes_on(
    job: Job, start: Callable[[], Stylization], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    paint(run, 2)
    size = len(encode(run, 1.0)().getvalue())
    assert run.state_bytes == pytest.approx(size, rel=0.2)
    monkeypatch.setattr(module, "available_bytes", lambda _: 2 * run.state_bytes)
    job.checkpoints().save_last(run, 1.0)
    assert job.record.checkpoints == []
    monkeypatch.setattr(module, "available_bytes", lambda _: 3 * run.state_bytes)
    job.checkpoints().save_last(run, 1.0)
    assert [checkpoint.step for checkpoint in job.record.checkpoints] == [2]


def test_a_large_checkpoint_is_stored_in_parts(storage: Storage) -> None:
    data = bytes(range(256)) * (300 * 2**10)  # more than one part
    storage.put_file("parts", io.BytesIO(data), "application/octet-stream")
    assert storage.get("parts") == data
    storage.delete("parts")
