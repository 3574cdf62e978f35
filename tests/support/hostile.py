"""Somebody who can write to Redis: changes of every kind to whatever is there, by a seed, and some with a purpose."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redis.exceptions import RedisError

from config.celery_app import JOBS, RUNS
from restyle.coordination.redis.client import State

#: What nobody of ours writes.
JUNK = (
    "", "0", "-1", "nan", "1e400", "9" * 5_000, "[" * 5_000, "{", "[]", "null", "\x1b[2J", "../../x", "x" * 100_000,
    '{"__type__": "decimal", "__value__": "abc"}', '{"run": "../x", "shard": -1, "index": "y"}', "running", "finished",
)  # fmt: skip


@dataclass
class Hostile:
    """One who has the password of Redis."""

    state: State
    account: str
    seed: int = 16
    #: Jobs whose lease or mark was erased or written over: what kept them from a second call.
    erased: set[str] = field(default_factory=set)

    #: Keys that were there once.
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """The same changes for the same seed and the same keys."""
        self.chance = random.Random(self.seed)

    @property
    def keys(self) -> list[str]:
        """Every key of the workspace and of its account."""
        prefixes = (self.state.namespace, self.account)
        return sorted(key for prefix in prefixes for key in self.state.redis.scan_iter(f"{prefix}*"))

    def change(self, count: int) -> None:
        """So many changes at random, a look at the keys before each twenty; what was there once is written to too."""
        for number in range(count):
            if number % 20 == 0:
                self.seen.update(self.keys)
                keys = sorted(self.seen)
            with suppress(RedisError):  # what is there by now is of another kind
                self._change(self.chance.choice(keys))

    def _change(self, key: str) -> None:
        for mark in (":lease:", ":done:"):
            if mark in key:
                self.erased.add(key.rpartition(":")[2])
        junk, redis = self.chance.choice(JUNK), self.state.redis
        kind = str(redis.type(key))
        again = redis.lrange(key, 0, 0) if kind == "list" else ["x"]
        own: dict[str, list[tuple[str | float, ...]]] = {
            "hash": [("HSET", key, self._field(key), junk), ("HDEL", key, self._field(key)), ("HSET", key, "x", junk)],
            "set": [("SADD", key, junk), ("SPOP", key)],
            "list": [("LPUSH", key, junk), ("RPOP", key), ("RPUSH", key, *again)],
            "zset": [("ZADD", key, 1, junk), ("ZPOPMIN", key)],
            "string": [("SET", key, junk), ("APPEND", key, junk[:100])],
        }  # fmt: skip
        every: list[tuple[str | float, ...]] = [("DEL", key), ("SET", key, junk), ("PEXPIRE", key, 50)]
        redis.execute_command(*self.chance.choice([*own.get(kind, []) * 3, *every]))  # type: ignore[no-untyped-call] # redis has no types here

    def _field(self, key: str) -> str:
        if self.state.redis.type(key) != "hash":
            return "x"
        return str(self.state.redis.hrandfield(key) or "x")

    def crafted(self, run_id: str, queue: Callable[..., None]) -> list[Callable[[], object]]:
        """Changes with a purpose: runs of one's own, ends of others' runs, poison, words without end."""
        redis, key = self.state.redis, self.state.key
        now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        firing = {
            "v": 1, "run_id": f"{now}-evil", "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "missed": False,
            "settings": {"price": 0, "api_url": "http://127.0.0.1:9/"}, "notify": {},
            "schedule": {"name": "evil", "cron": "* * * * *", "time_zone": "UTC", "manifest": "s3://private/",
                         "prompt": "free pictures", "output": "s3://website/"},
        }  # fmt: skip
        named = [f"{now}-evil", run_id, f"{run_id}:suspension", "../../x", "x" * 5_000]
        hashes = ("firings", "notices", "troubles", "fleet", "stock", "server", "periods", "schedules:looked")
        entries = ("9" * 5_000, "[" * 20_000, '{"__type__": "x", "__value__": 1}', "x" * 1_000_000, "\xff", "{}", "5")
        return [
            *(lambda name=name: redis.hset(key("firings"), name, json.dumps(firing)) for name in named),
            *(lambda name=name: queue(RUNS, "restyle.start", {"run_id": name}) for name in named),
            *(lambda name=name: queue(RUNS, "restyle.finish", {"run_id": name}) for name in named),
            *(lambda name=name: queue(JOBS, "restyle.finish", {"run_id": name}) for name in named[:3]),
            *(lambda name=name: redis.sadd(key("runs"), name) for name in named),
            *(lambda text=text: redis.lpush(key(JOBS), text) for text in entries),
            *(lambda text=text: redis.rpush(key(RUNS), text) for text in entries),
            *(lambda name=name: redis.hset(key(name), "x" * 10_000, "y" * 100_000) for name in hashes),
            lambda: redis.hset(key("run", run_id), "priority", "urgent"),
            lambda: redis.hset(key("run", run_id), "budget", "much"),
            lambda: redis.hset(f"{self.account}rate", "next", "soon"),
            lambda: redis.hset(f"{self.account}rate", "hold", "9" * 30),
            lambda: redis.hset(key("run", run_id), "closed", 10**9),
        ]  # fmt: skip
