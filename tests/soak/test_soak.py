"""The soak, for a minute; `make soak` runs it for as long as one likes."""

from pathlib import Path

import pytest

from tests.soak.schedule import plan, takes
from tests.soak.soak import run

WORKERS = ["worker-1", "worker-2", "worker-3"]


@pytest.mark.timeout(900)
def test_a_minute_of_random_faults_breaks_no_promise(tmp_path: Path) -> None:
    report = run(tmp_path, minutes=0.75, seed="suite", workers=2)
    assert report.violations == []
    assert report.figures.lost == 0
    assert report.accepted > 5
    assert sum(report.faults.values()) > 5
    assert report.figures.ends["succeeded"] > 0


def test_a_seed_gives_the_same_faults_again_and_another_seed_others() -> None:
    first = plan("a", 600, WORKERS)
    assert plan("a", 600, WORKERS) == first
    assert plan("b", 600, WORKERS) != first


def test_a_schedule_breaks_nothing_twice_at_once_and_leaves_a_worker_alive() -> None:
    planned = plan("a", 3600, WORKERS, calm=range(1000, 1040))
    assert all(one.until < 3600 for one in planned)
    assert not [one for one in planned if one.until >= 1000 and one.at < 1040]
    for one in planned:
        now = [other for other in planned if other.at <= one.at <= other.until]
        broken = [part for other in now for part in takes(other, WORKERS)]
        assert len(broken) == len(set(broken))
        assert not set(WORKERS) <= set(broken)
