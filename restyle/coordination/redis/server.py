"""Whether a Redis server suits: it forgets no key by itself, has no cluster mode, and what memory it has left."""

from __future__ import annotations

from dataclasses import dataclass

from restyle.coordination.redis.client import State
from restyle.errors import ConfigurationError

#: The only policy by which Redis refuses a write rather than forget a key. `volatile-*` forgets leases and heartbeats
#: too: both have an end of their own.
KEEPS = "noeviction"


@dataclass(frozen=True)
class Memory:
    """A server's memory; bytes."""

    used: int
    #: 0: no limit of its own.
    most: int
    #: What it does when that is used up; empty where it does not tell.
    policy: str

    @property
    def evicts(self) -> bool:
        """Whether it may forget keys for want of memory."""
        return self.policy not in {KEEPS, ""}


def memory(state: State) -> Memory:
    """What the server tells of its memory, by INFO, else by CONFIG: hosted ones allow one of them, or neither."""
    figures = state.peek("INFO", "memory") or {}
    policy = figures.get("maxmemory_policy") or (state.peek("CONFIG", "GET", "maxmemory-policy") or {}).get(
        "maxmemory-policy", ""
    )
    return Memory(int(figures.get("used_memory", 0)), int(figures.get("maxmemory", 0)), str(policy))


def check(state: State) -> str:
    """Makes sure that the server loses no key by itself; answers with what is to be looked at by a person, if anything.

    Raises:
        ConfigurationError: it may forget keys, or is a cluster.
    """
    if (state.peek("INFO", "server") or {}).get("redis_mode") == "cluster":
        raise ConfigurationError("Redis is in cluster mode: let RESTYLE_REDIS_URL name one without it")
    policy = memory(state).policy
    if not policy:
        return f"Redis does not tell its maxmemory-policy: make sure that it is {KEEPS}"
    if policy != KEEPS:
        raise ConfigurationError(
            f"Redis may forget keys when its memory is full (maxmemory-policy {policy}): calls would be paid for twice."
            f" Type: redis-cli CONFIG SET maxmemory-policy {KEEPS}, and set it in its configuration file;"
            " of a hosted Redis, in its parameters"
        )
    return ""
