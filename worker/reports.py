"""What a running job tells: progress into Celery's task state, previews and losses to S3.

Each costs at most its share of the time that the run takes, and the first time: whoever is slow to
take reports gets fewer. (See `Interval` for what an outage costs.) Progress is tried every ten
seconds whatever it costs: people watch the bar.
"""

import io
from collections.abc import Callable

from PIL import Image

from shared.jobs import Progress as JobProgress
from shared.settings import Settings
from shared.storage import Storage
from worker.engine import Progress, Stylization
from worker.manifest import job_losses
from worker.pace import Interval, Pace
from worker.timeline import Timeline

PROGRESS_SHARE = 0.008
LONGEST_PROGRESS_PAUSE_SECONDS = 10.0
PREVIEW_SHARE = 0.005
PREVIEW_QUALITY = 80
PREVIEW_MAX_PX = 768
LAST_PREVIEW_SECONDS = 5.0  # that a finished run waits for it


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
        self._run = run
        self._publish = publish
        self._pace = Pace(run.levels, run.remaining_seconds)
        self._progress_interval = Interval(
            settings.progress_interval_seconds,
            PROGRESS_SHARE,
            longest_pause=LONGEST_PROGRESS_PAUSE_SECONDS,
        )
        self._has_published = False
        self._preview_interval = Interval(settings.preview_interval_seconds, PREVIEW_SHARE)
        self._timeline = Timeline(storage, job_id, run.step)

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
            if described.losses is not None:
                self._timeline.note(progress.step, described.losses)
            if self._has_published:
                with self._progress_interval.counted():
                    self._publish(described)
            else:  # which also opens the connection: nobody should wait for that to be earned
                self._publish(described)
                self._has_published = True
        wanted = preview_wanted or not self._timeline.previews
        if wanted and self._timeline.is_idle and self._preview_interval.is_due():
            progress.losses()  # the same wait
            with self._preview_interval.counted():
                self._store_preview(progress.step)

    def finish(self, progress: Progress) -> JobProgress:
        """Store a preview of the finished picture and the losses, and describe the end.

        Lists show it instead of the picture, which may be large, or a TIFF.
        """
        self._timeline.wait(LAST_PREVIEW_SECONDS)
        if losses := self.describe(progress).losses:
            self._timeline.note(progress.step, losses)
        self._store_preview(progress.step)
        self._timeline.wait(LAST_PREVIEW_SECONDS)
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
            previews=list(self._timeline.previews),
        )

    def _store_preview(self, step: int) -> None:
        image = Image.fromarray(self._run.picture().numpy())
        image.thumbnail((PREVIEW_MAX_PX, PREVIEW_MAX_PX), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=PREVIEW_QUALITY)
        self._timeline.store(step, buffer.getvalue())
