"""API keys: what is kept of them, who is let in, and for how long."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.servers import start_valkey
from shared import names
from shared.connections import connect_impatient
from shared.errors import Conflict, InvalidInput, NotFound
from shared.keys import Allowance, ApiKey, ApiKeys
from shared.settings import Settings
from tests.shared.strategies import patient

FORGETFUL, ELEPHANT = 0.0, 3600.0
UNKNOWN_ID = "0123456789abcdef"
WHO = {"studio": None, "intern": 3, "Größe / 'quoted'": 1}
Keys = Callable[..., ApiKeys]


@pytest.fixture
def keys_of(valkey: redis.Redis, settings: Settings) -> Keys:
    """The keys as one process sees them."""

    def see(cache_seconds: float = FORGETFUL, *, require: bool = False) -> ApiKeys:
        changed = {"key_cache_seconds": cache_seconds, "require_keys": require}
        return ApiKeys(valkey, Settings(**{**dict(settings), **changed}, _env_file=None))

    return see


@pytest.fixture
def keys(keys_of: Keys) -> ApiKeys:
    return keys_of()


def looked_up(valkey: redis.Redis) -> int:
    """How often Redis was asked for a key, or whether there is any."""
    stats = valkey.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hget", "exists"))


def valid(keys: ApiKeys, secret: str) -> ApiKey:
    key = keys.authenticate(secret)
    assert key is not None
    return key


# -- secrets ------------------------------------------------------------------------------------


def test_a_key_is_recognised_by_its_secret(keys: ApiKeys) -> None:
    secrets = {
        name: keys.create(name, allowance=Allowance(max_unfinished_jobs=most))
        for name, most in WHO.items()
    }
    assert len(set(secrets.values())) == len(WHO)
    for name, secret in secrets.items():
        key = valid(keys, secret)
        assert (key.name, key.max_unfinished_jobs) == (name, WHO[name])
    assert {key.name for key in keys.list()} == set(WHO)
    assert len({key.id for key in keys.list()}) == len(WHO)


def test_keys_are_listed_by_age(keys: ApiKeys) -> None:
    made = [f"key {number}" for number in range(5)]
    for name in made:
        keys.create(name)
        time.sleep(0.005)
    assert [key.name for key in keys.list()] == made


def test_a_secret_has_256_bits_that_no_other_key_has(keys: ApiKeys) -> None:
    random_parts = {keys.create("k").split("_", 2)[2] for _ in range(100)}
    assert len(random_parts) == 100
    assert {len(part) for part in random_parts} == {43}  # 6 bits each, the last one 4
    columns = zip(*random_parts, strict=True)
    assert min(len(set(column)) for column in columns) >= 10  # of 64, and the last of 16


def test_nothing_in_redis_tells_the_secret(keys: ApiKeys, valkey: redis.Redis) -> None:
    secret = keys.create("studio")
    valid(keys, secret)
    kept = " ".join([*valkey.hkeys(names.KEYS), *valkey.hvals(names.KEYS)])
    assert valkey.keys("*") == [names.KEYS]
    assert "studio" in kept
    assert secret.split("_", 2)[2] not in kept
    assert "sha256" not in keys.list()[0].model_dump_json()  # nor does a list show the hash


def test_no_other_secret_opens_it(keys: ApiKeys) -> None:
    mine, other = keys.create("mine"), keys.create("other")
    _, my_id, my_part = mine.split("_", 2)
    wrong = [
        "",
        "impasto_",
        my_id,
        my_part,
        f"impasto_{my_id}_",
        f"impasto_{my_id}_{other.split('_', 2)[2]}",
        f"impasto_{UNKNOWN_ID}_{my_part}",
        mine[:-1],
        mine + "A",
        mine + "\n",
        " " + mine,
        mine.upper(),
        mine[:-1] + ("A" if mine[-1] != "A" else "E"),
        mine[:30] + ("A" if mine[30] != "A" else "B") + mine[31:],
    ]
    assert [secret for secret in wrong if keys.authenticate(secret) is not None] == []
    assert valid(keys, mine).name == "mine"


@patient
@given(st.text(max_size=80) | st.from_regex(r"impasto_[0-9a-f]{16}_[A-Za-z0-9_-]{43}"))
def test_whatever_else_is_sent_is_no_key(keys: ApiKeys, invented: str) -> None:
    assert keys.authenticate(invented) is None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\0", "x" * 101, "a\x1b[31m"])
def test_a_name_is_something_that_can_be_read(keys: ApiKeys, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 100 printable"):
        keys.create(name)
    assert keys.list() == []


# -- revoking -----------------------------------------------------------------------------------


def test_a_revoked_key_opens_nothing_and_the_others_go_on(keys: ApiKeys) -> None:
    lost, kept = keys.create("lost"), keys.create("kept")
    key_id = valid(keys, lost).id
    for _ in range(2):
        keys.revoke(key_id)
        assert keys.authenticate(lost) is None
        assert valid(keys, kept).name == "kept"
    revoked = {key.name for key in keys.list() if key.revoked_at is not None}
    assert revoked == {"lost"}


def test_a_second_revocation_does_not_change_when_it_was(keys: ApiKeys) -> None:
    key_id = valid(keys, keys.create("k")).id
    keys.revoke(key_id)
    first = keys.list()
    keys.revoke(key_id)
    assert keys.list() == first


def test_only_a_key_that_is_there_can_be_revoked(keys: ApiKeys) -> None:
    secret = keys.create("k")
    for unknown in (UNKNOWN_ID, "", "k", secret):
        with pytest.raises(NotFound):
            keys.revoke(unknown)
    assert valid(keys, secret)


def test_the_next_key_of_a_revoked_one_has_its_id_and_another_secret(keys: ApiKeys) -> None:
    old = keys.create("old")
    key_id = valid(keys, old).id
    with pytest.raises(Conflict, match="revoke it first"):
        keys.create("new", key_id=key_id)
    assert valid(keys, old).name == "old"

    keys.revoke(key_id)
    new = keys.create("new", key_id=key_id)
    assert keys.authenticate(old) is None
    assert (valid(keys, new).id, valid(keys, new).name) == (key_id, "new")
    for malformed in ("anonymous", "0" * 15, "0" * 17, "0" * 15 + "G"):
        with pytest.raises(InvalidInput, match="16 characters"):
            keys.create("new", key_id=malformed)


# -- what a process remembers -------------------------------------------------------------------


def test_a_key_is_looked_up_once_in_a_while(keys_of: Keys, valkey: redis.Redis) -> None:
    secret = keys_of().create("k")
    remembering = keys_of(ELEPHANT)
    before = looked_up(valkey)
    for _ in range(50):
        valid(remembering, secret)
        assert remembering.required()
    assert looked_up(valkey) - before == 1
    # Another secret may be that of a renewed key. Who guesses is limited by address.
    assert remembering.authenticate(secret[:-4] + "AAAA") is None
    assert looked_up(valkey) - before == 2


def test_without_a_cache_each_key_costs_one_round_trip(keys: ApiKeys, valkey: redis.Redis) -> None:
    secret = keys.create("k")
    before = looked_up(valkey)
    for _ in range(10):
        valid(keys, secret)
    assert looked_up(valkey) - before == 10


def test_what_has_not_the_shape_of_a_key_costs_none(keys: ApiKeys, valkey: redis.Redis) -> None:
    before = looked_up(valkey)
    assert keys.authenticate("x" * 10_000) is None
    assert keys.authenticate(f"impasto_{UNKNOWN_ID}_short") is None
    assert looked_up(valkey) == before


def test_invented_keys_are_not_remembered(keys_of: Keys) -> None:
    keys = keys_of(ELEPHANT)
    valid(keys, keys.create("k"))
    for number in range(100):
        assert keys.authenticate(f"impasto_{number:016x}_{'A' * 43}") is None
    assert len(keys._remembered) == 1


def test_a_new_key_is_known_at_once_and_a_revoked_one_forgotten_in_time(keys_of: Keys) -> None:
    operator, process = keys_of(), keys_of(0.5)
    secret = operator.create("k")
    key_id = valid(process, secret).id
    operator.revoke(key_id)
    revoked = time.monotonic()
    while process.authenticate(secret) is not None:
        assert time.monotonic() - revoked < 5
        time.sleep(0.02)
    assert valid(process, operator.create("next")).name == "next"


# -- when keys are needed -----------------------------------------------------------------------


def test_keys_are_needed_from_the_first_one_on(keys: ApiKeys) -> None:
    assert not keys.required()
    secret = keys.create("first")
    assert keys.required()
    keys.revoke(valid(keys, secret).id)
    assert keys.required()  # revoking the last key is no invitation


def test_an_installation_can_require_keys_before_there_is_one(keys_of: Keys) -> None:
    keys = keys_of(require=True)
    assert keys.required()
    assert not keys.any()


def test_a_process_learns_of_the_first_key_in_time(keys_of: Keys) -> None:
    operator, process = keys_of(), keys_of(0.5)
    assert not process.required()
    operator.create("first")
    made = time.monotonic()
    while not process.required():
        assert time.monotonic() - made < 5
        time.sleep(0.02)


def test_a_redis_that_lost_the_keys_lets_nobody_in(keys_of: Keys, valkey: redis.Redis) -> None:
    before, strict = keys_of(), keys_of(require=True)
    secret = before.create("k")
    assert before.required()
    valid(strict, secret)
    valkey.flushall()
    assert before.authenticate(secret) is None
    assert strict.authenticate(secret) is None
    assert before.required()  # this process has seen keys
    assert strict.required()
    assert keys_of(require=True).required()  # and one that starts now is told


def test_a_redis_that_is_away_lets_nobody_in(settings: Settings) -> None:
    keys = ApiKeys(connect_impatient("redis://127.0.0.1:9/0"), settings)
    with pytest.raises(redis.RedisError):
        keys.authenticate(f"impasto_{UNKNOWN_ID}_{'A' * 43}")
    with pytest.raises(redis.RedisError):
        keys.required()


def test_keys_and_revocations_outlast_a_redis_that_is_killed(tmp_path: Path) -> None:
    def connect(environment: dict[str, str]) -> ApiKeys:
        settings = Settings.from_environment(environment)
        return ApiKeys(connect_impatient(settings.redis_url.get_secret_value()), settings)

    with start_valkey(tmp_path / "data", tmp_path) as server:
        keys = connect(server.environment)
        kept, lost = (
            keys.create("kept", allowance=Allowance(max_unfinished_jobs=7)),
            keys.create("lost"),
        )
        keys.revoke(valid(keys, lost).id)
        listed = keys.list()
        os.kill(server.process.pid, signal.SIGKILL)
    with start_valkey(tmp_path / "data", tmp_path) as server:
        keys = connect(server.environment)
        assert keys.list() == listed
        assert valid(keys, kept).max_unfinished_jobs == 7
        assert keys.authenticate(lost) is None


def test_what_is_listed_can_be_written_as_json(keys: ApiKeys) -> None:
    keys.create("studio")
    (row,) = [json.loads(key.model_dump_json()) for key in keys.list()]
    assert row["name"] == "studio"
    assert row["created_at"].endswith("Z")
    assert (row["revoked_at"], row["max_unfinished_jobs"]) == (None, None)
