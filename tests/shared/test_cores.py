"""A process computes on the cores that it may use, not on those that its machine has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import cores as module
from shared.cores import Cores

linux = pytest.mark.skipif(sys.platform != "linux", reason="affinity and control groups")


@pytest.fixture
def processors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of eight processors, two to a core, on all of which this process may run."""
    for number in range(8):
        folder = tmp_path / "processors" / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 4},{number % 4 + 4}\n")
    monkeypatch.setattr(module, "PROCESSORS", tmp_path / "processors")
    monkeypatch.setattr(module, "_processors", lambda: list(range(8)))
    return tmp_path / "processors"


@pytest.fixture
def container(tmp_path: Path) -> Path:
    folder = tmp_path / "container"
    folder.mkdir()
    return folder


@linux
def test_cores_that_the_process_may_not_use_do_not_count() -> None:
    script = (
        "import json, os\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from shared.cores import Cores\n"
        "print(json.dumps(vars(Cores.usable())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    pinned = Cores(**json.loads(done.stdout))
    assert pinned.count == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert pinned.pool != Cores.usable().pool  # it does not divide our cores with us


def test_two_processors_of_one_core_are_one(processors: Path, container: Path) -> None:
    assert Cores.usable(container).count == 4


def test_a_machine_that_does_not_tell_its_cores_has_processors(
    processors: Path, container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROCESSORS", container)
    assert Cores.usable(container).count == 8


@pytest.mark.parametrize(
    ("quota", "count"),
    [("200000", 2), ("250000", 3), ("50000", 1), ("6400000", 4), ("max", 4)],
)
def test_a_container_has_the_time_that_it_is_allowed(
    processors: Path, container: Path, quota: str, count: int
) -> None:
    (container / "cpu.max").write_text(f"{quota} 100000\n")
    assert Cores.usable(container).count == count


@pytest.mark.parametrize(("quota", "count"), [("200000", 2), ("-1", 4)])
def test_control_groups_of_version_1_count_too(
    processors: Path, container: Path, quota: str, count: int
) -> None:
    (container / "cpu").mkdir()
    (container / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (container / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert Cores.usable(container).count == count


def test_containers_without_a_limit_have_the_same_cores_and_those_with_one_their_own(
    processors: Path, tmp_path: Path
) -> None:
    pools = {}
    for name, limit in {
        "a": "max",
        "b": "max",
        "c": "200000",
        "d": "200000",
        "e": "900000",
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "cpu.max").write_text(f"{limit} 100000\n")
        pools[name] = Cores.usable(folder).pool
    assert pools["a"] == pools["b"] == pools["e"]  # the last is allowed more than there is
    assert len(set(pools.values())) == 3


def test_workers_get_equal_shares_and_never_nothing() -> None:
    cores = Cores(count=8, pool="")
    assert [cores.share(workers) for workers in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert cores.share(0) == 8
