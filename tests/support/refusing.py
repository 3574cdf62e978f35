"""A Redis that answers and refuses: really, in every way that a full, a demoted or a guarded server has.

Each way is set up by a line of its own that was there before, as an operator's is, and undone by it.
"""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis

from apps.stack.servers import free_port
from tests.support.servers import Valkey
from tests.support.wait import wait_until

#: The six that a fleet must sit out, by what Redis says, or what is wrong with it.
REFUSALS = ("oom", "disk", "misconf", "noreplicas", "readonly", "auth")
#: Their relatives.
OTHERS = ("noperm", "masterdown", "busy", "clients")


@contextmanager
def refusing(server: Valkey, kind: str) -> Iterator[redis.Redis]:
    """For as long as this lasts the server refuses; it yields the line by which it was told to."""
    line = redis.Redis(port=server.port, single_connection_client=True, decode_responses=True)
    undo = WAYS[kind](server, line)
    try:
        yield line
    finally:
        undo()
        line.close()


def _oom(_: Valkey, line: redis.Redis) -> Callable[[], object]:
    """More memory is used than may be, and nothing may be evicted."""
    line.config_set("maxmemory", 1)
    return lambda: line.config_set("maxmemory", 0)


def _disk(server: Valkey, line: redis.Redis) -> Callable[[], object]:
    """The append-only file cannot grow: as on a full disk, after a write has failed."""
    assert server.process is not None
    pid = server.process.pid
    largest = max(path.stat().st_size for path in (server.folder / "appendonlydir").iterdir())
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    with suppress(redis.ResponseError):  # another's write has met it already
        line.set("tests:to:the:disk", "x" * 100)
    wait_until(lambda: _info(line, "persistence")["aof_last_write_status"] == "err", timeout=5, description="an error")

    def undo() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        wait_until(lambda: _info(line, "persistence")["aof_last_write_status"] == "ok", timeout=5, description="room")

    return undo


def _misconf(server: Valkey, line: redis.Redis) -> Callable[[], object]:
    """A snapshot cannot be written, since a folder has its name."""
    obstacle = server.folder / "dump.rdb" / "obstacle"
    shutil.rmtree(obstacle.parent, ignore_errors=True)
    obstacle.mkdir(parents=True)
    line.config_set("save", "3600 1")
    line.bgsave()

    def has_failed() -> bool:
        info = _info(line, "persistence")
        return not info["rdb_bgsave_in_progress"] and info["rdb_last_bgsave_status"] == "err"

    wait_until(has_failed, timeout=5, description="an error")

    def undo() -> None:
        line.config_set("save", "")
        shutil.rmtree(obstacle.parent)

    return undo


def _noreplicas(_: Valkey, line: redis.Redis) -> Callable[[], object]:
    """Writes need a replica that is not there."""
    line.config_set("min-replicas-to-write", 1)
    return lambda: line.config_set("min-replicas-to-write", 0)


def _readonly(_: Valkey, line: redis.Redis) -> Callable[[], object]:
    """Demoted to the replica of a server that does not answer, and so with its data."""
    line.replicaof("127.0.0.1", free_port())
    return lambda: line.replicaof("NO", "ONE")


def _auth(_: Valkey, line: redis.Redis) -> Callable[[], object]:
    """Another password, and every connection dropped."""
    line.config_set("requirepass", "another")
    _drop_others(line)
    return lambda: line.config_set("requirepass", "")


def _noperm(_: Valkey, line: redis.Redis) -> Callable[[], object]:
    """The user may read and no more."""
    line.acl_setuser("default", enabled=True, categories=["-@write"])
    return lambda: line.acl_setuser("default", enabled=True, categories=["+@all"])


def _masterdown(server: Valkey, line: redis.Redis) -> Callable[[], object]:
    """Demoted, and not even reading is allowed."""
    line.config_set("replica-serve-stale-data", "no")
    undo = _readonly(server, line)

    def restore() -> None:
        undo()
        line.config_set("replica-serve-stale-data", "yes")

    return restore


def _busy(server: Valkey, line: redis.Redis) -> Callable[[], object]:
    """Somebody's script runs on and on."""
    line.config_set("busy-reply-threshold", 10)
    other = redis.Redis(port=server.port, socket_timeout=None)  # else the script would be sent again, and again

    def spin() -> None:
        with suppress(redis.RedisError):
            other.eval("while true do end", 0)
        other.close()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()

    def is_busy() -> bool:
        try:
            return not line.ping()
        except redis.ResponseError:
            return True

    wait_until(is_busy, timeout=5, description="a busy Redis")

    def undo() -> None:
        line.script_kill()
        thread.join(5)
        line.config_set("busy-reply-threshold", 5000)

    return undo


def _clients(_: Valkey, line: redis.Redis) -> Callable[[], object]:
    """No more connections than this one are allowed."""
    before = int(line.config_get("maxclients")["maxclients"] or 0)
    line.config_set("maxclients", 1)
    _drop_others(line)
    return lambda: line.config_set("maxclients", before)


WAYS: dict[str, Callable[[Valkey, redis.Redis], Callable[[], object]]] = {
    "oom": _oom, "disk": _disk, "misconf": _misconf, "noreplicas": _noreplicas, "readonly": _readonly, "auth": _auth,
    "noperm": _noperm, "masterdown": _masterdown, "busy": _busy, "clients": _clients,
}  # fmt: skip


def _drop_others(line: redis.Redis) -> None:
    line.client_kill_filter(_type="normal", skipme=True)


def _info(line: redis.Redis, section: str) -> dict[str, Any]:
    info: dict[str, Any] = line.info(section)
    return info
