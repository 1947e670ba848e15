"""`impasto keys`, as operators and their scripts use it, and where the API listens with it."""

import json
import subprocess
import sys

import pytest
import redis
from click.testing import Result

from shared.keys import ApiKey, ApiKeys
from shared.settings import Settings
from tests.client.conftest import Run

DONE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


@pytest.fixture
def keys(valkey: redis.Redis, settings: Settings) -> ApiKeys:
    return ApiKeys(valkey, settings)


@pytest.fixture
def impasto_keys(run: Run, settings: Settings) -> Run:
    """Run `impasto keys ...` beside the Redis of the tests."""
    environment = {"IMPASTO_REDIS_URL": settings.redis_url.get_secret_value()}

    def keys(*arguments: str, **options: str) -> Result:
        return run("keys", *arguments, env=environment | options)

    return keys


def listed(impasto_keys: Run) -> list[ApiKey]:
    done = impasto_keys("list", "--json")
    assert done.exit_code == DONE, done.output
    return [ApiKey.model_validate(row) for row in json.loads(done.stdout)]


def test_create_prints_the_key_and_nothing_else(impasto_keys: Run, keys: ApiKeys) -> None:
    done = impasto_keys(
        *("create", "studio", "--max-jobs", "5", "--max-running", "2"),
        *("--jobs-per-minute", "30", "--requests-per-minute", "0"),
    )
    assert (done.exit_code, done.stdout.count("\n")) == (DONE, 1)
    key = keys.authenticate(done.stdout.strip())
    assert key is not None
    assert (key.name, key.max_unfinished_jobs, key.max_running_jobs) == ("studio", 5, 2)
    assert (key.jobs_per_minute, key.requests_per_minute) == (30, 0)
    assert "never shown again" in done.stderr
    assert done.stdout.strip() not in done.stderr


def test_list_shows_all_and_no_secret(impasto_keys: Run) -> None:
    assert listed(impasto_keys) == []
    secrets = [impasto_keys("create", name).stdout.strip() for name in ("studio", "intern")]
    rows = listed(impasto_keys)
    assert {row.name for row in rows} == {"studio", "intern"}
    table = impasto_keys("list").stdout
    for row in rows:
        assert row.id in table
        assert row.name in table
    for secret in secrets:
        assert secret.split("_", 2)[2] not in table + impasto_keys("list", "--json").stdout


def test_revoke_says_when_it_holds(impasto_keys: Run, keys: ApiKeys) -> None:
    secret = impasto_keys("create", "lost").stdout.strip()
    (row,) = listed(impasto_keys)
    done = impasto_keys("revoke", row.id, IMPASTO_KEY_CACHE_SECONDS="7")
    assert (done.exit_code, "within 7 s" in done.stdout) == (DONE, True)
    assert keys.authenticate(secret) is None
    assert listed(impasto_keys)[0].revoked_at is not None


def test_a_key_is_renewed_under_its_id(impasto_keys: Run, keys: ApiKeys) -> None:
    impasto_keys("create", "studio")
    (row,) = listed(impasto_keys)
    refused = impasto_keys("create", "studio", "--id", row.id)
    assert (refused.exit_code, "revoke it first" in refused.stderr) == (FAILED, True)
    impasto_keys("revoke", row.id)
    secret = impasto_keys("create", "studio", "--id", row.id).stdout.strip()
    key = keys.authenticate(secret)
    assert key is not None
    assert key.id == row.id


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (["revoke", "0123456789abcdef"], FAILED, "there is no key '0123456789abcdef'"),
        (["create", ""], FAILED, "1 to 100 printable characters"),
        (["create", "a\nb"], FAILED, "1 to 100 printable characters"),
        (["create", "k", "--id", "anonymous"], FAILED, "16 characters"),
        (["create", "k", "--max-jobs", "0"], USAGE, "--max-jobs"),
        (["create", "k", "--max-running", "0"], USAGE, "--max-running"),
        (["create", "k", "--jobs-per-minute", "-1"], USAGE, "--jobs-per-minute"),
        (["create", "k", "--requests-per-minute", "many"], USAGE, "--requests-per-minute"),
        (["create"], USAGE, "NAME"),
        (["revoke"], USAGE, "ID"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    impasto_keys: Run, arguments: list[str], exit_code: int, sentence: str
) -> None:
    done = impasto_keys(*arguments)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert sentence in done.stderr
    assert listed(impasto_keys) == []


@pytest.mark.parametrize("arguments", [["create", "k"], ["list"], ["revoke", "k"]])
def test_a_redis_that_is_away_is_named_in_a_sentence(
    impasto_keys: Run, arguments: list[str]
) -> None:
    done = impasto_keys(*arguments, IMPASTO_REDIS_URL="redis://:hidden@127.0.0.1:9/0")
    assert done.exit_code == UNREACHABLE
    assert "IMPASTO_REDIS_URL" in done.stderr
    assert "hidden" not in done.stderr


def test_an_address_that_is_none_is_named_in_a_sentence(impasto_keys: Run) -> None:
    done = impasto_keys("list", IMPASTO_REDIS_URL="localhost")
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert "IMPASTO_REDIS_URL is no address of a Redis" in done.stderr


def test_a_client_alone_says_what_the_command_needs() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"  # as where it is not installed
        "from client.cli import main; main(['keys', 'list'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == FAILED
    assert "`impasto keys` needs redis, which is not installed here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", [EVERYWHERE, "::"])
def test_the_api_listens_beyond_this_machine_when_keys_are_required(
    run: Run, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    started = []
    monkeypatch.setattr("api.command.Server.run", lambda self: started.append(self.cfg.bind))
    refused = run("api", "--host", host, "--port", "0")
    assert (refused.exit_code, "IMPASTO_REQUIRE_KEYS" in refused.stderr) == (FAILED, True)
    assert started == []
    done = run("api", "--host", host, "--port", "0", env={"IMPASTO_REQUIRE_KEYS": "true"})
    assert done.exit_code == DONE, done.output
    assert len(started) == 1
