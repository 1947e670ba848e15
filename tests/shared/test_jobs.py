"""How a job is shown, and that every way to fail has its code."""

from datetime import UTC, datetime, timedelta, timezone

from shared.errors import ImpastoError
from shared.jobs import TERMINAL, Inputs, JobRecord, JobStatus, Priority
from shared.parameters import Parameters


def test_a_job_is_at_its_end_when_nothing_can_happen_to_it_any_more() -> None:
    assert {status for status in JobStatus if status.is_terminal} == TERMINAL
    assert {"queued", "running"} == set(JobStatus) - TERMINAL


def test_times_are_shown_in_utc_with_a_z() -> None:
    moment = datetime(2026, 1, 2, 5, 4, 5, 678_900, tzinfo=timezone(timedelta(hours=2)))
    record = JobRecord(
        id="a",
        status=JobStatus.QUEUED,
        priority=Priority.NORMAL,
        params=Parameters(),
        metadata={},
        inputs=Inputs(content="", styles=[]),
        created_at=moment,
    )
    assert record.model_dump(mode="json")["created_at"] == "2026-01-02T03:04:05.678Z"
    assert record.created_at.astimezone(UTC).hour == 3


def test_every_error_has_a_code_of_its_own_and_a_client_error_status() -> None:
    def kinds(base: type[ImpastoError]) -> list[type[ImpastoError]]:
        return [kind for sub in base.__subclasses__() for kind in (sub, *kinds(sub))]

    codes = [kind.code for kind in kinds(ImpastoError)]
    assert len(codes) == len(set(codes))
    assert all(400 <= kind.status < 500 or kind.status == 503 for kind in kinds(ImpastoError))
