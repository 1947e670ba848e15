"""What a running job tells: progress into Celery's task state, previews to S3.

Each costs at most its share of the time that the run takes, and the first time: whoever is slow to
take reports gets fewer. (See `Interval` for what an outage costs.)
"""

import io
from collections.abc import Callable

import structlog
from PIL import Image

from shared.jobs import Progress as JobProgress
from shared.settings import Settings
from shared.storage import STORAGE_ERRORS, Storage, preview_key, previews_prefix
from worker.engine import Progress, Stylization
from worker.errand import Errand
from worker.manifest import job_losses
from worker.pace import Interval, Pace

PROGRESS_SHARE = 0.002
PREVIEW_SHARE = 0.005
PREVIEW_QUALITY = 80
PREVIEW_MAX_PX = 768
MAX_PREVIEWS = 48  # that are kept of a job
LAST_PREVIEW_SECONDS = 5.0  # that a finished run waits for it
log = structlog.get_logger(__name__)


class Reporter:
    """Reports one run, no more often than the settings allow."""

    def __init__(
        self,
        job_id: str,
        run: Stylization,
        storage: Storage,
        settings: Settings,
        publish: Callable[[JobProgress], None],
    ) -> None:
        self._job_id = job_id
        self._run = run
        self._storage = storage
        self._publish = publish
        self._pace = Pace(run.levels, run.remaining_seconds)
        self._progress_interval = Interval(settings.progress_interval_seconds, PROGRESS_SHARE)
        self._preview_interval = Interval(settings.preview_interval_seconds, PREVIEW_SHARE)
        self._previews = _kept(storage, job_id, run.step) if run.step else []
        self._storing: Errand[None] | None = None

    @property
    def eta_seconds(self) -> float | None:
        """Estimated time to the end, s."""
        return self._pace.eta_seconds

    @property
    def step_seconds(self) -> float | None:
        """How long a step takes at this level, s."""
        speed = self._pace.steps_per_second
        return 1 / speed if speed else None

    def step(self, progress: Progress, *, preview_wanted: bool) -> None:
        """Take note of a step, and publish what is due."""
        self._pace.step(progress)
        if self._progress_interval.is_due():
            described = self.describe(progress)  # waits for the device: that is the step's time
            with self._progress_interval.counted():
                self._publish(described)
        wanted = preview_wanted or not self._previews
        if wanted and self._is_idle and self._preview_interval.is_due():
            progress.losses()  # the same wait
            with self._preview_interval.counted():
                self._store_preview(progress.step)

    def finish(self, progress: Progress) -> JobProgress:
        """Store a preview of the finished picture, and describe the end.

        Lists show it instead of the picture, which may be large, or a TIFF.
        """
        self._wait_for_preview()
        if self._previews[-1:] != [progress.step]:
            self._store_preview(progress.step)
            self._wait_for_preview()
        return self.describe(progress)

    def describe(self, progress: Progress) -> JobProgress:
        """The progress as clients see it. Reads the losses from the device."""
        losses = progress.losses()
        return JobProgress(
            step=progress.step,
            total_steps=progress.total_steps,
            fraction=progress.step / progress.total_steps,
            level=progress.level + 1,
            width_px=progress.width_px,
            height_px=progress.height_px,
            # JSON has no NaN; the run itself sees that it diverged, and goes back.
            losses=job_losses(losses) if losses.is_finite else None,
            steps_per_second=self._pace.steps_per_second,
            eta_seconds=self._pace.eta_seconds,
            previews=list(self._previews),
        )

    def _store_preview(self, step: int) -> None:
        image = Image.fromarray(self._run.picture().numpy())
        image.thumbnail((PREVIEW_MAX_PX, PREVIEW_MAX_PX), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=PREVIEW_QUALITY)
        data = buffer.getvalue()

        def store() -> None:
            try:
                self._storage.put(preview_key(self._job_id, step), data, "image/jpeg")
                self._previews = [*self._previews, step]
                if len(self._previews) > MAX_PREVIEWS:
                    self._drop_one()
            except STORAGE_ERRORS as error:
                # A preview is worth no job; the result is retried.
                log.warning("preview not stored", error=repr(error))

        self._storing = Errand(store)  # however long S3 takes, painting goes on

    def _drop_one(self) -> None:
        """Forget the preview whose neighbours are closest, so that all of the run stays shown."""
        steps = self._previews
        _, dropped = min(
            (after - before, step)
            for before, step, after in zip(steps, steps[1:-1], steps[2:], strict=False)
        )
        self._previews = [step for step in steps if step != dropped]
        self._storage.delete(preview_key(self._job_id, dropped))

    def _wait_for_preview(self) -> None:
        if self._storing is not None:
            self._storing.wait(LAST_PREVIEW_SECONDS)

    @property
    def _is_idle(self) -> bool:
        """Whether no preview is on its way."""
        return self._storing is None or self._storing.is_done


def _kept(storage: Storage, job_id: str, step: int) -> list[int]:
    """The steps of which there are previews, until `step`: from here on this run makes its own."""
    prefix = previews_prefix(job_id)
    try:
        names = [key.removeprefix(prefix).removesuffix(".jpg") for key in storage.keys(prefix)]
    except STORAGE_ERRORS as error:
        log.warning("previews not listed", error=repr(error))
        return []
    return sorted(int(name) for name in names if int(name) <= step)
