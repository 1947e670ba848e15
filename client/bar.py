"""The progress bar of a picture that is being painted, here or elsewhere."""

from typing import Protocol, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.terminal import stderr


class HasLosses(Protocol):
    """The service's losses and the engine's look alike here."""

    @property
    def content(self) -> float:
        """Weighted content loss."""

    @property
    def style(self) -> float:
        """Weighted style loss."""


class PaintingBar:
    """Steps, losses and time left, on stderr. A context manager."""

    def __init__(self, description: str, *, shown: bool = True) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            console=stderr,
            disable=not shown,
        )
        self._task = self._progress.add_task(description, total=None, losses="", eta="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def describe(self, text: str) -> None:
        """Say what happens while there are no steps."""
        self._progress.update(self._task, description=text)

    def step(
        self,
        text: str,
        step: int,
        total_steps: int,
        losses: HasLosses | None,
        eta_seconds: float | None,
    ) -> None:
        """Show how far the picture is."""
        self._progress.update(
            self._task,
            description=text,
            completed=step,
            total=total_steps,
            losses=f"content {losses.content:.3g}  style {losses.style:.3g}" if losses else "",
            eta=f"{eta_seconds:.0f} s left" if eta_seconds else "",
        )
