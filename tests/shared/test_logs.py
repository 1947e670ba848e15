"""What other people's code logs comes out as ours does, and no louder than it should."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from shared.logs import adopt_logs, configure_logs
from shared.settings import Settings
settings = Settings(_env_file=None, log_format={log_format!r}, log_level={log_level!r})
configure_logs(settings)
adopt_logs(settings, "celery", "WARNING")
with structlog.contextvars.bound_contextvars(job_id="j1"):
    structlog.get_logger().info("ours", n=1)
    structlog.get_logger().debug("ours, quiet")
    logging.getLogger("celery.worker").warning("theirs %s", "it is")
    logging.getLogger("celery.worker").info("theirs, quiet")
    logging.getLogger("httpx").info("GET https://hidden")
    logging.getLogger("botocore").debug("Authorization: hidden")
    try:
        hidden = "hidden"
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger().exception("ours broke")
        logging.getLogger("celery").exception("theirs broke")
"""


def written(**settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(**settings)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("log_level", ["info", "debug"])
def test_every_line_is_json_and_names_the_job(log_level: str) -> None:
    lines = [
        json.loads(line)
        for line in written(log_format="json", log_level=log_level).split("\n")[:-1]
    ]
    events = [line["event"] for line in lines]
    expected = ["ours", "ours, quiet", "theirs it is", "ours broke", "theirs broke"]
    assert events == [one for one in expected if log_level == "debug" or one != "ours, quiet"]
    for line in lines:
        assert line["job_id"] == "j1"
        assert line["level"]
        assert line["timestamp"].endswith("Z")
    assert all("RuntimeError: broken" in line["exception"] for line in lines[-2:])


def test_on_a_terminal_it_reads_the_same_and_no_variable_is_shown() -> None:
    text = written(log_format="console", log_level="debug")
    for said in ("ours", "theirs it is", "RuntimeError: broken", "job_id=j1"):
        assert said in text
    assert "GET https://hidden" not in text
    assert "Authorization" not in text
    assert "= 'hidden'" not in text


def test_less_is_told_when_less_is_asked_for() -> None:
    lines = written(log_format="json", log_level="error").splitlines()
    assert [json.loads(line)["event"] for line in lines] == [
        "theirs it is",
        "ours broke",
        "theirs broke",
    ]
