"""The previews of a job: which are stored, which are kept, and what a resumed run knows of them."""

import io
from collections.abc import Iterator

import pytest
import torch
from PIL import Image

from shared.jobs import LossCurve, Progress
from shared.parameters import Parameters
from shared.settings import Settings
from shared.storage import Storage, job_prefix, losses_key, preview_key, previews_prefix
from worker import reports, timeline
from worker.engine import VGG19, Stylization, load_weights
from worker.reports import Reporter

STEPS = 40
JOB = "timeline"


@pytest.fixture
def run() -> Stylization:
    parameters = Parameters(size=32, steps=STEPS, optimizer="adam", pyramid=None, init="noise")
    random = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    return Stylization(VGG19(load_weights(), "cpu"), random, [random], parameters)


@pytest.fixture(autouse=True)
def _nothing_is_left(storage: Storage) -> Iterator[None]:
    yield
    storage.delete_prefix(job_prefix(JOB))


@pytest.fixture
def eager(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A preview at every step, whatever it costs."""
    monkeypatch.setattr(reports, "PREVIEW_SHARE", 1e6)
    no_pause = {"preview_interval_seconds": 0, "progress_interval_seconds": 0}
    return settings.model_copy(update=no_pause)


def stored(storage: Storage) -> list[int]:
    keys = storage.keys(previews_prefix(JOB))
    return sorted(int(key.removeprefix(previews_prefix(JOB)).split(".")[0]) for key in keys)


def paint(run: Stylization, reporter: Reporter, steps: int = STEPS) -> Progress:
    for progress in run:
        reporter.step(progress, preview_wanted=True)
        reporter._timeline.wait(10)
        if progress.step == steps:
            break
    return reporter.finish(progress) if steps == STEPS else reporter.describe(progress)


def test_a_timeline_that_grows_long_is_thinned_evenly_and_ends_with_the_picture(
    run: Stylization, storage: Storage, eager: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MAX_PREVIEWS", 8)
    last = paint(run, Reporter(JOB, run, storage, eager, lambda progress: None))

    assert last.previews == stored(storage)
    assert len(last.previews) == 8
    assert (last.previews[0], last.previews[-1]) == (1, STEPS)
    gaps = [after - before for before, after in zip(last.previews, last.previews[1:], strict=False)]
    assert max(gaps) <= STEPS / 2
    picture = Image.open(io.BytesIO(storage.get(preview_key(JOB, STEPS))))
    assert (picture.format, picture.size) == ("JPEG", (32, 32))


def test_the_losses_are_kept_with_the_previews_and_thinned_alike(
    run: Stylization, storage: Storage, eager: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MAX_SAMPLES", 8)
    monkeypatch.setattr(reports, "PROGRESS_SHARE", 1e6)
    last = paint(run, Reporter(JOB, run, storage, eager, lambda progress: None))

    curve = LossCurve.model_validate_json(storage.get(losses_key(JOB)))
    assert (curve.step[0], curve.step[-1]) == (1, STEPS)
    assert 4 <= len(curve.step) <= 8
    assert curve.step == sorted(set(curve.step))
    assert last.losses is not None
    assert list(curve.samples())[-1] == (STEPS, last.losses)
    assert curve.total[0] > curve.total[-1]


def test_a_job_that_nobody_watched_has_its_first_and_its_last_preview(
    run: Stylization, storage: Storage, eager: Settings
) -> None:
    reporter = Reporter(JOB, run, storage, eager, lambda progress: None)
    for progress in run:
        reporter.step(progress, preview_wanted=False)
        reporter._timeline.wait(10)
    assert reporter.finish(progress).previews == stored(storage) == [1, STEPS]


def test_a_resumed_run_keeps_the_timeline_until_the_step_from_which_it_goes_on(
    run: Stylization, storage: Storage, eager: Settings
) -> None:
    before = Reporter(JOB, run, storage, eager, lambda progress: None)
    paint(run, before, steps=6)
    for step in (7, 8):  # of a worker that was lost after its checkpoint
        storage.put(preview_key(JOB, step), b"", "image/jpeg")

    after = Reporter(JOB, run, storage, eager, lambda progress: None)
    assert paint(run, after, steps=7).previews == [*range(1, 7), 7]
    curve = LossCurve.model_validate_json(storage.get(losses_key(JOB)))
    assert (curve.step[0], curve.step[-1]) == (1, 7)


def test_where_s3_is_away_the_run_goes_on_without_a_timeline(
    run: Stylization, eager: Settings
) -> None:
    away = eager.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    reporter = Reporter(JOB, run, Storage(away, patient=False), away, lambda progress: None)
    progress = next(iter(run))
    reporter.step(progress, preview_wanted=True)
    assert reporter.finish(progress).previews == []
