"""Asking Redis in one round trip, over connections that are kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.connections import RoundTrips, connect_impatient
from shared.settings import Settings
from tests.faults.proxy import Proxy


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


def test_an_outage_of_any_length_ends_with_redis_being_back(settings: Settings) -> None:
    url = urlsplit(settings.redis_url.get_secret_value())
    with Proxy((str(url.hostname), int(url.port or 0))) as line:
        through = url._replace(netloc=f":{url.password}@127.0.0.1:{line.port}")
        client = connect_impatient(through.geturl())
        trips = RoundTrips(client)
        trips.ask([("DBSIZE",)])
        line.refuse()
        for _ in range(300):
            with pytest.raises(RedisConnectionError):
                trips.ask([("DBSIZE",)])
        line.mend()
        assert trips.ask([("PING",)]) == ["PONG"]
        assert client.ping()


def test_more_than_a_hundred_may_ask_at_a_time(settings: Settings, valkey: redis.Redis) -> None:
    client = connect_impatient(settings.redis_url.get_secret_value())
    begin = threading.Barrier(150)

    def ask(_: int) -> object:
        with client.pipeline() as pipe:  # which keeps its connection until it is left
            pipe.watch("hash")
            begin.wait(30)
            return pipe.exists("hash")

    with ThreadPoolExecutor(150) as clients:
        assert set(clients.map(ask, range(150))) == {0}


def test_a_redis_that_is_away_is_said_to_be() -> None:
    trips = RoundTrips(connect_impatient("redis://127.0.0.1:9/0"))
    with pytest.raises(RedisConnectionError):
        trips.ask([("DBSIZE",)])
