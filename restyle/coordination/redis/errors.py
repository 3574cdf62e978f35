"""What an error of redis-py means: out of reach, refused, or a fault of our own. Sorted here and nowhere else.

Redis begins each error with a code. redis-py takes the codes that it knows off the text and makes a class of each; the
others stay where they are (`BaseParser.parse_error`, redis-py 8.1). So it is the code that decides, and never how a
text begins.
"""

from __future__ import annotations

import re

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from restyle.errors import StateUnavailable
from restyle.formats import FORMAT, NewerFormat
from restyle.problems import printable

RedisError = exceptions.RedisError
#: Codes by which Redis takes no writes, while it may be read.
_NO_WRITES = frozenset({"OOM", "MISCONF", "NOREPLICAS", "READONLY"})
#: Codes that say who may log in, and what that user may do.
LOGIN = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})
#: What our own scripts answer where a later version has written what they would read (prelude.lua).
NEWER = "NEWERFORMAT"
#: Codes after which the same server, asked again by the same connection, may say something else.
_STAYS = frozenset({"OOM", "MISCONF", "BUSY", NEWER})

_CHECK_LOGIN = "check user and password in RESTYLE_REDIS_URL, and restart what runs with the old ones"
_NAME_PRIMARY = "nothing during a failover; if it lasts, let RESTYLE_REDIS_URL name the primary"
_NO_CLUSTER = "let RESTYLE_REDIS_URL name a Redis without cluster mode"
_BY_ITSELF = "nothing, work goes on by itself"
_REACH = "check RESTYLE_REDIS_URL, and that Redis is up and lets this host in"
_SENTINELS = "check RESTYLE_REDIS_URL and RESTYLE_REDIS_SENTINEL_MASTER; during a failover, nothing"
_SENTINEL_LOGIN = "check RESTYLE_REDIS_SENTINEL_USERNAME and RESTYLE_REDIS_SENTINEL_PASSWORD"
_NEXT = {
    "OOM": "give Redis more memory (maxmemory), or remove what else fills it",
    "MISCONF": "make room on the disk of Redis; its log names the file",
    "NOREPLICAS": "bring back the replicas of Redis, or lower its min-replicas-to-write",
    "READONLY": _NAME_PRIMARY,
    "UNBLOCKED": _NAME_PRIMARY,
    "MASTERDOWN": _NAME_PRIMARY,
    "LOADING": _BY_ITSELF,
    "BUSY": f"{_BY_ITSELF}; or end the script that keeps Redis busy: redis-cli SCRIPT KILL",
    "NOAUTH": _CHECK_LOGIN,
    "WRONGPASS": _CHECK_LOGIN,
    "NOPERM": "allow the user of RESTYLE_REDIS_URL what it needs on the keys restyle:* (deploy/redis/users.acl)",
    "ERR": "look at what Redis says; work goes on by itself once it has passed",
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), _NO_CLUSTER),
}
#: The codes of the classes by which redis-py before 8.1 tells no code.
_CLASSES = {
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.AuthenticationError: "NOAUTH",
}
_CODE = re.compile(r"([A-Z]{2,})(?: |$)")
#: What Redis puts behind an error within a script; before version 7 it hides the error's own code in the middle.
_SCRIPT_TAIL = re.compile(r"\.? script: (?:\w+, )?on @user_script:\d+\.?$")
_WRAPPED = re.compile(r"@user_script: ?\d+: -([A-Z]{2,}) (.*)", re.DOTALL)


def meaning(error: RedisError) -> StateUnavailable | None:
    """What an error means for whoever asked; None: it is a fault of ours, and no waiting helps."""
    if isinstance(error, MasterNotFoundError):
        return _no_primary(error)
    code, words = code_of(error)
    if _is_ours(error, code):
        return None
    if not code:
        return StateUnavailable(f"Redis cannot be reached: {printable(words, 300)}", advice=_REACH)
    if code == NEWER:
        newer = NewerFormat(words, FORMAT)
        return StateUnavailable(newer.message, refusal=code, advice="end this process, and go on with that version")
    refuses = "refuses writes" if code in _NO_WRITES else "refuses"
    quoted = words if code == "ERR" else f"{code} {words}"
    return StateUnavailable(
        f"Redis {refuses}: {printable(quoted, 400)}", refusal=code, advice=_NEXT.get(code, _BY_ITSELF)
    )


def drops(code: str) -> bool:
    """Whether connections are to be made anew: a demoted or guarded server would be talked to for ever."""
    return code not in _STAYS


def code_of(error: RedisError) -> tuple[str, str]:
    """The code that Redis answered with, and its words; without a code it did not answer."""
    text = str(error).rpartition(" of pipeline caused error: ")[2]
    code = getattr(error, "status_code", None) or next(
        (code for kind, code in _CLASSES.items() if isinstance(error, kind)), ""
    )
    if not code and isinstance(error, exceptions.ResponseError):
        begins = _CODE.match(text)
        code, text = (begins.group(1), text[begins.end() :]) if begins else ("ERR", text)
    if code == "ERR" and (wrapped := _WRAPPED.search(text)):
        code, text = wrapped.groups()
    if code == "ERR" and text.startswith("ACL failure in script"):
        code = "NOPERM"
    if code == "ERR" and isinstance(error, exceptions.AuthenticationError):
        code = "NOAUTH"
    return code, _SCRIPT_TAIL.sub("", text).strip()


def _no_primary(error: MasterNotFoundError) -> StateUnavailable:
    """What redis-py makes of sentinels that are silent, that refuse, or that do not know the name."""
    if "AuthenticationError" in str(error):
        return StateUnavailable("The sentinels refuse the login", refusal="NOAUTH", advice=_SENTINEL_LOGIN)
    name = printable(str(error).partition(" : ")[0].removeprefix("No master found for "), 100)
    return StateUnavailable(f"Redis cannot be reached: no sentinel names a primary {name}", advice=_SENTINELS)


def _is_ours(error: RedisError, code: str) -> bool:
    """A value that cannot be sent, a script that fails by itself, a key of another kind: nothing that passes."""
    if isinstance(error, exceptions.DataError):
        return True
    return code == "WRONGTYPE" or (code == "ERR" and "user_script" in str(error))
