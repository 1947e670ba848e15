"""`impasto doctor`."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import click
import redis
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from client.terminal import Failure, json_option, print_json, stdout
from shared.settings import Settings
from shared.storage import Storage

TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Finding:
    """What was checked, how it is, and what to do about it."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check Redis, S3, weights and devices with the settings of this shell, and say what to do."""
    settings = Settings()
    checks: list[Callable[[Settings], Finding]] = [_redis, _persistence, _s3, _weights, _device]
    findings = [check(settings) for check in checks]
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "[green]ok  [/green]" if finding.ok else "[red]fail[/red]"
            stdout.print(f"{mark} [bold]{finding.name}[/bold]  {escape(finding.detail)}")
            if not finding.ok:
                stdout.print(f"     {finding.advice}", markup=False)
    if not all(finding.ok for finding in findings):
        raise Failure("not everything is in order")


def _client(settings: Settings) -> redis.Redis:
    return redis.Redis.from_url(
        settings.redis_url.get_secret_value(),
        decode_responses=True,
        socket_timeout=2,
        socket_connect_timeout=2,
    )


def _redis(settings: Settings) -> Finding:
    try:
        with _client(settings) as client:
            info = client.info("server")
    except (redis.RedisError, ValueError) as error:
        return Finding(
            "Redis",
            ok=False,
            detail=str(error),
            advice="Start Redis or set IMPASTO_REDIS_URL. `impasto up` brings its own.",
        )
    return Finding("Redis", ok=True, detail=f"answers, version {info['redis_version']}")


def _persistence(settings: Settings) -> Finding:
    try:
        with _client(settings) as client:
            aof = client.info("persistence")["aof_enabled"] == 1
            policy = client.info("memory")["maxmemory_policy"]
    except (redis.RedisError, ValueError) as error:
        return Finding("Redis keeps jobs", ok=False, detail=str(error), advice="See above.")
    return Finding(
        "Redis keeps jobs",
        ok=aof and policy == "noeviction",
        detail=f"appendonly {'yes' if aof else 'no'}, maxmemory-policy {policy}",
        advice="Set `appendonly yes` and `maxmemory-policy noeviction`, or jobs can vanish.",
    )


def _s3(settings: Settings) -> Finding:
    try:
        Storage(settings, patient=False).ping()
    except (BotoCoreError, ClientError, ValueError) as error:
        return Finding(
            "S3",
            ok=False,
            detail=str(error),
            advice="Set IMPASTO_S3_ENDPOINT_URL, IMPASTO_S3_BUCKET and both keys; make the bucket.",
        )
    return Finding("S3", ok=True, detail=f"bucket {settings.s3_bucket} answers")


def _weights(settings: Settings) -> Finding:
    code = (
        "from shared.settings import Settings; from worker.engine import verify_weights;"
        "verify_weights(Settings().weights)"
    )
    return _in_python("VGG-19 weights", code, ok=f"{settings.weights} is there and intact")


def _device(settings: Settings) -> Finding:
    code = (
        "from shared.settings import Settings; from worker.engine import resolve_device;"
        "print(resolve_device(Settings().device))"
    )
    return _in_python("Device", code)


def _in_python(name: str, code: str, ok: str | None = None) -> Finding:
    """Run the worker's own check. PyTorch may be missing here, which is fine for an API machine."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Finding(
            name,
            ok=False,
            detail=f"no answer in {TIMEOUT_SECONDS} s",
            advice="Look at what the machine is busy with.",
        )
    if done.returncode == 0:
        return Finding(name, ok=True, detail=ok or done.stdout.strip())
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Finding(
        name,
        ok=False,
        detail=last.partition(": ")[2] or last,
        advice="Install the extra `worker`, or set IMPASTO_WEIGHTS and IMPASTO_DEVICE.",
    )
