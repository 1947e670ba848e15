"""The front door is measured beside a bare route, on real servers."""

import pytest
from rich.console import Console

from bench import front_door


@pytest.fixture
def console() -> Console:
    return Console(width=200, record=True)


def test_polls_submits_and_streams_are_measured(console: Console) -> None:
    goals = front_door.measure(console, rounds=1, seconds=1.0, streams=8)
    assert {goal.what for goal in goals} == {
        "poll, queued",
        "poll, running",
        "poll, finished",
        "poll, running, with a key",
        "poll, not modified",
        "poll, many running",
        "submit, both pictures new",
        "submit, style seen before",
    }
    assert all(goal.value > 0 for goal in goals)
    printed = console.export_text()
    assert "8 on one job" in printed
    assert "8 on 8 jobs" in printed
    assert "nan" not in printed  # every stream told how old its events were
