"""Fresh job records on the real servers."""

from collections.abc import Iterator

import pytest
import redis

from shared.jobs import Inputs
from shared.records import JobRecords
from shared.settings import Settings
from shared.storage import Storage

INPUTS = Inputs(content="c" * 64, styles=["5" * 64])


@pytest.fixture
def valkey(settings: Settings) -> Iterator[redis.Redis]:
    """The server's client; the server is empty."""
    url = settings.redis_url.get_secret_value()
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def records(valkey: redis.Redis, settings: Settings) -> JobRecords:
    return JobRecords(valkey, settings)


@pytest.fixture(scope="session")
def storage(settings: Settings) -> Storage:
    return Storage(settings)
