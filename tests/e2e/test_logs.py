"""The logs of the whole system: a job can be followed through them, and they tell no secret."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import redis

from deploy.embedded.stack import Stack

WAIT_SECONDS = 60.0
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def test_one_search_shows_a_job_from_its_request_to_its_end(
    stack: Stack, picture_file: Callable[..., Path]
) -> None:
    folder = stack.workers[0].log.parent
    files = [
        ("content", ("c.png", picture_file("content").read_bytes())),
        ("style", ("s.png", picture_file("style").read_bytes())),
    ]
    data = {"params": '{"size": 64, "steps": 6}'}
    with httpx.Client(base_url=stack.url, headers={"X-Request-ID": "e2e-logs-1"}) as client:
        job = client.post("/v1/jobs", files=files, data=data).raise_for_status().json()
        deadline = time.monotonic() + WAIT_SECONDS
        while client.get(job["urls"]["self"]).json()["status"] != "succeeded":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        location = client.get(job["urls"]["result"]).headers["Location"]
        assert httpx.get(location).status_code == 200
    time.sleep(0.5)

    written = {
        log.name: COLOURS.sub("", log.read_text(errors="replace")) for log in folder.glob("*.log")
    }
    told = {
        name: [line for line in text.splitlines() if f"job_id={job['id']}" in line]
        for name, text in written.items()
    }
    api = "\n".join(told["api.log"])
    assert "job accepted" in api
    assert "route=/v1/jobs " in api
    assert "request_id=e2e-logs-1" in api
    painting = "\n".join(line for name, lines in told.items() if "worker" in name for line in lines)
    for event in ("job started", "job succeeded"):
        assert event in painting

    settings = stack.settings
    secret = settings.s3_secret_access_key
    assert secret is not None
    password = redis.connection.parse_url(settings.redis_url.get_secret_value()).get("password")
    for name, text in written.items():
        if name == "api.log" or "worker" in name:
            for hidden in (secret.get_secret_value(), str(password), location.partition("?")[2]):
                assert hidden not in text, name
            assert "Signature=" not in text
