"""`impasto batch`: a folder at once."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from client import Impasto
from client.cli import main
from client.folder import pairs
from shared.jobs import ErrorCode, JobError, JobStatus, StoredOutput
from shared.records import JobRecords, Lease
from tests.api.conftest import Change
from tests.client.conftest import NOBODY, Run, listening
from tests.conftest import picture_bytes

Paint = Callable[[str], StoredOutput]
MakePicture = Callable[..., Path]
DONE, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one of them without a suffix, a text, a hidden picture, and one deeper."""
    folder = tmp_path / "holiday"
    (folder / "deeper").mkdir(parents=True)
    (folder / "beach.jpg").write_bytes(picture_bytes("beach", 48, 32, "JPEG"))
    (folder / "Mole.PNG").write_bytes(picture_bytes("mole", 48, 32))
    (folder / "scan").write_bytes(picture_bytes("scan", 48, 32, "WEBP"))
    (folder / "deeper" / "sea.png").write_bytes(picture_bytes("sea", 48, 32))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(picture_bytes("hidden", 48, 32))
    return folder


@pytest.fixture
def style(picture_file: MakePicture) -> Path:
    return picture_file("style")


class Painter:
    """Paints what waits, as workers would, but fails some."""

    def __init__(self, impasto: Impasto, records: JobRecords, paint: Paint) -> None:
        self._impasto = impasto
        self._records = records
        self._paint = paint
        self._is_over = threading.Event()
        self.failing: set[str] = set()
        self.most_unfinished = 0
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        with Impasto(self._impasto.url) as impasto:
            while not self._is_over.wait(0.2):
                waiting = impasto.jobs([JobStatus.QUEUED], 100).jobs
                self.most_unfinished = max(self.most_unfinished, len(waiting))
                for job in waiting[-1:]:
                    self._finish(job.id, str(job.metadata["content_name"]))

    def _finish(self, job_id: str, name: str) -> None:
        if name not in self.failing:
            self._paint(job_id)
            return
        lease = self._records.claim(job_id, "w1")
        assert isinstance(lease, Lease)
        self._records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="the loss is NaN"))


@pytest.fixture
def painter(impasto: Impasto, records: JobRecords, paint: Paint) -> Iterator[Painter]:
    painter = Painter(impasto, records, paint)
    yield painter
    painter.stop()


def test_a_folder_is_painted_and_the_names_are_kept(
    run: Run, impasto: Impasto, folder: Path, style: Path, tmp_path: Path, painter: Painter
) -> None:
    painter.start()
    done = run("batch", folder, style, "-o", tmp_path / "out", "--set", "size=64")
    assert done.exit_code == DONE, done.output
    assert done.stdout == "3 painted, 0 there already, 0 failed\n"
    painted = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert painted == ["Mole.png", "beach.png", "scan.png"]
    assert (tmp_path / "out" / "scan.png").read_bytes().startswith(b"\x89PNG")
    jobs = list(impasto.all_jobs())
    assert {job.metadata["content_name"] for job in jobs} == {"beach.jpg", "Mole.PNG", "scan"}
    assert {job.params.size for job in jobs} == {64}


def test_deeper_folders_sidecars_and_json(
    run: Run, impasto: Impasto, folder: Path, style: Path, painter: Painter
) -> None:
    painter.start()
    out = folder / "painted"  # which is not taken for pictures to paint
    arguments = ("batch", folder, style, "-o", out, "--recursive", "--sidecar", "--json")
    done = run(*arguments)
    assert done.exit_code == DONE, done.output
    rows = json.loads(done.stdout)
    assert {row["picture"] for row in rows} == {
        *("beach.jpg", "Mole.PNG", "scan", str(Path("deeper") / "sea.png"))
    }
    assert {row["status"] for row in rows} == {"painted"}
    assert {row["job_id"] for row in rows} == {job.id for job in impasto.all_jobs()}
    assert (out / "deeper" / "sea.png").is_file()
    sidecar = json.loads((out / "deeper" / "sea.png.json").read_text())
    assert sidecar == {"weights": "oxford-q8"}
    again = json.loads(run(*arguments).stdout)
    assert {row["status"] for row in again} == {"skipped"}


def test_no_more_jobs_are_unfinished_than_were_allowed(
    run: Run, folder: Path, style: Path, tmp_path: Path, painter: Painter
) -> None:
    for number in range(5):
        (folder / f"more-{number}.png").write_bytes(picture_bytes(f"more {number}", 48, 32))
    painter.start()
    done = run("batch", folder, style, "-o", tmp_path / "out", "--at-a-time", "2")
    assert done.exit_code == DONE, done.output
    assert painter.most_unfinished == 2


def test_what_is_there_is_skipped_unless_it_shall_be_overwritten(
    run: Run, impasto: Impasto, folder: Path, style: Path, tmp_path: Path, painter: Painter
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "beach.png").write_bytes(b"mine")
    painter.start()
    done = run("batch", folder, style, "-o", out)
    assert done.stdout == "2 painted, 1 there already, 0 failed\n"
    assert (out / "beach.png").read_bytes() == b"mine"
    assert run("batch", folder, style, "-o", out, "--overwrite").exit_code == DONE
    assert (out / "beach.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(impasto.all_jobs())) == 3  # two were found again


def test_failures_are_listed_with_their_reasons_and_tried_again_by_the_next_run(
    run: Run, impasto: Impasto, folder: Path, style: Path, tmp_path: Path, painter: Painter
) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffno more than this")
    painter.failing.add("scan")
    painter.start()
    arguments = ("batch", folder, style, "-o", tmp_path / "out")
    done = run(*arguments)
    assert done.exit_code == FAILED
    assert done.stdout == "2 painted, 0 there already, 2 failed\n"
    assert "scan: the loss is NaN (diverged)" in done.stderr
    assert "broken.jpg: content: " in done.stderr
    assert "2 of 4 pictures could not be painted" in done.stderr

    painter.failing.clear()
    (folder / "broken.jpg").unlink()
    again = run(*arguments)
    assert (again.exit_code, again.stdout) == (DONE, "1 painted, 2 there already, 0 failed\n")
    (retried,) = [job for job in impasto.all_jobs() if job.retried_from]
    assert retried.metadata["content_name"] == "scan"


def test_a_picture_whose_job_was_deleted_is_painted_again(
    run: Run, impasto: Impasto, folder: Path, style: Path, tmp_path: Path, painter: Painter
) -> None:
    painter.start()
    arguments = ("batch", folder, style, "-o", tmp_path / "out", "--overwrite")
    assert run(*arguments).exit_code == DONE
    for job in list(impasto.all_jobs()):
        impasto.delete(job.id)
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (DONE, "3 painted, 0 there already, 0 failed\n")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_that_is_cut_short_finds_its_jobs_again(
    run: Run,
    impasto: Impasto,
    folder: Path,
    style: Path,
    tmp_path: Path,
    painter: Painter,
    end: signal.Signals,
) -> None:
    out = tmp_path / "out"
    arguments = ["batch", str(folder), str(style), "-o", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "client.cli", *arguments, "--url", impasto.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while len(before := impasto.jobs().jobs) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(end)
    _, stderr = process.communicate(timeout=20)
    if end == signal.SIGINT:
        assert process.returncode == INTERRUPTED
        assert "the same command goes on from here" in stderr
        assert "Traceback" not in stderr
    assert list(out.iterdir()) == []

    painter.start()
    done = run(*arguments)
    assert done.stdout == "3 painted, 0 there already, 0 failed\n"
    assert {job.id for job in impasto.all_jobs()} == {job.id for job in before}


def test_it_waits_until_there_may_be_another_job(
    change: Change,
    folder: Path,
    style: Path,
    tmp_path: Path,
    painter: Painter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.batch.ROOM_SECONDS", 0.2)
    painter.start()
    with listening(change(max_unfinished_jobs=1)) as url:
        arguments = ["batch", str(folder), str(style), "-o", str(tmp_path / "out"), "--url", url]
        done = CliRunner().invoke(main, arguments)
    assert done.exit_code == DONE, done.output
    assert painter.most_unfinished == 1


def test_a_service_that_is_not_there_ends_the_batch_at_once(
    run: Run, folder: Path, style: Path, tmp_path: Path
) -> None:
    done = run("batch", folder, style, "-o", tmp_path / "out", "--url", NOBODY)
    assert done.exit_code == UNREACHABLE
    assert "the same command goes on from here" in done.stderr
    assert done.stdout == "0 painted, 0 there already, 0 failed\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "texture"], "no photograph"),
        (["--preset", "reconstruction"], "one picture too many"),
        (["--set", "size=1"], "size: "),
        (["--at-a-time", "0"], "--at-a-time"),
    ],
)
def test_what_cannot_be_a_batch_is_wrong_usage(
    run: Run, folder: Path, style: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run("batch", folder, style, "-o", tmp_path / "out", *arguments, "--url", NOBODY)
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert said in " ".join(done.stderr.split())


def test_a_folder_without_pictures_is_said(run: Run, tmp_path: Path, style: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    done = run("batch", tmp_path, style, "-o", tmp_path / "out")
    assert done.exit_code == USAGE
    assert "there are no pictures" in done.stderr
    assert "--recursive" in done.stderr


def test_pictures_that_differ_in_their_suffix_only_keep_it(folder: Path) -> None:
    (folder / "beach.png").write_bytes(picture_bytes("other", 48, 32))
    found = pairs(folder, folder / "out", format_name="jpeg", recursive=False)
    assert {pair.name: pair.painting.name for pair in found} == {
        "Mole.PNG": "Mole.jpg",
        "beach.jpg": "beach.jpg.jpg",
        "beach.png": "beach.png.jpg",
        "scan": "scan.jpg",
    }
