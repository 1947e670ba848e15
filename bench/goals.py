"""What the engine is asked to reach, beside what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """A measured value and the bound that it should keep."""

    what: str
    value: float
    limit: float
    at_least: bool = False  # else at most
    form: str = ".2f"

    @property
    def is_met(self) -> bool:
        """Whether the bound is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def show(console: Console, goals: Sequence[Goal]) -> None:
    """Print the table of all goals."""
    table = Table("", "measured", "asked for", "")
    for goal in goals:
        bound = "at least" if goal.at_least else "at most"
        table.add_row(
            goal.what,
            format(goal.value, goal.form),
            f"{bound} {goal.limit:{goal.form}}",
            "met" if goal.is_met else "missed",
        )
    console.print(table)
