"""`AsyncImpasto`: the same client for an event loop."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client import ApiProblem, AsyncImpasto, Completed, Impasto, JobFailed, ServiceUnreachable
from shared.jobs import ErrorCode, JobError, JobStatus, StoredOutput
from shared.records import JobRecords, Lease
from tests.client.conftest import NOBODY, Stranger
from tests.faults.proxy import Moment, Proxy

Paint = Callable[[str], StoredOutput]
MakePicture = Callable[..., Path]


@pytest.fixture
def pictures(picture_file: MakePicture) -> tuple[Path, list[Path]]:
    return picture_file("content"), [picture_file("style")]


def methods(kind: type) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(method) for name, method in found if name[0] != "_"}


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    blocking, awaiting = methods(Impasto), methods(AsyncImpasto)
    assert {"submit", "follow", "wait", "paint", "estimate", "all_jobs"} <= set(blocking)
    del blocking["close"], awaiting["close"]
    assert blocking == awaiting


def test_a_job_is_made_followed_and_fetched(
    impasto: Impasto, pictures: tuple[Path, list[Path]], paint: Paint, tmp_path: Path
) -> None:
    async def main() -> None:
        async with AsyncImpasto(impasto.url) as service:
            job_id = (await service.submit(*pictures, size=64)).id
            seen: list[JobStatus] = []
            async for job in service.follow(job_id):
                if not seen:
                    await asyncio.to_thread(paint, job_id)
                seen.append(job.status)
            assert (seen[0], seen[-1]) == (JobStatus.QUEUED, JobStatus.SUCCEEDED)
            assert await service.wait(job.id) == job == await service.job(job.id)
            await service.save_result(job.id, tmp_path / "result.png")
            assert (tmp_path / "result.png").read_bytes() == await service.result(job.id)
            assert await service.manifest(job.id) == {"weights": "oxford-q8"}
            assert [event async for event in service.events(job.id)][-1].job == job
            await service.delete(job.id)
            with pytest.raises(ApiProblem) as gone:
                await service.job(job.id)
            assert gone.value.status == 410

    asyncio.run(main())


def test_everything_else_answers_as_the_blocking_client_does(
    impasto: Impasto, pictures: tuple[Path, list[Path]]
) -> None:
    ids = [impasto.submit(*pictures).id for _ in range(3)]
    impasto.cancel(ids[0])

    async def main() -> None:
        async with AsyncImpasto(impasto.url) as service:
            assert await service.jobs(limit=2) == impasto.jobs(limit=2)
            assert [job.id async for job in service.all_jobs(page_size=2)] == ids[::-1]
            assert await service.presets() == impasto.presets()
            assert await service.workers() == impasto.workers() == []
            assert await service.estimate(*pictures) == impasto.estimate(*pictures)
            assert (await service.cancel(ids[1])).status == JobStatus.CANCELED
            assert (await service.retry(ids[0])).retried_from == ids[0]
            with pytest.raises(JobFailed, match="canceled"):
                await service.wait(ids[0])

    asyncio.run(main())


def test_many_jobs_are_followed_at_once(
    impasto: Impasto, pictures: tuple[Path, list[Path]], paint: Paint
) -> None:
    async def main() -> None:
        async with AsyncImpasto(impasto.url) as service:
            jobs = await asyncio.gather(*(service.submit(*pictures) for _ in range(8)))
            waits = [asyncio.create_task(service.wait(job.id)) for job in jobs]
            for job in jobs:
                await asyncio.to_thread(paint, job.id)
            ended = await asyncio.gather(*waits)
            assert [job.id for job in ended] == [job.id for job in jobs]

    asyncio.run(main())


@asynccontextmanager
async def behind(line: Proxy) -> AsyncIterator[AsyncImpasto]:
    async with AsyncImpasto(f"http://127.0.0.1:{line.port}", timeout_seconds=10) as service:
        yield service


@pytest.mark.parametrize("moment", [Moment.REQUEST_LOST, Moment.ANSWER_LOST])
def test_a_connection_that_breaks_makes_neither_none_nor_two(
    impasto: Impasto, line: Proxy, pictures: tuple[Path, list[Path]], moment: Moment
) -> None:
    async def main() -> str:
        async with behind(line) as service:
            return (await service.submit(*pictures)).id

    broken = line.when(b"POST /v1/jobs", moment=moment)
    job_id = asyncio.run(main())
    assert broken.happened
    assert [known.id for known in impasto.jobs().jobs] == [job_id]


def test_the_loop_goes_on_while_it_waits_to_ask_again(stranger: Stranger) -> None:
    refusal = (429, {"Retry-After": "1"}, b'{"code": "rate_limited", "detail": "slowly"}')
    url = stranger.start(refusal, (200, {}, b'{"workers": []}'))

    async def main() -> None:
        async with AsyncImpasto(url) as service:
            asked = asyncio.create_task(service.workers())
            ticks = 0
            while not asked.done():
                await asyncio.sleep(0.1)
                ticks += 1
            assert ticks > 5
            assert await asked == []

    asyncio.run(main())


def test_a_stream_that_breaks_is_followed_by_the_next(
    impasto: Impasto, line: Proxy, pictures: tuple[Path, list[Path]], paint: Paint
) -> None:
    job_id = impasto.submit(*pictures).id

    async def main() -> None:
        async with behind(line) as service:
            events = service.events(job_id)
            await anext(events)
            line.reset()
            await asyncio.to_thread(paint, job_id)
            assert isinstance([event async for event in events][-1], Completed)

    asyncio.run(main())


def test_whoever_stops_waiting_is_not_held_up(
    impasto: Impasto, pictures: tuple[Path, list[Path]]
) -> None:
    job_id = impasto.submit(*pictures).id

    async def main() -> None:
        async with AsyncImpasto(impasto.url) as service:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(service.wait(job_id), 1.5)
            assert (await service.job(job_id)).status == JobStatus.QUEUED

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 10


def test_what_went_wrong_is_said_in_the_same_words(
    impasto: Impasto, records: JobRecords, pictures: tuple[Path, list[Path]]
) -> None:
    job_id = impasto.submit(*pictures).id
    lease = records.claim(job_id, "w1")
    assert isinstance(lease, Lease)
    records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="the loss is not a number"))

    async def main() -> None:
        async with AsyncImpasto(impasto.url) as service:
            with pytest.raises(JobFailed, match=r"the loss is not a number \(diverged\)"):
                await service.wait(job_id)
        async with AsyncImpasto(NOBODY, patient=False) as nobody:
            with pytest.raises(ServiceUnreachable, match="impasto up"):
                await nobody.presets()

    asyncio.run(main())
