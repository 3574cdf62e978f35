"""Removes from Redis what a script fails by and no version of restyle has written, as if Redis had lost it.

Anybody who can write to Redis can put a list where a hash belongs, or words where a number does, and every job's script
that reads it would fail. When a script fails, the keys that it may have read are inspected here. What has another form
than ours is removed; its content comes again with the workers' next heartbeats, or from S3, as after any loss. Of a run
nothing is removed: the error is RunUnreadable, and the run is rebuilt from S3 when a person resumes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restyle.coordination.redis.hints import read_object
from restyle.errors import RunUnreadable
from restyle.run_ids import is_run_id
from restyle.telemetry import metrics

if TYPE_CHECKING:
    from restyle.coordination.redis.client import State

#: Fields that a hash of ours has at most, apart from those of runs.
MOST_FIELDS = 5_000
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,2})?")
#: What part of a key a script's argument can be.
_PART = re.compile(r"(?<![A-Za-z0-9_.:-])[A-Za-z0-9_.:-]{1,128}(?![A-Za-z0-9_.:-])")


@dataclass(frozen=True)
class Form:
    """What a key holds."""

    kind: str
    #: Of a hash, the fields that are words; the others are numbers. Of a string: it is a number where this is empty.
    words: frozenset[str] | None = None
    #: The values are JSON objects.
    objects: bool = False
    #: Fields without which a script cannot do: of the hash, or where it has objects, of each of these.
    needs: frozenset[str] = frozenset()

    def lacks(self, fields: Mapping[str, object]) -> str:
        """Names what is missing; empty where nothing is."""
        return next((name for name in sorted(self.needs) if not isinstance(fields.get(name), str | int | float)), "")

    def wrong(self, field: str, value: str) -> bool:
        """Whether a value is none of this form."""
        if self.objects:
            entry = read_object(value)
            return entry is None or self.lacks(entry) != ""
        return self.words is not None and field not in self.words and not _NUMBER.fullmatch(value)


def _words(text: str = "") -> frozenset[str]:
    return frozenset(text.split())


_SET, _LIST, _ZSET, _STRING, _HASH = Form("set"), Form("list"), Form("zset"), Form("string"), Form("hash")
_COUNT = Form("string", _words())
_OBJECTS = Form("hash", objects=True)
#: The keys of a workspace, but for those of its runs.
WORKSPACE: dict[str, Form] = {
    "format": _COUNT, "runs": _SET, "workers": _SET, "server:beaten": _SET, "summed": _SET, "firings": _HASH,
    "notices": _HASH,
    "troubles": _HASH, "fleet:names": _LIST, "fleet:beats": _LIST, "fleet:turn": _STRING,
    "fleet:interest": _STRING, "stock": _HASH, "events": _LIST, "trend": _LIST, "schedules:looked": _HASH,
    "schedules:last": _HASH, "dispatcher": _STRING, "holder": _COUNT, "reserved": _COUNT, "account": _STRING,
    "spooled": _SET, "store_away": _STRING, "web:hosts": _ZSET, "web:fetched": _LIST,
    "kept_bytes": _COUNT, "queue:jobs": _LIST, "queue:jobs:high": _LIST, "queue:jobs:low": _LIST, "queue:runs": _LIST,
    "fleet": Form("hash", _words("name etag who since lost")),
    "server": Form("hash", _words("incarnation id recalled"), needs=_words("since least most")),
    "periods": Form("hash", _words("day month zone"), needs=_words("day_began day_ends month_began month_ends")),
}  # fmt: skip
#: The keys of an account.
ACCOUNT: dict[str, Form] = {
    "suspension": _OBJECTS, "epoch": _COUNT, "streak": _SET, "probe": _STRING, "alike": _SET,
    "refused": Form("hash", objects=True, needs=_words("at n")),
    "failing": Form("hash", objects=True, needs=_words("at turns")),
    "refusers": Form("hash", objects=True, needs=_words("at")),
    "rate": Form("hash", _words("asker alike hold_detail hold_by")),
    "rate:asks": _STRING, "balance": _COUNT, "balance:asked": _STRING,
}  # fmt: skip
#: The keys that carry the name of a worker, a job, a period or a right.
NAMED: dict[str, Form] = {
    "worker:{}:jobs": Form("hash", objects=True, needs=_words("run shard index")),
    "worker:{}": _STRING, "done:{}": _STRING, "result:{}": _STRING, "kept:{}": _STRING, "spent:{}": _COUNT,
    "right:{}": _STRING, "planner:{}": _HASH, "fired:{}": _STRING, "handed:{}": _STRING,
    "lease:{}": Form(
        "hash", _words("run worker token epoch periods result"), needs=_words("run shard index worker token")
    ),
    "request:{}": Form("hash", _words("made_from told run periods")),
    "spooled:{}": Form("hash", _words("run worker periods")),
    "lost:{}": Form("hash", _words("run periods")), "unreadable:{}": _HASH, "telling:{}": _STRING,
    "web:ticket:{}": _COUNT, "web:queue:{}": _LIST, "web:flight:{}": _ZSET, "web:failing:{}": _SET,
    "web:ready:{}": _SET,
    "web:host:{}": Form("hash", _words()),
}  # fmt: skip
#: The keys of an account that carry the status of refusals.
OF_STATUS: dict[str, Form] = {"allowed:{}": _COUNT}
#: The keys of a run.
RUN: dict[str, Form] = {
    "": Form(
        "hash", _words("status priority writer last_error max_failures max_suspects"),
        needs=_words("status planned shards"),
    ),
    ":open": _ZSET, ":closed": _STRING, ":unreadable": _HASH,
    ":suspension": _HASH, ":braked": _HASH, ":endings": _HASH, ":doubts": _SET, ":events": _LIST, ":trend": _LIST,
}  # fmt: skip
_SHARD = Form("hash", _words())
#: Fields of runs and shards that are looked at elsewhere, by how they begin: recipes, outcomes, and what was said.
_OTHER_FIELDS = ("ok:", "o:", "r:")


def repair(state: State, args: Iterable[str | float]) -> bool:
    """Removes what a script with these arguments may have tripped over; False where there is nothing of the kind.

    Raises:
        RunUnreadable: it is of a run.
    """
    parts = {part for arg in args for part in _PART.findall(str(arg)[:1000])}
    removed = False
    for key, form in _keys(state, parts):
        removed = _check(state, key, form) or removed
    if not removed:
        _check_runs(state, parts)
    return removed


def _check_runs(state: State, parts: set[str]) -> None:
    for run_id in filter(is_run_id, sorted(parts)):
        shards = {f":shard:{part}": _SHARD for part in parts if part.isdecimal()}
        for suffix, form in {**RUN, **shards}.items():
            if fault := next(_faults(state, state.key("run", run_id) + suffix, form), None):
                raise RunUnreadable(f"what Redis has of run {run_id} cannot be read ({fault.detail})")


def _keys(state: State, parts: set[str]) -> Iterator[tuple[str, Form]]:
    yield from ((state.key(name), form) for name, form in WORKSPACE.items())
    yield from ((f"{state.account}{name}", form) for name, form in ACCOUNT.items())
    yield from ((state.key(name.format(part)), form) for part in parts for name, form in NAMED.items())
    statuses = {part for part in parts if part.isdecimal()} | _refused_statuses(state)
    yield from ((state.account + name.format(status), form) for status in statuses for name, form in OF_STATUS.items())
    # A script may go over what all workers hold.
    if state.ask("TYPE", state.key("workers")) == "set":
        for worker in state.ask("SRANDMEMBER", state.key("workers"), MOST_FIELDS):
            yield state.key("worker", worker), _STRING
            yield state.key("worker", worker, "jobs"), _OBJECTS


def _refused_statuses(state: State) -> set[str]:
    """The statuses of refusals that the fleet stands still for: a person's word goes over all of them."""
    key = f"{state.account}suspension"
    entries = (
        state.ask("HVALS", key) if state.ask("TYPE", key) == "hash" and state.ask("HLEN", key) <= MOST_FIELDS else ()
    )
    return {str(entry["status"]) for text in entries if (entry := read_object(text)) and "status" in entry}


def _check(state: State, key: str, form: Form) -> bool:
    """Removes what is wrong at a key; whether anything was."""
    faults = list(_faults(state, key, form))
    for fault in faults:
        metrics.HINTS_DROPPED.labels("key").inc()
        _tell(key, fault)
        if fault.field is None:
            state.ask("UNLINK", key)
        elif key == f"{state.account}suspension":
            # It stands all the same: who stopped the fleet had a reason.
            entry = {"reason": fault.field, "detail": "what Redis has of it cannot be read"}
            state.ask("HSET", key, fault.field, json.dumps(entry))
        else:
            state.ask("HDEL", key, fault.field)
    return bool(faults)


def _tell(key: str, fault: Fault) -> None:
    """Logs what is removed; a command, whose words are about something else, leaves that to the workers."""
    import structlog  # commands need not wait for it

    if structlog.is_configured():
        log = structlog.get_logger("restyle.state")
        log.warning("something in Redis is none of ours: removed", key=ascii(key), found=fault.detail)


@dataclass(frozen=True)
class Fault:
    """What is wrong at a key: all of it, or one field."""

    detail: str
    field: str | None = None


def _faults(state: State, key: str, form: Form) -> Iterator[Fault]:
    kind = state.ask("TYPE", key)
    if kind == "none":
        return
    if kind != form.kind:
        yield Fault(f"a {kind} in the place of a {form.kind}")
    elif kind == "string" and form.words is not None:
        if form.wrong("", text := state.ask("GETRANGE", key, 0, 200)):
            yield Fault(ascii(text))
    elif kind == "hash" and (form.words is not None or form.objects):
        if state.ask("HLEN", key) > MOST_FIELDS:
            yield Fault(f"more than {MOST_FIELDS:,} fields")
            return
        fields = state.ask("HGETALL", key)
        if not form.objects and (missing := form.lacks(fields)):
            yield Fault(f"no {missing}")
            return
        for field, value in fields.items():
            if not field.startswith(_OTHER_FIELDS) and form.wrong(field, value):
                yield Fault(f"{field[:100]!a}: {value[:200]!a}", field)
