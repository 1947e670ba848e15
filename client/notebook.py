"""The progress of a job below a notebook's cell."""

import html
from base64 import b64encode
from typing import Any, Self

from IPython.display import display, update_display

from client.display import sentence
from shared.jobs import Job, Progress

# Colours are the notebook's own, so that they fit its theme.
PICTURE_STYLE = "display:block;max-width:100%;max-height:24em;margin-top:.5em"
BAR_STYLE = "width:100%;max-width:32em;height:.8em;accent-color:#c2572b"


class NotebookDisplay:
    """A bar, the losses and the growing picture below a notebook's cell."""

    has_pictures = True

    def __init__(self) -> None:
        self._handle: Any = None
        self._job: Job | None = None
        self._picture = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        job = self._job
        if job is not None and not job.status.is_terminal:
            self._update(f"no longer followed; job {job.id} goes on")

    def show(self, job: Job) -> None:
        """As `Display`."""
        self._job = job
        self._update(sentence(job))

    def picture(self, jpeg: bytes | None) -> None:
        """As `Display`."""
        if jpeg is not None:
            encoded = b64encode(jpeg).decode()
            self._picture = (
                f'<img alt="the picture so far" style="{PICTURE_STYLE}"'
                f' src="data:image/jpeg;base64,{encoded}">'
            )

    def _update(self, text: str) -> None:
        job = self._job
        progress = job.progress if job else None
        bundle = {
            "text/plain": text,
            "text/html": f"{_bar(progress)}<div>{html.escape(text)}</div>{self._picture}",
        }
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            update_display(bundle, raw=True, display_id=self._handle.display_id)  # type: ignore[no-untyped-call]


def _bar(progress: Progress | None) -> str:
    # Without a value a browser shows that something goes on, and not how far it is.
    value = f' max="{progress.total_steps}" value="{progress.step}"' if progress else ""
    return f'<progress aria-label="steps" style="{BAR_STYLE}"{value}></progress>'
