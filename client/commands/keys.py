"""`impasto keys`: an operator's tool, which speaks to Redis and not to the API."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click
import redis
from rich.table import Column, Table

from client.terminal import EXIT_UNREACHABLE, Failure, json_option, print_json, stdout
from shared.connections import connect_impatient
from shared.errors import ImpastoError
from shared.keys import Allowance, ApiKeys
from shared.settings import Settings
from shared.webhooks import owner_secrets

P = ParamSpec("P")
R = TypeVar("R")


def _speaks_to_redis(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what goes wrong into sentences and exit codes."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except redis.RedisError as error:
            raise Failure(
                f"Redis does not answer ({error}): set IMPASTO_REDIS_URL as the API has it",
                EXIT_UNREACHABLE,
            ) from None
        except ImpastoError as error:
            raise Failure(str(error)) from None

    return wrapped


@click.group()
def keys() -> None:
    """Make, list and revoke API keys, in the Redis that IMPASTO_REDIS_URL names.

    From the first key on, the API refuses whoever has none.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--max-jobs",
    type=click.IntRange(min=1),
    help="Unfinished jobs that it may have. [default: IMPASTO_MAX_UNFINISHED_JOBS]",
)
@click.option(
    "--max-running",
    type=click.IntRange(min=1),
    help="Of these, those painted at a time. [default: IMPASTO_MAX_RUNNING_JOBS]",
)
@click.option(
    "--jobs-per-minute",
    type=click.IntRange(min=0),
    help="Jobs that it may post; 0: no limit. [default: IMPASTO_JOBS_PER_MINUTE]",
)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(min=0),
    help="Requests that it may send; 0: no limit. [default: IMPASTO_REQUESTS_PER_MINUTE]",
)
@click.option(
    "--id",
    "key_id",
    metavar="ID",
    help="Of a key that was revoked, or lost with Redis: the new one opens the same jobs.",
)
@_speaks_to_redis
def create(
    name: str,
    max_jobs: int | None,
    max_running: int | None,
    jobs_per_minute: int | None,
    requests_per_minute: int | None,
    key_id: str | None,
) -> None:
    """Make a key and print it. NAME is for you, to know whose it is."""
    allowance = Allowance(
        max_unfinished_jobs=max_jobs,
        max_running_jobs=max_running,
        jobs_per_minute=jobs_per_minute,
        requests_per_minute=requests_per_minute,
    )
    secret = _keys().create(name, key_id=key_id, allowance=allowance)
    click.echo(secret)
    click.echo("Keep it: it is not stored, and is never shown again.", err=True)


@keys.command("list")
@json_option
@_speaks_to_redis
def list_keys(as_json: bool) -> None:
    """List all keys, the revoked ones too, oldest first."""
    listed = _keys().list()
    if as_json:
        print_json([key.model_dump(mode="json") for key in listed])
        return
    table = Table(
        Column("Id", no_wrap=True),
        "Name",
        "Created",
        "Revoked",
        "Jobs",
        "Running",
        "Jobs/min",
        "Requests/min",
        box=None,
    )
    for key in listed:
        table.add_row(
            key.id,
            key.name,
            f"{key.created_at:%Y-%m-%d %H:%M:%S}",
            f"{key.revoked_at:%Y-%m-%d %H:%M:%S}" if key.revoked_at else "",
            *(
                "" if limit is None else str(limit)
                for limit in (
                    key.max_unfinished_jobs,
                    key.max_running_jobs,
                    key.jobs_per_minute,
                    key.requests_per_minute,
                )
            ),
        )
    stdout.print(table)


@keys.command("webhook-secret")
@click.argument("key_id", metavar="ID")
@_speaks_to_redis
def webhook_secret(key_id: str) -> None:
    """Print what the holder of a key verifies webhooks with, one line for each secret there is."""
    if key_id not in (key.id for key in _keys().list()):
        raise Failure(f"there is no key {key_id!r}")
    secrets = Settings().webhook_secrets
    if secrets is None:
        raise Failure("IMPASTO_WEBHOOK_SECRETS is not set: this installation sends no webhooks")
    for secret in owner_secrets(secrets.get_secret_value(), key_id):
        click.echo(secret)


@keys.command()
@click.argument("key_id", metavar="ID")
@_speaks_to_redis
def revoke(key_id: str) -> None:
    """Let the key with this ID open nothing any more. Its jobs go on to their end."""
    _keys().revoke(key_id)
    click.echo(f"revoked; the API notices within {Settings().key_cache_seconds:g} s")


def _keys() -> ApiKeys:
    settings = Settings()
    try:
        return ApiKeys(connect_impatient(settings.redis_url.get_secret_value()), settings)
    except ValueError as error:
        raise Failure(f"IMPASTO_REDIS_URL is no address of a Redis: {error}") from None
