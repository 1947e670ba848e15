"""As many jobs of one API key run as may, the others wait, and hold up nobody else."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from client import Impasto
from shared import names
from shared.jobs import Job, JobRecord, JobRequest, JobStatus
from shared.keys import ApiKeys
from shared.messaging import Publisher
from shared.records import new_job_id
from tests.faults.jobs import LONG, SMALL
from tests.faults.rig import Rig, until

# Nobody is woken by the reconciler in the time of a test: only by those that have ended a job.
NEVER_SECONDS = "3000"
MANY_JOBS = 300
MANY_SECONDS = 240.0
SOON_SECONDS = 60.0  # on a machine that does other things too


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two workers, and API keys of which each has one job painted at a time."""
    environment = {
        "IMPASTO_MAX_RUNNING_JOBS": "1",
        "IMPASTO_RECONCILE_INTERVAL_SECONDS": NEVER_SECONDS,
        "IMPASTO_REPUBLISH_SECONDS": NEVER_SECONDS,
        "IMPASTO_KEY_CACHE_SECONDS": "0",
    }
    with Rig(tmp_path_factory.mktemp("rig"), environment=environment) as rig:
        yield rig


class Owner:
    """Somebody with a key."""

    def __init__(self, rig: Rig, client: Impasto) -> None:
        self._rig = rig
        self._client = client

    def submit(self, **params: object) -> Job:
        content, style = self._rig.picture("content"), self._rig.picture("style")
        return self._client.submit(content, [style], **params)

    def cancel(self, job_id: str) -> None:
        self._client.cancel(job_id)


@pytest.fixture
def owner(rig: Rig) -> Iterator[Callable[[str], Owner]]:
    """Makes somebody with a key of that name."""
    with ExitStack() as clients:

        def make(name: str) -> Owner:
            key = ApiKeys(rig.redis, rig.settings).create(name)
            return Owner(rig, clients.enter_context(Impasto(rig.url, api_key=key)))

        yield make


def held_back(rig: Rig) -> int:
    """How often a job was put off."""
    return int(rig.redis.hget(names.COUNTERS, "held_back") or 0)


def until_held_back(rig: Rig, record: JobRecord) -> None:
    def is_held_back() -> bool:
        return rig.redis.zscore(names.held_back(record.owner), record.id) is not None

    until(is_held_back, f"a worker to put off {record.id}")


def test_the_second_job_of_a_key_waits_while_others_run_and_begins_when_the_first_ends(
    rig: Rig, owner: Callable[[str], Owner]
) -> None:
    ann, bob = owner("ann"), owner("bob")
    first = ann.submit(**LONG)
    rig.wait_until_under_way(first.id)
    second = ann.submit(**SMALL)
    other = bob.submit(**SMALL)

    assert rig.wait_for_end(other.id).status == JobStatus.SUCCEEDED
    until_held_back(rig, rig.record(second.id))
    assert rig.record(first.id).status == JobStatus.RUNNING
    waiting = rig.record(second.id)
    assert (waiting.status, waiting.attempt) == (JobStatus.QUEUED, 0)

    ann.cancel(first.id)

    record = rig.wait_for_end(second.id, SOON_SECONDS)
    assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)


def test_the_jobs_of_a_key_are_painted_one_after_the_other_without_a_pause(
    rig: Rig, owner: Callable[[str], Owner]
) -> None:
    cat = owner("cat")
    jobs = [cat.submit(**SMALL) for _ in range(6)]
    records = [rig.wait_for_end(job.id, SOON_SECONDS) for job in jobs]
    # Two workers may have taken the first two messages at once: either job was the first.
    spans = sorted((record.started_at, record.finished_at) for record in records)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_a_job_that_is_given_back_by_a_worker_that_goes_runs_on_at_the_other(
    rig: Rig, owner: Callable[[str], Owner]
) -> None:
    dan = owner("dan")
    first = dan.submit(**LONG)
    worker = rig.wait_until_under_way(first.id)
    second = dan.submit(**SMALL)
    until_held_back(rig, rig.record(second.id))

    worker.terminate()

    until(lambda: rig.record(first.id).fence == 2, "the other worker", SOON_SECONDS)
    assert rig.record(first.id).attempt == 1
    assert rig.record(second.id).status == JobStatus.QUEUED
    dan.cancel(first.id)
    rig.wait_for_end(second.id, SOON_SECONDS)
    worker.wait_for_the_end()
    rig.repair()


def test_hundreds_of_jobs_that_wait_for_their_key_keep_neither_others_nor_workers_busy(
    rig: Rig, owner: Callable[[str], Owner]
) -> None:
    eve, fay = owner("eve"), owner("fay")
    first = eve.submit(**LONG)
    rig.wait_until_under_way(first.id)
    before = held_back(rig)
    crowd = queue_many(rig, rig.record(first.id), MANY_JOBS)
    other = fay.submit(**SMALL)

    # All of them are put off once, since their turn comes first, and it takes no longer than that.
    assert rig.wait_for_end(other.id, MANY_SECONDS).status == JobStatus.SUCCEEDED
    assert held_back(rig) - before == MANY_JOBS
    time.sleep(3)
    assert held_back(rig) - before == MANY_JOBS  # from then on nobody looks at them
    eve.cancel(first.id)
    rig.wait_until_under_way(crowd[0])
    assert held_back(rig) - before == MANY_JOBS
    for job_id in crowd[::-1]:
        rig.records.cancel(job_id)
    rig.wait_for_end(crowd[0])


def queue_many(rig: Rig, like: JobRecord, number: int) -> list[str]:
    """As many jobs of the same owner, as the API accepts them."""
    fields = {name: getattr(like, name) for name in JobRequest.model_fields}
    publisher = Publisher(rig.settings)
    jobs = []
    for _ in range(number):
        request = JobRequest(**fields | {"id": new_job_id()})
        assert rig.records.create(request, max_unfinished_jobs=2 * number) is None
        publisher.publish(request.id, request.priority)
        jobs.append(request.id)
    return jobs
