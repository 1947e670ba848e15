"""API keys: 256 random bits that are shown once and kept only as their SHA-256.

A key names itself (`impasto_<id>_<secret>`): it is found by its id and compared in constant time. A
revoked key stays in the list. So revoking the last one does not open the service to everybody, and
it is still known whose jobs those were.
"""

import hashlib
import hmac
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from redis import Redis

from shared import names
from shared.errors import Conflict, InvalidInput, NotFound
from shared.jobs import Timestamp
from shared.settings import Settings

MAX_NAME_LENGTH = 100
_ID = re.compile(r"[0-9a-f]{16}")
_SECRET = re.compile(r"impasto_(?P<id>[0-9a-f]{16})_[A-Za-z0-9_-]{43}")


class Allowance(BaseModel):
    """What a key may, each in place of the setting of its name; null: as the setting says."""

    model_config = ConfigDict(frozen=True)

    max_unfinished_jobs: int | None = Field(
        None, ge=1, description="Unfinished jobs that it may have."
    )
    max_running_jobs: int | None = Field(
        None, ge=1, description="Of these, those that are painted at a time."
    )
    jobs_per_minute: int | None = Field(
        None, ge=0, description="Jobs and estimates that it may ask for in a minute; 0: no limit."
    )
    requests_per_minute: int | None = Field(
        None, ge=0, description="Requests that an API process answers it in a minute; 0: no limit."
    )


AS_THE_SETTINGS_SAY = Allowance()


class ApiKey(Allowance):
    """What an operator sees of a key."""

    id: str = Field(description="The owner of the jobs that were posted with it.")
    name: str
    created_at: Timestamp
    revoked_at: Timestamp | None = None


class _StoredKey(ApiKey):
    sha256: str


class ApiKeys:
    """Makes, lists, revokes and recognises keys."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis: Any = redis  # its types say that every reply may be awaited
        self._settings = settings
        # Only keys that exist: whoever sends invented ones does not fill the memory.
        self._remembered: dict[str, tuple[_StoredKey, float]] = {}
        self._exist = False
        self._looked_at = float("-inf")

    def create(
        self, name: str, *, key_id: str | None = None, allowance: Allowance = AS_THE_SETTINGS_SAY
    ) -> str:
        """Make a key. Returns the secret, which is not kept and cannot be shown again.

        With the id of a key that was revoked, or lost with Redis, it is the next key to the same
        jobs.

        Raises:
            InvalidInput: the name is empty, too long or not printable, or the id is none.
            Conflict: the key with this id is still valid.
        """
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
            raise InvalidInput(f"the name of a key has 1 to {MAX_NAME_LENGTH} printable characters")
        if key_id is None:
            key_id = secrets.token_hex(8)
        elif not _ID.fullmatch(key_id):
            raise InvalidInput("the id of a key has 16 characters, 0 to 9 and a to f")
        elif (before := self._read(key_id)) and before.revoked_at is None:
            raise Conflict(f"the key {key_id} is valid: revoke it first")
        secret = f"impasto_{key_id}_{secrets.token_urlsafe(32)}"
        self._store(
            _StoredKey(
                id=key_id,
                name=name,
                created_at=datetime.now(UTC),
                **dict(allowance),
                sha256=_sha256(secret),
            )
        )
        return secret

    def list(self) -> list[ApiKey]:
        """All keys, the revoked ones too, oldest first."""
        stored = map(_StoredKey.model_validate_json, self._redis.hvals(names.KEYS))
        return sorted(
            (ApiKey(**key.model_dump(exclude={"sha256"})) for key in stored),
            key=lambda key: (key.created_at, key.id),
        )

    def revoke(self, key_id: str) -> None:
        """Let a key open nothing any more. Its jobs go on. Twice is as good as once.

        Raises:
            NotFound: there is no such key.
        """
        key = self._read(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id!r}")
        if key.revoked_at is None:
            self._store(key.model_copy(update={"revoked_at": datetime.now(UTC)}))

    def authenticate(self, secret: str) -> ApiKey | None:
        """The key with this secret, unless there is none or it was revoked.

        One round trip at most, and none within `key_cache_seconds` of the last one for this key.
        """
        shape = _SECRET.fullmatch(secret)
        if shape is None:
            return None
        key = self._find(shape["id"], _sha256(secret))
        return key if key and key.revoked_at is None else None

    def remembered(self, secret: str) -> ApiKey | None:
        """The key with this secret, if this process knows it without asking Redis.

        It may have been revoked since: only `authenticate` lets somebody in.
        """
        shape = _SECRET.fullmatch(secret)
        key, _ = self._remembered.get(shape["id"], (None, 0)) if shape else (None, 0)
        return key if key and _matches(key, _sha256(secret)) else None

    def required(self) -> bool:
        """Whether a request needs a key: the settings say so, or a key was ever made."""
        return self._settings.require_keys or self.any()

    def any(self) -> bool:
        """Whether a key was ever made.

        Keys are never unmade. So a process that has seen one does not believe an empty Redis, which
        has lost its keys, and stays closed.
        """
        if not self._exist and self._is_old(self._looked_at):
            self._exist = bool(self._redis.exists(names.KEYS))
            self._looked_at = time.monotonic()
        return self._exist

    def _find(self, key_id: str, sha256: str) -> _StoredKey | None:
        key, since = self._remembered.get(key_id, (None, 0.0))
        if key and not self._is_old(since) and _matches(key, sha256):
            return key
        found = self._read(key_id)  # also where another secret is remembered: it may be renewed
        if found is None:
            self._remembered.pop(key_id, None)
        else:
            self._exist = True
            self._remembered[key_id] = found, time.monotonic()
        return found if found and _matches(found, sha256) else None

    def _is_old(self, since: float) -> bool:
        return time.monotonic() - since >= self._settings.key_cache_seconds

    def _read(self, key_id: str) -> _StoredKey | None:
        found = self._redis.hget(names.KEYS, key_id)
        return None if found is None else _StoredKey.model_validate_json(found)

    def _store(self, key: _StoredKey) -> None:
        self._redis.hset(names.KEYS, key.id, key.model_dump_json())


def is_shaped_like_a_key(text: str) -> bool:
    """Whether this may be the secret of a key. Anything else is none, without asking Redis."""
    return _SECRET.fullmatch(text) is not None


def _matches(key: _StoredKey, sha256: str) -> bool:
    return hmac.compare_digest(key.sha256, sha256)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
