"""The command line as scripts and people use it: exit codes, JSON, sentences."""

import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from client import Impasto
from client.cli import COMMANDS, SUMMARIES, main
from client.parameters import asked_for, parse_settings
from shared.jobs import ErrorCode, Inputs, Job, JobError, JobList, JobStatus, StoredOutput
from shared.parameters import field_names
from shared.presets import PRESETS
from shared.records import JobRecords, Lease
from shared.settings import Settings
from tests.client.conftest import NOBODY, Run

Paint = Callable[[str], StoredOutput]
MakePicture = Callable[..., Path]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there
DONE, FAILED, USAGE, UNREACHABLE, CANCELED, INTERRUPTED = 0, 1, 2, 3, 4, 130


@pytest.fixture
def pictures(picture_file: MakePicture) -> tuple[Path, Path]:
    return picture_file("content"), picture_file("style")


@pytest.fixture
def job_id(impasto: Impasto, pictures: tuple[Path, Path]) -> str:
    return impasto.submit(pictures[0], pictures[1:]).id


def inputs_of(records: JobRecords, job_id: str) -> Inputs:
    found = records.get(job_id.strip())
    assert found is not None
    return found[0].inputs


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- help ---------------------------------------------------------------------------------------


def test_every_command_is_listed_with_a_summary(run: Run) -> None:
    listed = run("--help")
    assert listed.exit_code == DONE
    assert set(SUMMARIES) == set(COMMANDS)
    for name, summary in SUMMARIES.items():
        assert f"  {name} " in listed.output
        assert summary in listed.output


@pytest.mark.parametrize(
    "name", ["batch", "cancel", "delete", "estimate", "jobs", "result", "retry", "status", "submit"]
)
def test_what_speaks_to_the_service_has_examples_that_are_understood(run: Run, name: str) -> None:
    shown = run(name, "--help").stdout
    examples = [line.strip() for line in shown.partition("Examples:")[2].splitlines() if line]
    assert examples
    options = {word for line in examples for word in re.findall(r"(?<=\s)--?[a-z][a-z-]*", line)}
    known = {option for group in (name, "submit", "result", "status") for option in opts(group)}
    assert options <= known


def opts(name: str) -> set[str]:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    shown = run(name, "--help")
    assert shown.exit_code == DONE
    assert f"impasto {name}" in shown.output.replace("main", "impasto")
    assert "--help" in shown.output
    assert run(name, "--no-such-option").exit_code == USAGE


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    assert run("paint").exit_code == USAGE
    assert run("--version").output.startswith("impasto, version ")


def test_commands_that_ask_the_service_import_nothing_heavy(url: str) -> None:
    code = (
        "import sys; from client.cli import main\n"
        "for command in (['status', 'x'], ['jobs'], ['cancel', 'x'], ['result', 'x'],"
        " ['retry', 'x'], ['delete', 'x'], ['presets'], ['submit', '--help']):\n"
        "    try: main(command)\n"
        "    except SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'flask', 'celery', 'boto3', 'redis', 'PIL')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "IMPASTO_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


# -- submit -------------------------------------------------------------------------------------


def test_submit_prints_the_id_and_nothing_else(
    run: Run, impasto: Impasto, pictures: tuple[Path, Path]
) -> None:
    done = run("submit", *pictures, "--preset", "content-clone", "--set", "size=64")
    assert (done.exit_code, done.stderr) == (DONE, "")
    job = impasto.job(done.stdout.strip())
    assert (job.params.preset, job.params.size) == ("content-clone", 64)


def test_submit_sets_anything_and_prints_json(run: Run, pictures: tuple[Path, Path]) -> None:
    settings = ["size=64", "pyramid.min_size=32", "init=noise", 'style_layers={"relu1_1": 2}']
    done = run(
        *("submit", *pictures, pictures[1], "--json", "--priority", "low"),
        *(part for setting in settings for part in ("--set", setting)),
    )
    assert done.exit_code == DONE
    job = Job.model_validate_json(done.stdout)
    assert job.params.pyramid is not None
    assert (job.params.size, job.params.pyramid.min_size, job.params.init) == (64, 32, "noise")
    assert job.params.style_layers == {"relu1_1": 2.0}
    assert job.priority == "low"


@pytest.fixture
def painting(impasto: Impasto, paint: Paint) -> Iterator[None]:
    """A worker that paints the first job there is."""

    def work() -> None:
        with Impasto(impasto.url) as service:
            while not (waiting := service.jobs([JobStatus.QUEUED]).jobs):
                if is_over.wait(0.1):
                    return
            paint(waiting[0].id)

    is_over = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    yield
    is_over.set()
    worker.join()


@pytest.mark.parametrize("how", [[], ["--follow"], ["--wait"]])
def test_submit_follows_and_saves_the_picture(
    run: Run, pictures: tuple[Path, Path], tmp_path: Path, painting: None, how: list[str]
) -> None:
    done = run("submit", *pictures, "-o", tmp_path / "out.png", "--json", *how)
    assert done.exit_code == DONE, done.output
    assert Job.model_validate_json(done.stdout).status == "succeeded"
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_submit_waits_and_says_nothing_but_the_id(
    run: Run, impasto: Impasto, pictures: tuple[Path, Path], painting: None
) -> None:
    done = run("submit", *pictures, "--wait")
    assert (done.exit_code, done.stderr) == (DONE, "")
    assert impasto.job(done.stdout.strip()).status == "succeeded"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "size"],
        ["--set", "=64"],
        ["--set", "stile=1"],
        ["--set", "content=a.jpg"],
        ["--set", "priority=high"],
        ["--set", "metadata={}"],
        ["--set", "size=64", "--set", "size.x=1"],
        ["--priority", "urgent"],
    ],
)
def test_what_cannot_be_submitted_is_wrong_usage(
    run: Run, valkey: Any, pictures: tuple[Path, Path], arguments: list[str]
) -> None:
    done = run("submit", *pictures, *arguments)
    assert done.exit_code == USAGE
    assert "Error: " in done.stderr
    assert valkey.keys("*") == []


def test_pictures_that_are_not_there_are_wrong_usage(run: Run, pictures: tuple[Path, Path]) -> None:
    assert run("submit").exit_code == USAGE
    assert run("submit", pictures[0], "nothing.png").exit_code == USAGE


@pytest.mark.parametrize(
    "setting",
    ["size=1", "size=NaN", "size=1e999", "size=wide", "preset=x", "pyramid.factor=9"],
)
def test_parameters_out_of_bounds_are_wrong_usage_and_nothing_is_sent(
    run: Run, pictures: tuple[Path, Path], setting: str
) -> None:
    done = run("submit", *pictures, "--set", setting, "--url", NOBODY)
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert f"Error: {setting.split('=')[0]}: " in done.stderr


def test_what_the_service_refuses_is_a_failure_with_its_sentence(
    run: Run, pictures: tuple[Path, Path]
) -> None:
    done = run("submit", *pictures, "--set", "size=4096")  # the service's own limit is lower
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert done.stderr.startswith("Error: params/size")


def test_a_preset_without_photograph_takes_every_picture_as_a_style(
    run: Run, records: JobRecords, pictures: tuple[Path, Path]
) -> None:
    done = run("submit", *pictures, "--preset", "texture", "--set", "aspect_ratio=1.5")
    assert done.exit_code == DONE, done.output
    inputs = inputs_of(records, done.stdout)
    assert (inputs.content, inputs.styles) == (None, [digest(path) for path in pictures])


def test_a_preset_without_style_takes_the_photograph_alone(
    run: Run, records: JobRecords, pictures: tuple[Path, Path]
) -> None:
    done = run("submit", pictures[0], "--preset", "reconstruction")
    assert done.exit_code == DONE, done.output
    inputs = inputs_of(records, done.stdout)
    assert (inputs.content, inputs.styles) == (digest(pictures[0]), [])

    too_many = run("submit", *pictures, "--preset", "reconstruction")
    assert too_many.exit_code == USAGE
    assert f"{pictures[1]} is one picture too many" in " ".join(too_many.stderr.split())


def test_masks_and_the_picture_to_start_from_are_sent(
    run: Run, impasto: Impasto, records: JobRecords, pictures: tuple[Path, Path]
) -> None:
    content, style = pictures
    masks = ["--mask", content, "--mask", style]
    done = run("submit", content, style, style, *masks, "--init-image", style)
    assert done.exit_code == DONE, done.output
    inputs = inputs_of(records, done.stdout)
    assert inputs.masks == [digest(content), digest(style)]
    assert inputs.init == digest(style)
    assert impasto.job(done.stdout.strip()).params.init == "image"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a style image is missing"),
        (["STYLE", "--set", "style_weights=[1, 2]"], "2 values for 1 style image"),
        (["STYLE", "STYLE", "--mask", "STYLE"], "1 mask for 2 style images"),
        (["STYLE", "--init-image", "STYLE", "--set", "init=noise"], "set init=image"),
        (["STYLE", "--set", "init=image"], "the image to start from is missing"),
        (["STYLE", "--set", "aspect_ratio=2"], "the shape of its content image"),
    ],
)
def test_pictures_that_do_not_fit_the_parameters_are_wrong_usage_and_nothing_is_sent(
    run: Run, pictures: tuple[Path, Path], arguments: list[str], said: str
) -> None:
    content, style = pictures
    filled = [style if argument == "STYLE" else argument for argument in arguments]
    done = run("submit", content, *filled, "--url", NOBODY)
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "kind"), [("a.tif", "tiff"), ("a.TIFF", "tiff"), ("a.jpg", "jpeg"), ("a.webp", "webp")]
)
def test_the_name_of_the_output_decides_its_format(name: str, kind: str) -> None:
    asked = asked_for(["output.quality=80"], {"seed": None, "size": 64}, output=Path(name))
    assert asked == {"size": 64, "output": {"quality": 80, "format": kind}}


def test_an_output_of_an_unknown_format_is_wrong_usage(
    run: Run, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    done = run("submit", *pictures, "-o", tmp_path / "out.gif", "--url", NOBODY)
    assert done.exit_code == USAGE
    assert ".tif or .tiff" in done.stderr


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        (["size=512", "pyramid.min_size=64", "init=noise"], None),
        (["pyramid=null"], {"pyramid": None}),
        (["a=b=c"], {"a": "b=c"}),
        (["a="], {"a": ""}),
        (["betas=[0.9, 0.99]"], {"betas": [0.9, 0.99]}),
        (["size=1", "size=2"], {"size": 2}),
        (['output.format="jpeg"', "output.quality=80"], None),
        (["relative=false"], {"relative": False}),
    ],
)
def test_settings_are_json_where_they_can_be(pairs: list[str], expected: Any) -> None:
    if expected is None:
        expected = {
            "size=512": {"size": 512, "pyramid": {"min_size": 64}, "init": "noise"},
            'output.format="jpeg"': {"output": {"format": "jpeg", "quality": 80}},
        }[pairs[0]]
    assert parse_settings(pairs) == expected


def test_a_setting_inside_a_value_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="has a value already"):
        parse_settings(["size=1", "size.x=2"])


# -- status, jobs, cancel, result ---------------------------------------------------------------


def test_status_shows_the_job(run: Run, job_id: str) -> None:
    assert job_id in run("status", job_id).stdout
    shown = run("status", job_id, "--json")
    assert Job.model_validate_json(shown.stdout).id == job_id


def test_jobs_lists_them_newest_first(
    run: Run, impasto: Impasto, pictures: tuple[Path, Path], job_id: str
) -> None:
    newer = impasto.submit(pictures[0], pictures[1:]).id
    impasto.cancel(newer)
    page = JobList.model_validate_json(run("jobs", "--json").stdout)
    assert [job.id for job in page.jobs] == [newer, job_id]
    only = JobList.model_validate_json(run("jobs", "--status", "canceled", "--json").stdout)
    assert [job.id for job in only.jobs] == [newer]
    assert run("jobs", "--limit", "0").exit_code == USAGE
    assert run("jobs", "--status", "done").exit_code == USAGE


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_an_id_can_be_copied_from_any_terminal_or_pipe(run: Run, job_id: str, columns: str) -> None:
    code = "from client.cli import main; main(['jobs'])"
    url = run("jobs").runner.env["IMPASTO_URL"]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "IMPASTO_URL": url, "COLUMNS": columns},
        capture_output=True,
        text=True,
        check=True,
    )
    assert job_id in done.stdout


def test_cancel_ends_a_waiting_job(run: Run, impasto: Impasto, job_id: str) -> None:
    assert run("cancel", job_id).stdout == "canceled\n"
    assert impasto.job(job_id).status == "canceled"
    assert Job.model_validate_json(run("cancel", job_id, "--json").stdout).status == "canceled"


def test_cancel_of_a_running_job_says_when_it_stops(
    run: Run, job_id: str, records: JobRecords
) -> None:
    records.claim(job_id, "w1")
    done = run("cancel", job_id)
    assert (done.exit_code, done.stdout) == (DONE, "it stops at its next step\n")


def test_a_finished_job_cannot_be_canceled(run: Run, job_id: str, paint: Paint) -> None:
    paint(job_id)
    done = run("cancel", job_id)
    assert (done.exit_code, done.stderr) == (FAILED, "Error: the job has already succeeded\n")


def test_retry_prints_the_id_of_the_new_job(run: Run, impasto: Impasto, job_id: str) -> None:
    assert run("retry", job_id).exit_code == FAILED
    impasto.cancel(job_id)
    done = run("retry", job_id)
    assert (done.exit_code, done.stderr) == (DONE, "")
    assert impasto.job(done.stdout.strip()).retried_from == job_id
    assert Job.model_validate_json(run("retry", job_id, "--json").stdout).retried_from == job_id


def test_delete_removes_a_finished_job(run: Run, job_id: str, paint: Paint) -> None:
    assert run("delete", job_id).exit_code == FAILED
    paint(job_id)
    assert run("delete", job_id).stdout == "deleted\n"
    done = run("status", job_id)
    assert done.exit_code == FAILED
    assert "was deleted" in done.stderr


def test_a_command_that_is_repeated_with_its_key_makes_no_second_job(
    run: Run, pictures: tuple[Path, Path]
) -> None:
    first, again = (run("submit", *pictures, "--idempotency-key", "order 7") for _ in range(2))
    assert first.exit_code == DONE
    assert first.stdout == again.stdout


def test_a_webhook_is_sent_with_the_job(run: Run, pictures: tuple[Path, Path]) -> None:
    done = run("submit", *pictures, "--webhook", "https://example.org/told")
    assert done.exit_code == FAILED  # this service signs none
    assert done.stderr.startswith("Error: webhook: ")


def test_result_saves_the_picture(run: Run, job_id: str, paint: Paint, tmp_path: Path) -> None:
    output = paint(job_id)
    target = tmp_path / "out.png"
    assert run("result", job_id, "-o", target).stdout == f"Saved {target}\n"
    assert len(target.read_bytes()) == output.size_bytes
    described = json.loads(run("result", job_id, "-o", target, "--json").stdout)
    assert described["sha256"] == output.sha256


def test_a_result_that_cannot_be_written_is_a_failure(
    run: Run, job_id: str, paint: Paint, tmp_path: Path
) -> None:
    paint(job_id)
    done = run("result", job_id, "-o", tmp_path / "no" / "such" / "folder.png")
    assert done.exit_code == FAILED
    assert "cannot write" in done.stderr


def test_the_exit_code_says_how_a_job_ended(
    run: Run, impasto: Impasto, pictures: tuple[Path, Path], job_id: str, records: JobRecords
) -> None:
    assert run("result", job_id).exit_code == FAILED  # not finished yet
    impasto.cancel(job_id)
    assert run("result", job_id).exit_code == CANCELED
    assert run("status", job_id, "--follow").exit_code == CANCELED
    assert run("status", job_id).exit_code == DONE  # a question that was answered

    failed = impasto.submit(pictures[0], pictures[1:]).id
    lease = records.claim(failed, "w1")
    assert isinstance(lease, Lease)
    records.fail(lease, JobError(code=ErrorCode.DIVERGED, message="the loss [/b] is NaN"))
    for command in (["result", failed], ["status", failed, "--follow"]):
        done = run(*command)
        assert done.exit_code == FAILED
        assert "the loss [/b] is NaN (diverged)" in done.stderr
    assert "the loss [/b] is NaN" in run("status", failed).stdout


@pytest.mark.parametrize("command", ["status", "cancel", "retry", "delete", "result"])
def test_an_unknown_job_is_a_failure(run: Run, command: str) -> None:
    done = run(command, "unknown")
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert "there is no job 'unknown'" in done.stderr


@pytest.mark.parametrize(
    "command", ["status", "cancel", "retry", "delete", "result", "jobs", "submit"]
)
def test_an_unreachable_service_has_an_exit_code_of_its_own(
    run: Run, pictures: tuple[Path, Path], command: str
) -> None:
    arguments = {"jobs": [], "submit": list(pictures)}.get(command, ["some-job"])
    done = run(command, *arguments, "--url", NOBODY)
    assert done.exit_code == UNREACHABLE
    assert NOBODY in done.stderr
    assert "impasto up" in done.stderr


def test_following_can_be_interrupted_and_the_job_goes_on(
    impasto: Impasto, job_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "client.cli", "status", job_id, "--follow", "--url", impasto.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    with caplog.at_level(logging.INFO, "werkzeug"):
        while sum(f"GET /v1/jobs/{job_id}" in line for line in caplog.messages) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED
    assert "a job that was accepted goes on" in stderr
    assert "Traceback" not in stderr
    assert impasto.job(job_id).status == "queued"


# -- estimate -----------------------------------------------------------------------------------


def test_estimate_says_what_a_job_would_take(
    run: Run, impasto: Impasto, pictures: tuple[Path, Path]
) -> None:
    content, style = pictures
    done = run("estimate", content, style, "--set", "size=64", "--set", "steps=7")
    assert done.exit_code == DONE, done.output
    assert "steps to 64x48 px" in done.stdout
    assert "0 workers are up" in done.stdout
    told = json.loads(run("estimate", content, style, "--set", "size=64", "--json").stdout)
    assert told == impasto.estimate(content, [style], size=64).model_dump(mode="json")
    assert list(impasto.all_jobs()) == []


def test_estimate_refuses_what_submit_refuses(run: Run, pictures: tuple[Path, Path]) -> None:
    content, style = pictures
    assert run("estimate", content).exit_code == USAGE
    assert run("estimate", content, style, "--set", "stile=1").exit_code == USAGE
    assert run("estimate", content, style, "--mask", style, "--mask", style).exit_code == USAGE
    too_large = run("estimate", content, style, "--set", "size=4096")
    assert too_large.exit_code == FAILED
    assert too_large.stderr.startswith("Error: params/size")
    assert run("estimate", content, style, "--url", NOBODY).exit_code == UNREACHABLE


# -- presets ------------------------------------------------------------------------------------


def test_presets_are_shown_without_any_service(run: Run) -> None:
    shown = run("presets", env={"IMPASTO_URL": NOBODY})
    assert all(name in shown.stdout for name in PRESETS)
    words = " ".join(shown.stdout.split())  # however wide the terminal is
    assert all(preset.source in words for preset in PRESETS.values())


def test_presets_are_printed_as_the_service_lists_them(run: Run, url: str) -> None:
    printed = json.loads(run("presets", "--json", env={"IMPASTO_URL": NOBODY}).stdout)
    listed = httpx.get(f"{url}/v1/presets").json()
    assert printed == {name: listed[name] for name in printed}
    assert printed["presets"]
    assert printed["parameters_schema"]


def test_every_parameter_is_explained_in_the_width_of_the_terminal() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "client.cli", "presets"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    for expected in (
        *(f" {name} " for name in field_names()),
        "size integer 32 to 4096; default: 512 Long side of the result, px.",
        "pyramid.min_size integer 32 to 4096; default: 128",
        "output.format png | jpeg | webp | tiff; default: png",
        "max_step number above 0 and at most 1000, or null; default: 0.01",
        "betas list of 2 numbers at least 0 and below 1; default: [0.9, 0.99]",
        'content_layers {layer: number 0 to 1e12}; default: {"relu4_2": 1, "relu5_2": 1}',
        "lr_decay the parts below, or null; default: null",
        "Takes: STYLES... init=noise content_weight=0",
    ):
        assert expected in words


# -- doctor and api -----------------------------------------------------------------------------


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    secret = settings.s3_secret_access_key
    assert secret is not None
    return {
        "IMPASTO_REDIS_URL": settings.redis_url.get_secret_value(),
        "IMPASTO_S3_ENDPOINT_URL": str(settings.s3_endpoint_url),
        "IMPASTO_S3_BUCKET": settings.s3_bucket,
        "IMPASTO_S3_ACCESS_KEY_ID": str(settings.s3_access_key_id),
        "IMPASTO_S3_SECRET_ACCESS_KEY": secret.get_secret_value(),
        **changes,
    }


def test_doctor_finds_everything_in_order(run: Run, settings: Settings) -> None:
    done = run("doctor", env=environment(settings))
    assert done.exit_code == DONE, done.output
    assert "fail" not in done.stdout
    for name in ("Redis", "Redis keeps jobs", "S3", "VGG-19 weights", "Device"):
        assert name in done.stdout


def test_doctor_says_what_is_wrong_and_what_to_do(run: Run, settings: Settings) -> None:
    broken = environment(
        settings,
        IMPASTO_REDIS_URL="redis://:hidden@127.0.0.1:9/0",
        IMPASTO_S3_SECRET_ACCESS_KEY="hidden",
        IMPASTO_WEIGHTS="/nonexistent.pth",
        IMPASTO_DEVICE="cuda:97",
    )
    done = run("doctor", "--json", env=broken)
    assert done.exit_code == FAILED
    assert "hidden" not in done.output
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert {name for name, finding in findings.items() if not finding["ok"]} == set(findings)
    assert "impasto up" in findings["Redis"]["advice"]
    assert "/nonexistent.pth" in findings["VGG-19 weights"]["detail"]
    assert "cuda:97" in findings["Device"]["detail"]


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("IMPASTO_REDIS_URL", "nonsense", "Redis"),
        ("IMPASTO_S3_ENDPOINT_URL", "nonsense", "S3"),
        ("IMPASTO_S3_ENDPOINT_URL", "http://127.0.0.1:9", "S3"),
        ("IMPASTO_S3_BUCKET", "not/a bucket", "S3"),
    ],
)
def test_doctor_survives_any_setting(
    run: Run, settings: Settings, monkeypatch: Any, name: str, value: str, finding: str
) -> None:
    from client.commands import doctor

    fine = doctor.Finding("not checked", ok=True, detail="")
    monkeypatch.setattr(doctor, "_in_python", lambda *_, **__: fine)
    done = run("doctor", "--json", env=environment(settings, **{name: value}))
    assert done.exit_code == FAILED, done.exception
    assert finding in {f["name"] for f in json.loads(done.stdout) if not f["ok"]}


@pytest.mark.parametrize("command", [["doctor"], ["api"]])
def test_a_wrong_setting_is_named_in_a_sentence(run: Run, command: list[str]) -> None:
    done = run(*command, env={"IMPASTO_API_PORT": "http", "IMPASTO_MAX_STYLES": "0"})
    assert done.exit_code == FAILED
    assert "IMPASTO_API_PORT: Input should be a valid integer" in done.stderr
    assert "IMPASTO_MAX_STYLES: " in done.stderr


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "example.org", "127.0.0.1.nip.io"])
def test_the_api_does_not_open_to_everybody_by_accident(run: Run, host: str) -> None:
    for arguments, env in ((["--host", host], {}), ([], {"IMPASTO_API_HOST": host})):
        done = run("api", "--port", "0", *arguments, env=env)
        assert done.exit_code == FAILED
        assert "IMPASTO_ALLOW_ANONYMOUS" in done.stderr
        assert host in done.stderr


@pytest.mark.parametrize(
    ("host", "allow"),
    [("127.0.0.1", "0"), ("localhost", "0"), ("::1", "0"), ("127.9.9.9", "0"), (EVERYWHERE, "1")],
)
def test_the_api_listens_where_it_may(
    run: Run, monkeypatch: pytest.MonkeyPatch, host: str, allow: str
) -> None:
    started = []
    monkeypatch.setattr("api.command.Server.run", lambda self: started.append(self.cfg.bind))
    done = run("api", "--host", host, "--port", "0", env={"IMPASTO_ALLOW_ANONYMOUS": allow})
    assert done.exit_code == DONE, done.output
    assert len(started) == 1
