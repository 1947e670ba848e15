"""`paint`: from two pictures to a third in one call, with its progress on display."""

import html
import io
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.call import Picture
from client.display import display_here
from client.errors import ApiProblem, JobFailed
from client.operations import preview, result, submit
from client.session import Session
from client.streaming import follow
from shared.jobs import Job, JobStatus

if TYPE_CHECKING:
    from PIL.Image import Image

NOT_FOUND = 404


@dataclass(frozen=True)
class Painting:
    """A picture that was painted. Jupyter shows it."""

    job: Job
    data: bytes  # the file

    @property
    def content_type(self) -> str:
        """What kind of file it is."""
        return self.job.output.content_type if self.job.output else "application/octet-stream"

    @property
    def picture(self) -> "Image":
        """For Pillow, which has to be installed."""
        from PIL import Image

        return Image.open(io.BytesIO(self.data))

    def save(self, path: str | Path) -> None:
        """Write it to a file, in the format in which it was painted."""
        Path(path).write_bytes(self.data)

    def __repr__(self) -> str:
        output = self.job.output
        size = f" {output.width_px}x{output.height_px}" if output else ""
        return f"<Painting {self.job.id}{size} {self.content_type} {len(self.data)} bytes>"

    def _repr_png_(self) -> bytes | None:
        return self.data if self.content_type == "image/png" else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.data if self.content_type == "image/jpeg" else None

    def _repr_html_(self) -> str | None:
        """What Jupyter has no other way to show: a browser knows WebP, and nobody knows TIFF."""
        if self.content_type in ("image/png", "image/jpeg"):
            return None
        if self.content_type != "image/webp":
            return html.escape(repr(self))
        encoded = b64encode(self.data).decode()
        return f'<img alt="the painting" src="data:{self.content_type};base64,{encoded}">'


async def paint(
    session: Session,
    /,
    content: Picture | None,
    styles: Iterable[Picture] = (),
    *,
    shown: bool = True,
    **options: Any,
) -> Painting:
    """Paint `content` in the style of `styles`, and return the picture.

    In Jupyter a bar, the losses and the growing picture are shown meanwhile; on a terminal, a bar.

    Args:
        content: the photograph, as for `submit`.
        styles: the paintings.
        shown: False: show nothing.
        options: everything else that `submit` takes: `size=768, preset="neural-style"`.

    Raises:
        JobFailed: the job ended without a picture.
    """
    job_id = (await submit(session, content, styles, **options)).id
    seen = -1
    with display_here(shown=shown) as display:
        async for job in follow(session, job_id):
            newest = job.progress.previews[-1] if job.progress and job.progress.previews else -1
            if display.has_pictures and newest > seen:
                seen = newest
                display.picture(await _preview(session, job_id, newest))
            display.show(job)
    if job.status != JobStatus.SUCCEEDED:
        raise JobFailed(job)
    return Painting(job, await result(session, job.id))


async def _preview(session: Session, job_id: str, step: int) -> bytes | None:
    try:
        return await preview(session, job_id, step)
    except ApiProblem as problem:
        if problem.status != NOT_FOUND:  # thinned out in between
            raise
        return None
