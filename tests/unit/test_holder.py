"""Who holds a workspace, as decisions, and what people are told."""

from __future__ import annotations

from dataclasses import replace
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
    rival = replace(RIVAL, age=age, watched=watched)
    assert rival.is_silent is silent
    later = max(rival.silent_in, 0)
    assert replace(rival, age=age and age + later, watched=watched + later).is_silent, "no later than it says"


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
