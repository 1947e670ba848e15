"""One rig for all faults: repaired after each, and everything that it accepted is checked."""

from collections.abc import Iterator

import pytest

from tests.faults.invariants import check
from tests.faults.rig import Rig


@pytest.fixture(scope="package")
def _shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None] | pytest.TestReport:
    """Show what the processes said last when a test with a rig fails."""
    report: pytest.TestReport = yield
    rig = getattr(item, "funcargs", {}).get("rig")
    if report.failed and isinstance(rig, Rig):
        report.sections.append(("the ends of the logs", rig.last_words()))
    return report


@pytest.fixture
def rig(_shared_rig: Rig) -> Iterator[Rig]:
    """The system with two workers; afterwards nothing it accepted may be lost or done twice."""
    _shared_rig.repair()
    yield _shared_rig
    _shared_rig.repair()
    check(_shared_rig, _shared_rig.settle())
