"""Whether a server suits: what it does when its memory is full, asked in whatever way it allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from restyle.coordination.claim_types import Limits
from restyle.coordination.redis import server as redis_server
from restyle.coordination.redis.client import State
from restyle.errors import ConfigurationError
from tests.support.refusing import refusing
from tests.support.servers import Valkey, running_valkey
from workers.gauges import Gauges

EVICTING = (
    "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey that these tests may change."""
    with running_valkey(tmp_path_factory.mktemp("suits")) as server:
        yield server


@pytest.fixture
def line(server: Valkey) -> Iterator[redis.Redis]:
    """Somebody who may change it."""
    with redis.Redis(port=server.port) as line:
        yield line
        line.config_set("maxmemory-policy", "noeviction")
        line.config_set("maxmemory", 0)


@pytest.fixture
def state(server: Valkey) -> Iterator[State]:
    """The door to it."""
    state = State(server.url, namespace="n:", account="a")
    yield state
    state.close()


def test_one_that_keeps_every_key_suits(state: State) -> None:
    """There is nothing to say of it."""
    assert redis_server.check(state) == ""


@pytest.mark.parametrize("policy", EVICTING)
def test_one_that_may_forget_a_key_does_not(state: State, line: redis.Redis, policy: str) -> None:
    """Those that only forget keys with an end, too: leases and heartbeats have one."""
    line.config_set("maxmemory-policy", policy)
    with pytest.raises(ConfigurationError, match=rf"maxmemory-policy {policy}.*CONFIG SET maxmemory-policy noeviction"):
        redis_server.check(state)


@pytest.mark.parametrize("closed", ["config", "info"])
def test_one_way_to_ask_is_enough(server: Valkey, line: redis.Redis, closed: str) -> None:
    """Hosted servers allow INFO or CONFIG or none of them; to ask in vain is no spell."""
    line.config_set("maxmemory-policy", "allkeys-lru")
    state = as_a_guest(server, line, f"-{closed}")
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        redis_server.check(state)
    assert state.spells.now is None
    state.close()


def test_where_neither_is_allowed_a_person_is_told(server: Valkey, line: redis.Redis) -> None:
    """It is no reason to stand still."""
    state = as_a_guest(server, line, "-config", "-info")
    assert "make sure that it is noeviction" in redis_server.check(state)
    state.close()


def as_a_guest(server: Valkey, line: redis.Redis, *without: str) -> State:
    """The door of a user who may not do this."""
    line.acl_setuser("guest", enabled=True, nopass=True, categories=["+@all"], commands=list(without), keys=["*"])
    return State(f"redis://guest:any@127.0.0.1:{server.port}/0", namespace="n:", account="a")


def test_a_scrape_tells_of_memory_and_refusals(server: Valkey, state: State, line: redis.Redis) -> None:
    """What is used and may be, whether keys may be forgotten, and whether writes are taken."""
    gauges = Gauges(state, Limits(), account="a")

    def scraped() -> dict[str, float]:
        ours = [metric for metric in gauges.collect() if metric.name.startswith("restyle_redis")]
        return {
            metric.name.removeprefix("restyle_redis_"): sample.value for metric in ours for sample in metric.samples
        }

    assert scraped().keys() == {"up", "writable", "memory_used_bytes", "evicts"}
    line.config_set("maxmemory", 100_000_000)
    now = scraped()
    assert (now["up"], now["writable"], now["evicts"], now["memory_max_bytes"]) == (1, 1, 0, 100_000_000)
    assert 100_000 < now["memory_used_bytes"] < 100_000_000
    line.config_set("maxmemory-policy", "volatile-ttl")
    assert scraped()["evicts"] == 1
    with refusing(server, "readonly"):
        now = scraped()
    assert (now["up"], now["writable"]) == (1, 0)
