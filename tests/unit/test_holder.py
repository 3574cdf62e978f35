"""Who holds a workspace, as decisions: every order of steps of three Redis, and what people are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from restyle.coordination.workspace.holder import (
    FleetRecord,
    Rival,
    Standing,
    Step,
    Terms,
    address_of,
    as_object,
    in_the_way,
    next_step,
    read_record,
    refusal,
    shown,
)

NOW = datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
RECORD = FleetRecord(
    state=Standing.HOLDER, beat="b", who="anna@laptop", since=NOW - timedelta(minutes=28), redis="127.0.0.1:41233/0",
    runs=1, pending=12,
)  # fmt: skip
RIVAL = Rival("a" * 16, RECORD, age=3.0, watched=0.0, beats=False)


# -- every order of steps ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Redis:
    """One that would hold the workspace: where it stands in the order of holding.py, and what it last saw."""

    #: The names of its records, another one each time.
    names: tuple[str, ...]
    at: str = "outside"
    holds: bool = False
    #: Its lease, which counts from before its first look, would be over before it began.
    is_late: bool = False
    #: Records that nobody had any more when it last looked.
    gone: tuple[str, ...] = ()
    #: A record of its own that it may still write, where it stood still in the middle of renewing it.
    late: str = ""

    @property
    def name(self) -> str:
        """The name of its record now."""
        return self.names[0]

    def outside(self, late: str = "") -> Redis:
        """It begins again, under another name."""
        return Redis(self.names[1:], late=late or self.late)


@dataclass(frozen=True)
class World:
    """All of them, and the records in S3 by name: state, and whether it has been silent for long."""

    all: tuple[Redis, ...]
    records: frozenset[tuple[str, Standing, bool]] = frozenset()

    def with_one(self, number: int, one: Redis) -> World:
        """The same, with one of them as it is now."""
        return replace(self, all=(*self.all[:number], one, *self.all[number + 1 :]))

    def put(self, name: str, state: Standing) -> World:
        """A record written."""
        return replace(self, records=self.delete(name).records | {(name, state, False)})

    def delete(self, *names: str) -> World:
        """Records removed."""
        return replace(self, records=frozenset(record for record in self.records if record[0] not in names))

    def rivals(self, name: str) -> list[Rival]:
        """The others' records as one sees them."""
        return [
            Rival(other, RECORD.model_copy(update={"state": state}), None, 1000 if is_silent else 0, beats=False)
            for other, state, is_silent in self.records
            if other != name
        ]


def steps(world: World) -> Iterator[World]:
    """What may happen next: a step of one of them, or one that is silent for so long that its lease has run out."""
    for number, one in enumerate(world.all):
        if one.late:
            yield world.put(one.late, Standing.HOLDER).with_one(number, replace(one, late=""))
        if not one.names:
            continue
        yield from silences(world, number, one)
        match one.at:
            case "outside":
                if next_step(world.rivals(one.name), "", raised=False) is Step.GO_ON:
                    yield world.with_one(number, replace(one, at="free"))
            case "free":
                yield world.put(one.name, Standing.CANDIDATE).with_one(number, replace(one, at="raised"))
            case "raised":
                yield from look_again(world, number, one)
            case "alone":
                after = world.delete(*one.gone).put(one.name, Standing.HOLDER)
                yield after.with_one(number, one.outside() if one.is_late else replace(one, at="holder", holds=True))
            case "holder":
                yield world.put(one.name, Standing.LEFT).with_one(number, one.outside())


def look_again(world: World, number: int, one: Redis) -> Iterator[World]:
    """The look after the flag was raised, which decides."""
    step = next_step(world.rivals(one.name), one.name, raised=True)
    if one.name not in {name for name, _, _ in world.records}:  # taken for gone meanwhile
        yield world.with_one(number, one.outside())
    elif step is Step.GO_ON:
        gone = tuple(sorted(rival.name for rival in world.rivals(one.name)))
        yield world.with_one(number, replace(one, at="alone", gone=gone))
    elif step is Step.STEP_BACK:
        yield world.delete(one.name).with_one(number, one.outside())


def silences(world: World, number: int, one: Redis) -> Iterator[World]:
    """Killed, frozen or cut off for so long that its record looks old; it may go on from where it was."""
    records = frozenset((name, state, is_silent or name == one.name) for name, state, is_silent in world.records)
    if records != world.records:
        after = one.outside(late=one.name) if one.at == "holder" else replace(one, is_late=True)
        yield replace(world.with_one(number, after), records=records)


@pytest.mark.parametrize(
    "names", [(("a", "d", "e"), ("b", "c", "f")), (("a", "e"), ("b",), ("c",)), (("c", "a"), ("b",), ("d",))]
)
def test_no_order_of_steps_lets_two_hold_it(names: tuple[tuple[str, ...], ...]) -> None:
    """From every state that can be reached, with every one paused, killed or back at any point: one holder at most."""
    first = World(tuple(map(Redis, names)))
    reached, waiting = {first}, [first]
    while waiting:
        world = waiting.pop()
        assert sum(one.holds for one in world.all) <= 1, world
        for after in steps(world):
            if after not in reached:
                reached.add(after)
                waiting.append(after)
    assert len(reached) > 500
    for number in range(len(names)):
        assert any(world.all[number].holds for world in reached)


# -- signs of life -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "watched", "silent"),
    [
        (3, 0, False), (3, 44, False), (3, 45, True), (None, 44, False), (None, 46, True),
        # S3's own times count once they were looked at for longer than a holder is silent.
        (46, 0, False), (46, 12, False), (46, 13, True), (1e9, 5, False), (-600, 44, False),
    ],
)  # fmt: skip
def test_when_a_holder_counts_as_gone(age: float | None, watched: float, silent: bool) -> None:
    """Its record has not changed for 45 s: by what this process has seen, or by S3's times and a look of 13 s."""
    assert replace(RIVAL, age=age, watched=watched).is_silent is silent


def test_a_record_promises_its_own_time_within_bounds() -> None:
    """Two with different settings agree: the record says how long its holder may be silent, up to 5 minutes."""
    for promised, silent in ((9, 9), (0, 1), (1e9, 300)):
        record = RECORD.model_copy(update={"silent_after": promised})
        rival = replace(RIVAL, record=record, age=None, watched=silent + 0.1)
        assert rival.is_silent
        assert not replace(rival, watched=silent - 0.1).is_silent


def test_a_lease_ends_before_anybody_may_follow() -> None:
    """A call that was claimed in the last moment begins 5 s later at the latest, and still 10 s too early to meet."""
    terms = Terms()
    assert (terms.renew, terms.lease) == (10, 30)
    assert terms.lease + 5 + 10 <= terms.silent_after


def test_of_two_holders_the_later_one_stays() -> None:
    """A record that was written late gives way; equals, an unreadable one and none that is asked for do not."""
    for number, outranks in ((4, False), (5, True), (6, True)):
        assert replace(RIVAL, record=RECORD.model_copy(update={"number": number})).outranks(5) is outranks
    assert replace(RIVAL, record=None).outranks(5)
    for state in (Standing.CANDIDATE, Standing.LEAVING, Standing.LEFT):
        assert not replace(RIVAL, record=RECORD.model_copy(update={"state": state, "number": 9})).outranks(5)
    assert not replace(RIVAL, record=RECORD.model_copy(update={"number": 9}), watched=46).outranks(5)


def test_one_that_left_is_in_nobodys_way() -> None:
    """A record that says so is as good as none; one that cannot be read is a holder's until it is silent."""
    left = replace(RIVAL, record=RECORD.model_copy(update={"state": Standing.LEFT}))
    unread = replace(RIVAL, record=None)
    assert next_step([left], "", raised=False) is Step.GO_ON
    assert next_step([unread], "", raised=False) is Step.WAIT
    assert in_the_way([left, unread]) is unread
    assert next_step([replace(unread, watched=46)], "", raised=False) is Step.GO_ON


def test_a_newer_record_is_read_and_nonsense_is_none() -> None:
    """Keys of a later version are passed over; what is no record, or one of an unknown state, is not understood."""
    text = RECORD.model_dump_json()
    assert read_record(text.replace("{", '{"later": 1, ', 1).encode()) == RECORD
    for wrong in (b"", b"null", b"[]", text.replace("holder", "king").encode(), b"\xff\xfe"):
        assert read_record(wrong) is None


# -- words -------------------------------------------------------------------------------------------------


def test_the_refused_one_is_told_who_since_when_and_what_to_do() -> None:
    """Person, time, Redis and pending jobs, then three ways on; and nothing that a terminal would obey."""
    text = refusal("s3://shop/ws", RIVAL, NOW)
    since = RECORD.since.astimezone()
    assert f"s3://shop/ws is held by anna@laptop since {since:%H:%M} (Redis 127.0.0.1:41233/0, 12 jobs pending" in text
    for words in ("Nothing was spent", "restyle status", "RESTYLE_REDIS_URL", "restyle resume --take-over"):
        assert words in text
    hostile = RECORD.model_copy(update={"who": "\x1b[2J" + "x" * 299, "since": NOW - timedelta(days=3)})
    text = refusal("s3://shop/ws", replace(RIVAL, record=hostile), NOW)
    assert "\x1b" not in text
    assert f"{hostile.since.astimezone():%Y-%m-%d}" in text


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1:6379/0", "127.0.0.1:6379/0"),
        ("rediss://user:s3cret@redis.example:6380/2?ssl_cert_reqs=none", "redis.example:6380/2"),
        ("redis://:p@ss@host/1", "host/1"),
        ("redis://:s3c/ret@host/1", "host/1"),
        ("redis://:s3c?ret@host/1", "host/1"),
        ("redis://:s3c#ret@host/1", "host/1"),
        ("unix://:s3cret@/run/redis.sock?db=1", "/run/redis.sock"),
        ("sentinel://:s3cret@a:26379;sentinel://:s3cret@b:26379/0", "a:26379;b:26379/0"),
        ("sentinel://:s3cret@a:26379;b:26379", "a:26379;b:26379"),
    ],
)
def test_an_address_has_no_password(url: str, address: str) -> None:
    """What others read of a Redis is where it is, whatever way it is written."""
    assert address_of(url) == address


def test_status_shows_the_holder() -> None:
    """For people in a line, for programs as an object; nobody at all is said too."""
    assert shown(None, "s3://ws", NOW) == "s3://ws is free"
    assert as_object(None) is None
    assert "which is this one" in shown((RIVAL, True), "s3://ws", NOW)
    assert "it is gone" in shown((replace(RIVAL, age=300), False), "s3://ws", NOW)
    told = as_object((RIVAL, False))
    assert told is not None
    assert (told["who"], told["here"], told["heartbeat_age"], told["gone"]) == ("anna@laptop", False, 3.0, False)
    assert "beat" not in told
