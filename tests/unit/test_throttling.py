"""A command's patience with S3: how long, with what, and with how many words."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from restyle.errors import InputNotFound, RestyleError, StoreAccessDenied, StoreUnavailable
from restyle.s3.throttling import Patience, end_all

SLOW = StoreUnavailable("S3 answers 503 SlowDown", 503)
GONE = StoreUnavailable("S3 cannot be reached")


class Answers:
    """Raises or answers one after the other, the last one for ever."""

    def __init__(self, *answers: RestyleError | str) -> None:
        self.given = list(answers)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        found = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(found, RestyleError):
            raise found
        return found


@pytest.fixture
def said() -> list[str]:
    """What a command was told."""
    return []


@pytest.fixture
def patience(said: list[str]) -> Patience:
    """One that a test can wait for."""
    return Patience(said.append, throttled=0.3, unreachable=0.1, first=0.001)


def test_a_throttled_request_is_made_again_until_it_succeeds(patience: Patience, said: list[str]) -> None:
    """And it is told once that there is something to wait for, however often it is waited."""
    ask = Answers(SLOW, SLOW, SLOW, "there")
    assert patience.sit_out(ask) == "there"
    assert patience.sit_out(Answers(SLOW, "there")) == "there"
    assert ask.asked == 4
    assert len(said) == 1
    assert said[0].startswith("S3 answers 503 SlowDown; waiting for it, up to ")


def test_an_s3_that_never_answered_is_not_waited_for(patience: Patience, said: list[str]) -> None:
    """Its address may be wrong: that is told at once."""
    ask = Answers(GONE)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        patience.sit_out(ask)
    assert (ask.asked, said) == (1, [])


@pytest.mark.parametrize("before", [Answers("there"), Answers(InputNotFound("missing"))])
def test_one_that_has_answered_and_goes_away_is_waited_for(patience: Patience, before: Answers) -> None:
    """For a while: what it answered is one and the same."""
    with suppress(InputNotFound):
        patience.sit_out(before)
    assert patience.sit_out(Answers(GONE, GONE, "there")) == "there"
    with pytest.raises(StoreUnavailable):
        patience.sit_out(Answers(GONE))


def test_the_wait_ends(patience: Patience) -> None:
    """An S3 that throttles for longer is given up, with its last answer."""
    begun, ask = time.monotonic(), Answers(SLOW)
    with pytest.raises(StoreUnavailable, match="SlowDown"):
        patience.sit_out(ask)
    assert 0.3 <= time.monotonic() - begun < 2
    assert 1 < ask.asked < 20  # the pauses grow; on a busy machine each is longer


def test_an_s3_that_was_stopped_is_not_waited_for(patience: Patience, said: list[str]) -> None:
    """The embedded one ends with its stack: a command that waited for it would outlive that by a minute."""
    stopped: list[bool] = []
    patience.unless(lambda: bool(stopped))
    assert patience.sit_out(Answers("here")) == "here"
    stopped.append(True)
    ask = Answers(GONE)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        patience.sit_out(ask)
    assert (ask.asked, said) == (1, [])


def test_what_will_not_pass_is_raised_at_once(patience: Patience) -> None:
    """No patience for a refusal."""
    ask = Answers(StoreAccessDenied("no"))
    with pytest.raises(StoreAccessDenied):
        patience.sit_out(ask)
    assert ask.asked == 1


def test_ctrl_c_ends_the_wait_of_every_thread() -> None:
    """A command waits for its threads: what they wait for ends with the command's own end."""
    patience, failed = Patience(lambda _told: None), threading.Event()

    def wait() -> None:
        with pytest.raises(StoreUnavailable):
            patience.sit_out(Answers(SLOW))
        failed.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not failed.wait(0.05)
    end_all()
    assert failed.wait(2)
    ask = Answers(SLOW)
    with pytest.raises(StoreUnavailable):
        patience.sit_out(ask)
    assert ask.asked == 1
