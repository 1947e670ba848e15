"""Asking Redis in one round trip, over connections that are kept."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.connections import RoundTrips, connect_impatient
from shared.settings import Settings


@pytest.fixture
def trips(settings: Settings, valkey: redis.Redis) -> RoundTrips:
    valkey.hset("hash", mapping={"a": "1", "b": "ü"})
    return RoundTrips(connect_impatient(settings.redis_url.get_secret_value()))


def test_replies_come_in_the_order_of_the_questions(trips: RoundTrips) -> None:
    asked = [("HGETALL", "hash"), ("ZRANK", "nothing", "x"), ("MGET", "nothing"), ("DBSIZE",)]
    assert trips.ask(asked) == [{"a": "1", "b": "ü"}, None, [None], 1]


def test_a_refused_question_does_not_spoil_the_next(trips: RoundTrips) -> None:
    for _ in range(3):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            trips.ask([("GET", "hash"), ("HGETALL", "hash")])
        assert trips.ask([("DBSIZE",)]) == [1]


def test_connections_that_were_cut_are_made_anew(trips: RoundTrips, valkey: redis.Redis) -> None:
    with ThreadPoolExecutor(4) as clients:
        for _ in range(3):
            asked = list(clients.map(lambda _: trips.ask([("DBSIZE",)]), range(40)))
            assert asked == [[1]] * 40
            valkey.client_kill_filter(_type="normal", skipme=True)


def test_everybody_gets_their_own_replies(trips: RoundTrips) -> None:
    with ThreadPoolExecutor(8) as clients:
        words = [f"word {number}" for number in range(400)]
        told = clients.map(lambda word: trips.ask([("ECHO", word), ("ECHO", word)]), words)
        assert list(told) == [[word, word] for word in words]


def test_a_redis_that_is_away_is_said_to_be() -> None:
    trips = RoundTrips(connect_impatient("redis://127.0.0.1:9/0"))
    with pytest.raises(RedisConnectionError):
        trips.ask([("DBSIZE",)])
