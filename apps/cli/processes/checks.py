"""What `restyle doctor` looks at: each part by really using it, without spending."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from apps.stack import local
from apps.terminal.console import say
from config.connections import limits, open_holding, open_spool, open_state, open_store
from config.settings import Settings
from restyle.coordination.fleet import Fleet
from restyle.coordination.periods import Periods
from restyle.coordination.redis import server as redis_server
from restyle.coordination.workspace.holder import shown
from restyle.errors import RestyleError
from restyle.http.trust import authorities, authorities_from, proxy_for
from restyle.models import utc_now
from restyle.segmind.history import CannotTell
from restyle.segmind.v1 import Segmind
from tasks.resources import open_queue

#: Seconds by which this machine's clock may differ from Redis's before schedules and signatures suffer.
CLOCK_TOLERANCE = 5.0


@dataclass(frozen=True)
class Finding:
    """What one look found."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every part, one after the other; a fault of one hides no other."""
    try:
        own_sandbox = settings.sandbox and settings.redis_url is None
        with local.stack(settings, worker=False, sandbox=own_sandbox, say=say) as servers:
            return list(_parts(servers.settings))
    except RestyleError as error:
        return [Finding("stack", False, error.message, "correct this first; the rest was not looked at")]


def _parts(settings: Settings) -> Iterator[Finding]:
    yield _look("redis", lambda: _redis(settings), "check RESTYLE_REDIS_URL")
    yield _look(
        "s3",
        lambda: _s3(settings),
        "check RESTYLE_WORKSPACE and the AWS_* credentials: read, write and list are needed",
    )
    yield _look("network", lambda: _network(settings), "correct this variable where workers are started, too")
    yield _look("holder", lambda: _holder(settings), "end what runs there, or use its RESTYLE_REDIS_URL here too")
    yield _look("api key", lambda: _api(settings), "check RESTYLE_API_KEY and RESTYLE_API_URL, or add --sandbox")
    if settings.sends_key_in_clear:
        yield Finding("api address", False, f"{settings.api_url} sends the API key in clear", "use https://")
    if settings.api == "v2":
        yield _look(
            "history",
            lambda: _history(settings),
            "without it a submit whose answer is lost may be paid for twice: check RESTYLE_HISTORY_URL, and see"
            " RESTYLE_IN_DOUBT",
        )
    yield _look("clock", lambda: _clock(settings), "let this machine set its clock by NTP")
    yield _look(
        "time zone", lambda: _zone(settings), "set RESTYLE_TIME_ZONE alike here and for all workers, and restart them"
    )
    yield from spooled(settings)


def spooled(settings: Settings) -> Iterator[Finding]:
    """Paid answers on this machine's disk; nothing where there are none, as nearly always."""
    spool = open_spool(settings)
    if waiting := spool.waiting():
        sentence = f"paid answers that neither S3 nor Redis took lie in {spool.folder}: {len(waiting)}"
        yield Finding("spool", False, sentence, "start a worker here, with this RESTYLE_HOME: it stores them")


def _look(name: str, look: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(name, True, look())
    except RestyleError as error:
        return Finding(name, False, error.message, _of_the_way(error.message) or getattr(error, "next", "") or advice)


def _of_the_way(detail: str) -> str:
    """What to do about a fault that lies on the way rather than at its end; empty where it does not."""
    if "certificate verify failed" in detail:
        return (
            "nobody who is trusted here vouches for what answers, which may be your company's proxy: set SSL_CERT_FILE"
            " to a PEM file that has its authority's certificate too, here and where workers are started"
        )
    if "the proxy" in detail:
        return "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, here and where workers are started"
    return ""


def _network(settings: Settings) -> str:
    trusted = f"trusted are the certificates of {authorities()} ({authorities_from()})"
    proxy = None if settings.local_sandbox else proxy_for(settings.api_url)
    return f"{trusted}; to the API " + (f"by the proxy {proxy.name} ({proxy.variable})" if proxy else "by no proxy")


def _redis(settings: Settings) -> str:
    state = open_state(settings, "")
    try:
        state.log_in()
        began = time.monotonic()
        state.ping()
        spent = (time.monotonic() - began) * 1000
        state.check_writes()
        doubtful = redis_server.check(state)
        version = (state.peek("INFO", "server") or {}).get("redis_version", "?")
        memory = redis_server.memory(state)
        left = f", {memory.used / memory.most:.0%} of its memory is used" if memory.most else ""
        return f"answers in {spent:.1f} ms (Redis protocol {version}){left}" + (f". {doubtful}" if doubtful else "")
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
        heeds = store.heeds_conditions(uri, b"restyle doctor", content_type="text/plain")
        store.delete(uri)
        known = "heeds conditional writes" if heeds else "ignores conditional writes, on which no payment rests"
        return f"reads, writes and lists {settings.effective_workspace.uri}; S3 {known}"
    finally:
        store.close()


def _holder(settings: Settings) -> str:
    state, store = open_state(settings, ""), open_store(settings)
    try:
        holder = open_holding(settings, store, Fleet(state, limits(settings))).holder()
    finally:
        state.close()
        store.close()
    line = shown(holder, settings.effective_workspace.uri, utc_now())
    if holder and not holder[1] and not holder[0].looks_gone:
        raise RestyleError(line)
    return line


def _api(settings: Settings) -> str:
    if settings.api_key is None:
        raise RestyleError("no API key is set")
    client = Segmind(
        settings.door_url("v1"), settings.api_key.get_secret_value(), timeout=20, direct=bool(settings.local_sandbox)
    )
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


def _zone(settings: Settings) -> str:
    state = open_state(settings, "")
    try:
        zone = Periods(state).zone()
    finally:
        state.close()
    if zone and zone != settings.time_zone:
        raise RestyleError(
            f"workers count the days of budgets in {zone}, and RESTYLE_TIME_ZONE is {settings.time_zone} here"
        )
    return f"days and months of budgets are counted in {settings.time_zone}"


def _clock(settings: Settings) -> str:
    state = open_state(settings, "")
    try:
        drift = time.time() - state.clock()
    finally:
        state.close()
    if abs(drift) > CLOCK_TOLERANCE:
        raise RestyleError(f"differs from Redis's by {drift:.1f} s")
    return f"agrees with Redis's to {abs(drift):.2f} s"
