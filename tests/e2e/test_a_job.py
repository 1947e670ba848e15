"""The way of a job over HTTP, through Redis, Celery, a worker with real weights, and S3."""

import contextlib
import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from client import ApiProblem, Impasto, JobFailed
from deploy.embedded.stack import Stack
from shared.jobs import Job, JobStatus
from shared.presets import PRESETS
from tests.conftest import REAL_IMAGES, WORKERS

SMALL = {"size": 64, "steps": 8}
LONG = {"size": 128, "steps": 5000}
WAIT_SECONDS = 60.0
MakePicture = Callable[..., Path]


@pytest.fixture
def impasto(stack: Stack) -> Iterator[Impasto]:
    with Impasto(stack.url) as impasto:
        yield impasto


def until(condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def submit(impasto: Impasto, picture_file: MakePicture, **params: object) -> Job:
    return impasto.submit(picture_file("content"), [picture_file("style")], **params)


def painted(impasto: Impasto, job: Job) -> Image.Image:
    """The picture of a job, when it has ended."""
    return Image.open(io.BytesIO(impasto.result(impasto.wait(job.id).id)))


def test_a_posted_job_ends_with_a_picture_that_matches_its_hash(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = submit(impasto, picture_file, **SMALL)
    assert job.status == JobStatus.QUEUED

    job = impasto.wait(job.id)

    data = impasto.result(job.id)
    image = Image.open(io.BytesIO(data))
    assert job.output is not None
    assert image.size == (64, 48) == (job.output.width_px, job.output.height_px)
    assert hashlib.sha256(data).hexdigest() == job.output.sha256
    assert len(data) == job.output.size_bytes
    assert image.tobytes() != Image.open(picture_file("content")).resize(image.size).tobytes()


def test_the_result_is_found_under_a_presigned_url(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = impasto.wait(submit(impasto, picture_file, **SMALL).id)

    answer = httpx.get(impasto.url + job.urls.result)
    assert answer.status_code == 303
    assert httpx.get(answer.headers["Location"]).content == impasto.result(job.id)


def test_the_manifest_says_what_painted_the_picture(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = impasto.wait(submit(impasto, picture_file, seed=7, **SMALL).id)

    manifest = impasto.manifest(job.id)

    content = hashlib.sha256(picture_file("content").read_bytes()).hexdigest()
    assert manifest["inputs"]["content"] == content
    assert manifest["parameters"]["seed"] == 7
    assert manifest["parameters"] == job.params.model_dump(mode="json")
    assert manifest["weights"] == "oxford-q8"
    assert manifest["weights_sha256"] == impasto.workers()[0].weights_sha256
    assert job.output is not None
    assert manifest["output"]["sha256"] == job.output.sha256


def test_the_same_job_gives_the_same_bytes(impasto: Impasto, picture_file: MakePicture) -> None:
    ids = [submit(impasto, picture_file, init="noise", seed=3, **SMALL).id for _ in range(2)]
    assert impasto.result(impasto.wait(ids[0]).id) == impasto.result(impasto.wait(ids[1]).id)


def test_progress_only_grows_and_ends_at_the_last_step(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = submit(impasto, picture_file, size=128, steps=120)

    seen = [job.progress for job in impasto.follow(job.id) if job.progress is not None]

    steps = [progress.step for progress in seen]
    assert len(set(steps)) > 2
    assert steps == sorted(steps)
    assert (steps[-1], seen[-1].fraction) == (120, 1.0)
    assert all(progress.losses is not None and progress.losses.total > 0 for progress in seen)
    etas = [progress.eta_seconds for progress in seen]
    assert etas[-1] == 0
    assert max(eta for eta in etas if eta is not None) > 0


def test_a_preview_can_be_seen_while_the_job_runs(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = submit(impasto, picture_file, **LONG)
    previews = []

    def seen_two() -> bool:
        with contextlib.suppress(ApiProblem):  # 404 until there is one
            previews.append(impasto.preview(job.id))
        return len(set(previews)) >= 2

    until(seen_two, "two different previews")
    impasto.cancel(job.id)
    assert Image.open(io.BytesIO(previews[0])).format == "JPEG"


def test_two_workers_take_two_jobs_and_the_third_waits_for_its_turn(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    running = [submit(impasto, picture_file, **LONG) for _ in range(WORKERS)]
    for job in running:
        until(lambda job=job: impasto.job(job.id).status == "running", "a worker for each job")
    third = submit(impasto, picture_file, **SMALL)
    fourth = submit(impasto, picture_file, **SMALL)

    assert [impasto.job(job.id).queue_position for job in (third, fourth)] == [0, 1]
    assert {worker.job_id for worker in impasto.workers()} == {job.id for job in running}
    assert impasto.job(third.id).status == JobStatus.QUEUED

    impasto.cancel(running[0].id)
    impasto.wait(third.id)
    impasto.wait(fourth.id)
    assert impasto.job(running[1].id).status == JobStatus.RUNNING
    impasto.cancel(running[1].id)


def test_canceling_stops_a_running_job_long_before_its_end_and_frees_its_worker(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = submit(impasto, picture_file, **LONG)
    until(lambda: impasto.job(job.id).progress is not None, "progress")

    impasto.cancel(job.id)
    until(lambda: impasto.job(job.id).status.is_terminal, "the end")

    canceled = impasto.job(job.id)
    assert canceled.status == JobStatus.CANCELED
    assert canceled.cancel_requested_at is not None
    assert canceled.finished_at is not None
    assert canceled.progress is not None
    # Looking for the flag before each step is in tests/worker/test_stops.py; this is the whole way.
    seconds = (canceled.finished_at - canceled.cancel_requested_at).total_seconds()
    assert seconds < (canceled.progress.eta_seconds or 0) / 20
    until(lambda: all(w.job_id is None for w in impasto.workers()), "idle workers")
    with pytest.raises(JobFailed, match="canceled"):
        impasto.wait(job.id)


def test_a_waiting_job_is_canceled_at_once_and_never_runs(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    running = [submit(impasto, picture_file, **LONG) for _ in range(WORKERS)]
    waiting = submit(impasto, picture_file, **SMALL)

    assert impasto.cancel(waiting.id).status == JobStatus.CANCELED
    assert impasto.cancel(waiting.id).status == JobStatus.CANCELED  # again does no harm

    for job in running:
        impasto.cancel(job.id)
        with pytest.raises(JobFailed, match="canceled"):
            impasto.wait(job.id)
    after = impasto.wait(submit(impasto, picture_file, **SMALL).id)
    assert after.status == JobStatus.SUCCEEDED
    assert impasto.job(waiting.id).attempt == 0


def test_a_finished_job_cannot_be_canceled(impasto: Impasto, picture_file: MakePicture) -> None:
    job = impasto.wait(submit(impasto, picture_file, **SMALL).id)
    with pytest.raises(ApiProblem) as refusal:
        impasto.cancel(job.id)
    assert refusal.value.status == 409


def test_a_job_that_cannot_be_painted_fails_with_its_reason(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    overflowing = {"style_weight": 1e12, "style_layers": {"relu1_1": 1e12}, "gram_divisor": "none"}
    job = submit(impasto, picture_file, preset="neural-style", **overflowing, **SMALL)

    with pytest.raises(JobFailed) as failure:
        impasto.wait(job.id)

    error = failure.value.job.error
    assert error is not None
    assert error.code == "diverged"
    assert "smaller weights" in error.message


def test_several_styles_are_blended_by_their_weights(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    styles = [picture_file("style"), picture_file("other")]

    def paint(weights: list[float]) -> bytes:
        job = impasto.submit(picture_file("content"), styles, style_weights=weights, **SMALL)
        return painted(impasto, job).tobytes()

    only_first = submit(impasto, picture_file, **SMALL)
    assert paint([1.0, 0.0]) == painted(impasto, only_first).tobytes()
    assert paint([0.5, 0.5]) != paint([1.0, 0.0])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_paints(impasto: Impasto, picture_file: MakePicture, name: str) -> None:
    job = impasto.wait(submit(impasto, picture_file, preset=name, size=48, steps=3).id)
    assert impasto.manifest(job.id)["parameters"]["preset"] == name


def test_a_texture_has_any_shape_and_needs_no_photograph(
    impasto: Impasto, picture_file: MakePicture
) -> None:
    job = impasto.submit(None, [picture_file("style")], preset="texture", aspect_ratio=2.0, **SMALL)
    assert painted(impasto, job).size == (64, 32)
    assert impasto.manifest(job.id)["inputs"]["content"] is None


def test_a_reconstruction_needs_no_painting(impasto: Impasto, picture_file: MakePicture) -> None:
    job = impasto.submit(picture_file("content"), preset="reconstruction", **SMALL)
    assert painted(impasto, job).size == (64, 48)
    assert impasto.manifest(job.id)["inputs"]["styles"] == []


def half(folder: Path, side: str) -> Path:
    """A mask of the left or the right half."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:, slice(None, 32) if side == "left" else slice(32, None)] = 255
    Image.fromarray(mask).save(folder / f"{side}.png")
    return folder / f"{side}.png"


def test_masks_say_which_style_applies_where(
    impasto: Impasto, picture_file: MakePicture, tmp_path: Path
) -> None:
    left, right = half(tmp_path, "left"), half(tmp_path, "right")
    styles = [picture_file("style"), picture_file("other")]

    def paint(masks: list[Path]) -> bytes:
        job = impasto.submit(picture_file("content"), styles, masks=masks, **SMALL)
        return painted(impasto, job).tobytes()

    assert len({paint([left, right]), paint([right, left]), paint([])}) == 3


def test_a_picture_of_ones_own_is_started_from(impasto: Impasto, picture_file: MakePicture) -> None:
    pictures = [picture_file("content"), [picture_file("style")]]
    still = {"size": 96, "steps": 1, "pyramid": None, "max_step": 1e-6}
    job = impasto.submit(*pictures, init_image=picture_file("start"), **still)
    picture = np.asarray(painted(impasto, job), float)
    start = np.asarray(Image.open(picture_file("start")), float)
    assert np.abs(picture - start).max() <= 1


@pytest.mark.parametrize(
    ("kind", "bit_depth"), [("tiff", 16), ("tiff", 8), ("png", 16), ("jpeg", 8), ("webp", 8)]
)
def test_a_picture_is_delivered_in_the_format_that_was_asked_for(
    impasto: Impasto, picture_file: MakePicture, kind: str, bit_depth: int
) -> None:
    output = {"format": kind, "bit_depth": bit_depth}
    job = impasto.wait(submit(impasto, picture_file, output=output, **SMALL).id)
    assert job.output is not None
    assert job.output.content_type == f"image/{kind}"
    answer = httpx.get(impasto.url + job.urls.result, follow_redirects=True)
    assert f"{job.id}.{kind}" in answer.headers["Content-Disposition"]
    assert str(Image.open(io.BytesIO(answer.content)).format).lower() == kind


AGAIN: dict[str, dict[str, Any]] = {
    "the default": SMALL,
    "noise": {**SMALL, "init": "noise", "seed": 7},
    "a preset with one value overridden": {**SMALL, "preset": "d2l", "tv_weight": 3.0},
    "an effort": {"size": 48, "preset": "content-clone", "quality": "draft"},
    "a level that ended early": {**SMALL, "plateau": {"window": 2, "change": 0.9}},
    "a deadline": {"size": 96, "steps": 2000, "deadline_seconds": 1.0},
}


@pytest.mark.parametrize("params", AGAIN.values(), ids=AGAIN)
def test_posting_the_parameters_of_a_manifest_again_gives_the_same_bytes(
    impasto: Impasto, picture_file: MakePicture, params: dict[str, Any]
) -> None:
    first = impasto.wait(submit(impasto, picture_file, **params).id)
    repeating = impasto.manifest(first.id)["parameters"]
    again = impasto.wait(submit(impasto, picture_file, **repeating).id)
    assert impasto.result(again.id) == impasto.result(first.id)


@pytest.mark.skipif(not REAL_IMAGES.is_dir(), reason="the real pictures lie beside the repository")
def test_a_real_photograph_and_painting_go_the_whole_way(impasto: Impasto) -> None:
    job = impasto.submit(
        REAL_IMAGES / "tubingen.jpg", [REAL_IMAGES / "starry_night.jpg"], size=128, steps=10
    )
    job = impasto.wait(job.id)
    assert job.output is not None
    assert max(job.output.width_px, job.output.height_px) == 128
