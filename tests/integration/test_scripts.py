"""The short way to Redis against a real one that forgets scripts, hangs up, and falls silent."""

from __future__ import annotations

import time

import pytest
import redis

from restyle.errors import StateUnavailable
from restyle.scripts import Scripts, limited
from restyle.state import State

TEXTS = {"echo": "return ARGV[1]", "wrong": "return redis.call('NONSENSE')"}


def scripts(url: str, seconds: float = 5.0) -> Scripts:
    """Two scripts over connections with this time limit."""
    pool = redis.ConnectionPool.from_url(url, decode_responses=True)
    pool.connection_class = limited(pool.connection_class, seconds)
    return Scripts(TEXTS, pool)


def test_a_script_that_redis_has_forgotten_is_told_again(redis_url: str) -> None:
    """Also after a restart, when it knows none."""
    short, client = scripts(redis_url), redis.Redis.from_url(redis_url)
    assert short.run("echo", "one") == "one"
    client.script_flush()
    assert short.run("echo", "two") == "two"
    short.close()


def test_an_error_of_a_script_leaves_the_connection_good(redis_url: str) -> None:
    """It is raised, and the next answer is the next question's."""
    short, client = scripts(redis_url), redis.Redis.from_url(redis_url)
    assert short.run("echo", "one") == "one"
    before = client.info("clients")["connected_clients"]
    with pytest.raises(redis.ResponseError):
        short.run("wrong")
    assert short.run("echo", "two") == "two"
    assert client.info("clients")["connected_clients"] == before
    short.close()


def test_silence_ends_in_time_and_is_not_taken_for_the_next_answer(redis_url: str) -> None:
    """A Redis that answers too late raises; what it answers at last is nobody's."""
    short, client = scripts(redis_url, seconds=0.3), redis.Redis.from_url(redis_url)
    assert short.run("echo", "one") == "one"
    client.client_pause(1000)
    began = time.monotonic()
    with pytest.raises(redis.ConnectionError):
        short.run("echo", "two")
    assert 0.25 < time.monotonic() - began < 0.9
    client.client_unpause()
    assert short.run("echo", "three") == "three"
    short.close()


def test_a_connection_that_was_closed_meanwhile_is_opened_again(redis_url: str) -> None:
    """At once it costs one error, which the caller asks again after; later it is noticed before anything is sent."""
    state = State(redis_url, namespace="restyle:scripts:", account="a")
    client = redis.Redis.from_url(redis_url)
    assert state.run("dispatch", "token", 1000) == 1
    client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(StateUnavailable):
        state.run("dispatch", "token", 1000)
    assert state.run("dispatch", "token", 1000) == 1
    state.close()
