"""What `restyle doctor` looks at: each part by really using it, without spending."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from apps import local
from config.connections import open_spool, open_state, open_store
from config.settings import Settings
from restyle.errors import RestyleError
from restyle.segmind import Segmind
from restyle.segmind_queue import CannotTell
from tasks.resources import open_queue

#: Seconds by which this machine's clock may differ from Redis's before schedules and signatures suffer.
CLOCK_TOLERANCE = 5.0


@dataclass(frozen=True)
class Finding:
    """What one look found."""

    name: str
    ok: bool
    told: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every part, one after the other; a fault of one hides no other."""
    try:
        own_sandbox = settings.sandbox and settings.redis_url is None
        with local.stack(settings, worker=False, sandbox=own_sandbox) as servers:
            return list(_parts(servers.settings))
    except RestyleError as error:
        return [Finding("stack", False, error.message, "mend this first; the rest was not looked at")]


def _parts(settings: Settings) -> Iterator[Finding]:
    yield _look(
        "redis", lambda: _redis(settings), "check RESTYLE_REDIS_URL, and that Redis is up and lets this host in"
    )
    yield _look(
        "s3",
        lambda: _s3(settings),
        "check RESTYLE_WORKSPACE and the AWS_* credentials: read, write and list are needed",
    )
    yield _look("api key", lambda: _api(settings), "check RESTYLE_API_KEY and RESTYLE_API_URL, or add --sandbox")
    if settings.api == "v2":
        yield _look(
            "history",
            lambda: _history(settings),
            "without it a submit whose answer is lost may be paid for twice: check RESTYLE_HISTORY_URL, and see"
            " RESTYLE_IN_DOUBT",
        )
    yield _look("clock", lambda: _clock(settings), "let this machine set its clock by NTP")
    yield from spooled(settings)


def spooled(settings: Settings) -> Iterator[Finding]:
    """Paid answers on this machine's disk; nothing where there are none, as nearly always."""
    spool = open_spool(settings)
    if waiting := spool.waiting():
        told = f"paid answers that neither S3 nor Redis took lie in {spool.folder}: {len(waiting)}"
        yield Finding("spool", False, told, "start a worker here, with this RESTYLE_HOME: it stores them")


def _look(name: str, look: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(name, True, look())
    except RestyleError as error:
        return Finding(name, False, error.message, advice)


def _redis(settings: Settings) -> str:
    state = open_state(settings, "")
    try:
        began = time.monotonic()
        state.ping()
        spent = (time.monotonic() - began) * 1000
        version = state.ask("INFO", "server").get("redis_version", "?")
        policy = state.ask("CONFIG", "GET", "maxmemory-policy")
        found = dict(policy) if isinstance(policy, dict) else {}
        if found.get("maxmemory-policy", "noeviction") != "noeviction":
            raise RestyleError(f"maxmemory-policy is {found['maxmemory-policy']}: Redis may drop jobs; use noeviction")
        return f"answers in {spent:.1f} ms (Redis protocol {version})"
    finally:
        state.close()


def _s3(settings: Settings) -> str:
    store = open_store(settings)
    uri = settings.effective_workspace.under("doctor", uuid4().hex)
    try:
        store.put(uri, b"restyle doctor", content_type="text/plain")
        if store.get(uri).data != b"restyle doctor":
            raise RestyleError("what was read is not what was written")
        if not any(listed.uri == uri for listed in store.list(settings.effective_workspace.under("doctor") + "/")):
            raise RestyleError("what was written is missing in the listing")
        store.delete(uri)
        return f"reads, writes and lists {settings.effective_workspace.uri}"
    finally:
        store.close()


def _api(settings: Settings) -> str:
    if settings.api_key is None:
        raise RestyleError("no API key is set")
    client = Segmind(settings.door_url("v1"), settings.api_key.get_secret_value(), timeout=20)
    try:
        return f"accepted, {client.credits():,.2f} credits on the account"
    finally:
        client.close()


def _history(settings: Settings) -> str:
    if settings.api_key is None:
        raise RestyleError("no API key is set")
    client = open_queue(settings, settings.api_key.get_secret_value())
    try:
        client.check_history()
    except CannotTell as why:
        raise RestyleError(f"submits whose answers are lost cannot be looked up: {why}") from None
    finally:
        client.close()
    return f"lost submits are looked up at {settings.effective_history_url}"


def _clock(settings: Settings) -> str:
    state = open_state(settings, "")
    try:
        drift = time.time() - state.clock()
    finally:
        state.close()
    if abs(drift) > CLOCK_TOLERANCE:
        raise RestyleError(f"differs from Redis's by {drift:.1f} s")
    return f"agrees with Redis's to {abs(drift):.2f} s"
