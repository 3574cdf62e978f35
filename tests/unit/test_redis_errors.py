"""What each error of Redis means, by what a server really writes: waited for, or a fault of ours."""

from __future__ import annotations

import pytest
from redis import exceptions
from redis.connection import DefaultParser
from redis.sentinel import MasterNotFoundError

from restyle.coordination.redis.errors import drops, meaning

SCRIPT = " script: 6b1bf486c81ceb7edf3c093f4c48582e38c0e791, on @user_script:171."
OLD = "Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e38c0e791): @user_script:171: @user_script: 171: "

#: A line as Redis sends it behind the minus, the code by which it is known, and a part of what is said of it.
REFUSED = [
    ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", "refuses writes: OOM command not allowed"),
    (f"OOM command not allowed when used memory > 'maxmemory'.{SCRIPT}", "OOM", "'maxmemory'"),
    (f"ERR {OLD}-OOM command not allowed when used memory > 'maxmemory'.", "OOM", "'maxmemory'."),
    ("MISCONF Errors writing to the AOF file: No space left on device", "MISCONF", "No space left on device"),
    (f"MISCONF Errors writing to the AOF file: No space left on device{SCRIPT}", "MISCONF", "No space left on device"),
    (f"ERR {OLD}-MISCONF Redis is configured to save RDB snapshots, but it is not able", "MISCONF", "RDB snapshots"),
    ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", "refuses writes: NOREPLICAS Not enough"),
    (f"NOREPLICAS Not enough good replicas to write.{SCRIPT}", "NOREPLICAS", "replicas to write"),
    ("READONLY You can't write against a read only replica.", "READONLY", "READONLY You can't write"),
    (f"READONLY You can't write against a read only replica.{SCRIPT}", "READONLY", "read only replica"),
    (f"ERR {OLD}-READONLY You can't write against a read only replica.", "READONLY", "read only replica"),
    ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", "UNBLOCKED", ""),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN", "Link with"),
    ("LOADING Redis is loading the dataset in memory", "LOADING", "refuses: LOADING Redis is loading"),
    ("BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "BUSY", "SCRIPT KILL"),
    ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", "Hash slot not served"),
    ("MOVED 3999 127.0.0.1:6381", "MOVED", "127.0.0.1:6381"),
    ("ASK 3999 127.0.0.1:6381", "ASK", "3999"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", "rehashing"),
    ("CROSSSLOT Keys in request don't hash to the same slot", "CROSSSLOT", "same slot"),
    ("NOAUTH Authentication required.", "NOAUTH", "refuses: NOAUTH Authentication required."),
    ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", "user is disabled"),
    ("ERR invalid password", "NOAUTH", "invalid password"),
    ("ERR Client sent AUTH, but no password is set", "NOAUTH", "no password is set"),
    ("NOPERM User worker has no permissions to run the 'set' command", "NOPERM", "no permissions"),
    (f"ERR ACL failure in script: User default has no permissions to run the 'del' command{SCRIPT}", "NOPERM", "'del'"),
    ("ERR max number of clients reached", "ERR", "refuses: max number of clients reached"),
    ("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.", "ERR", "daily request limit"),
    ("NOSCRIPT No matching script.", "NOSCRIPT", "No matching script"),
    ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT", "discarded"),
    ("UNKILLABLE Sorry the script already executed write commands", "UNKILLABLE", "Sorry"),
    ("NEWCODE whatever comes with the next version", "NEWCODE", "refuses: NEWCODE whatever comes"),
]  # fmt: skip
OURS = [
    f"ERR user_script:12: Script attempted to access nonexistent global variable 'nobody'{SCRIPT}",
    f"ERR Unknown Redis command called from script{SCRIPT}",
    f"ERR {OLD}Unknown Redis command called from Lua script",
    f"WRONGTYPE Operation against a key holding the wrong kind of value{SCRIPT}",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
]


def parsed(line: str) -> exceptions.RedisError:
    """The error that redis-py makes of a line."""
    error = DefaultParser(4096).parse_error(line)  # type: ignore[no-untyped-call] # redis has no types here
    assert isinstance(error, exceptions.RedisError)
    return error


@pytest.mark.parametrize(("line", "code", "words"), REFUSED)
def test_a_refusal_is_waited_for_in_words(line: str, code: str, words: str) -> None:
    """Its code and its words are Redis's own, without where in a script it was; and there is something to do."""
    unavailable = meaning(parsed(line))
    assert unavailable is not None
    assert unavailable.refusal == code
    assert words in unavailable.message
    assert "user_script" not in unavailable.message
    assert unavailable.next


@pytest.mark.parametrize("code", ["OOM", "MISCONF", "NOREPLICAS", "READONLY"])
def test_a_refusal_within_a_transaction_is_the_same(code: str) -> None:
    """What redis-py writes before it tells the whole command, and is left out."""
    error = parsed(f"{code} some words")
    error.args = (f"Command # 2 (SET lease:1 a long value) of pipeline caused error: {error}",)
    unavailable = meaning(error)
    assert unavailable is not None
    assert unavailable.message == f"Redis refuses writes: {code} some words"


@pytest.mark.parametrize("line", OURS)
def test_a_fault_of_a_script_is_ours(line: str) -> None:
    """Waiting would not mend it."""
    assert meaning(parsed(line)) is None


def test_a_value_that_cannot_be_sent_is_ours() -> None:
    """redis-py says so before it has asked anybody."""
    assert meaning(exceptions.DataError("Invalid input of type: 'NoneType'.")) is None


@pytest.mark.parametrize("error", [exceptions.ConnectionError("Error 111"), exceptions.TimeoutError("Timeout")])
def test_silence_is_no_refusal(error: exceptions.RedisError) -> None:
    """Nobody has answered, and that is what is said."""
    unavailable = meaning(error)
    assert unavailable is not None
    assert (unavailable.refusal, unavailable.message) == ("", f"Redis cannot be reached: {error}")


def test_sentinels_that_refuse_are_told_from_those_that_do_not_know() -> None:
    """redis-py says the same of both, and of the one without a word of why."""
    lost = meaning(MasterNotFoundError("No master found for 'shop' : <Redis> - network:ConnectionError"))
    shut = meaning(MasterNotFoundError("No master found for 'shop' : <Redis> - auth:AuthenticationError"))
    assert lost is not None
    assert (lost.refusal, lost.message) == ("", "Redis cannot be reached: no sentinel names a primary 'shop'")
    assert shut is not None
    assert shut.refusal == "NOAUTH"
    assert "RESTYLE_REDIS_SENTINEL_PASSWORD" in shut.next


def test_what_a_server_says_is_bounded_and_harmless() -> None:
    """A reply of a megabyte, or one that a terminal would obey, is neither in a log nor on a screen."""
    unavailable = meaning(parsed("MISCONF \x1b[2J" + "x" * 1_000_000))
    assert unavailable is not None
    assert len(unavailable.message) < 500
    assert "\x1b" not in unavailable.message


def test_connections_are_dropped_unless_the_server_stays_what_it_is() -> None:
    """A demoted or guarded server would be talked to for ever; a full one is still the right one."""
    assert not any(map(drops, ("OOM", "MISCONF", "BUSY")))
    assert all(map(drops, ("READONLY", "NOREPLICAS", "NOAUTH", "MASTERDOWN", "UNBLOCKED", "NEWCODE")))
