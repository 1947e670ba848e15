"""What is kept of how a picture grew: previews by step, and the losses, both in S3.

Both are bounded, and thinned evenly when they grow long, so that all of the run stays shown.
"""

import structlog
from pydantic import ValidationError

from shared.jobs import LossCurve, Losses
from shared.storage import (
    STORAGE_ERRORS,
    ObjectMissing,
    Storage,
    losses_key,
    preview_key,
    previews_prefix,
)
from worker.errand import Errand

MAX_PREVIEWS = 48
MAX_SAMPLES = 256  # of the losses
LONGEST_SECONDS = 60.0  # that storing takes
log = structlog.get_logger(__name__)


class Timeline:
    """The previews and the losses of one job. Neither is worth the job: without S3 it goes on."""

    def __init__(self, storage: Storage, job_id: str, step: int) -> None:
        """
        Args:
            storage: where they lie.
            job_id: the job.
            step: from which it goes on. What another worker stored up to there is kept.
        """
        self._storage = storage
        self._job_id = job_id
        self._storing: Errand[None] | None = None
        self.previews: list[int] = []
        self._curve: list[tuple[int, Losses]] = []
        if step > 0:
            try:
                self.previews = self._find_previews(step)
                self._curve = self._find_losses(step)
            except STORAGE_ERRORS as error:
                log.warning("timeline not read", error=repr(error))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._storing is None or self._storing.is_done

    def wait(self, seconds: float) -> None:
        """Wait for what is on its way, but not longer."""
        if self._storing is not None:
            self._storing.wait(seconds)

    def note(self, step: int, losses: Losses) -> None:
        """Add losses to the curve. A run that went back some steps forgets those that it redoes."""
        self._curve = [sample for sample in self._curve if sample[0] < step]
        self._curve.append((step, losses))
        if len(self._curve) > MAX_SAMPLES:
            self._curve = [*self._curve[:-1:2], self._curve[-1]]

    def store(self, step: int, jpeg: bytes) -> None:
        """Store the preview of a step, and the losses until then, in a thread of its own."""
        curve = LossCurve.of(self._curve).model_dump_json().encode()
        before = self._storing

        def store() -> None:
            if before is not None:
                before.wait(LONGEST_SECONDS)  # one after the other, or an older one would win
            try:
                self._storage.put(preview_key(self._job_id, step), jpeg, "image/jpeg")
                self.previews = [*(each for each in self.previews if each < step), step]
                if len(self.previews) > MAX_PREVIEWS:
                    self._drop_one()
                self._storage.put(losses_key(self._job_id), curve, "application/json")
            except STORAGE_ERRORS as error:
                log.warning("preview not stored", error=repr(error))

        self._storing = Errand(store)  # however long S3 takes, painting goes on

    def _drop_one(self) -> None:
        """Forget the preview whose neighbours are closest."""
        steps = self.previews
        _, dropped = min(
            (after - before, step)
            for before, step, after in zip(steps, steps[1:-1], steps[2:], strict=False)
        )
        self.previews = [step for step in steps if step != dropped]
        self._storage.delete(preview_key(self._job_id, dropped))

    def _find_previews(self, until: int) -> list[int]:
        prefix = previews_prefix(self._job_id)
        names = (
            key.removeprefix(prefix).removesuffix(".jpg") for key in self._storage.keys(prefix)
        )
        return sorted(step for step in map(int, names) if step <= until)

    def _find_losses(self, until: int) -> list[tuple[int, Losses]]:
        try:
            curve = LossCurve.model_validate_json(self._storage.get(losses_key(self._job_id)))
        except (ObjectMissing, ValidationError):
            return []
        return [(step, losses) for step, losses in curve.samples() if step <= until]
