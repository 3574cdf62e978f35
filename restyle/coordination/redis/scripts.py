"""The Lua scripts, with their arguments by name.

Each script says in its head which arguments it takes (restyle/coordination/lua/):

    -- args: worker, ttl number (ms), renew flag, jobs list (for each: job, state)

The first word is the name, the second what the text becomes in Lua: `number`, `flag` (true or false), `json` (decoded)
or `list` (all that follow; the last one); without one it stays text. The `local` lines in front of a script are written
from it, and the order of Python's keyword arguments follows it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources

from restyle.formats import FORMAT

#: What an argument may be; a list holds several.
Scalar = str | int | float
Argument = Scalar | Sequence[Scalar]
_SCALARS = (str, int, float)

#: Scripts that end something, that stop something, or by which a worker lives: a Redis that is full takes them, so
#: that what has begun ends, and what it held is released. What begins anything is refused (docs/decisions/0025).
TAKEN_WHEN_FULL = frozenset({
    "agree", "agree_fleet", "bury", "call_failed", "close_shard", "dispatch", "drop", "end", "fetch_end",
    "fleet_turn", "fleet_turn_over", "free", "heartbeat", "hold", "leave", "leave_plan", "loosen", "recount", "release",
    "report", "resolve_doubts", "resume", "spent", "spool", "submitted", "suspend", "unhold", "unpark", "unreadable",
})  # fmt: skip
#: A script is judged by its first write, and one that has written is not broken off. This writes nothing, and is never
#: refused for want of memory.
_WRITES_WHEN_FULL = "redis.call('DEL', workspace .. 'nothing')\n"
#: Arguments of every script, which `State` gives: the prefixes of the workspace and of the account.
_PREFIXES = 2
_AS_LUA = {
    "": "ARGV[{n}]",
    "number": "tonumber(ARGV[{n}])",
    "flag": "ARGV[{n}] == '1'",
    "json": "cjson.decode(ARGV[{n}])",
    "list": "{{}}; for n = {n}, #ARGV do {name}[n - {n} + 1] = ARGV[n] end",
}
#: The block of arguments in a script's head: lines that go on are indented.
_BLOCK = re.compile(r"^-- args: (.*(?:\n--   .*)*)", re.MULTILINE)
_DECLARED = re.compile(r"(?P<name>[a-z]\w*)(?: (?P<kind>number|flag|json|list))?")


class Signature:
    """The arguments that a script declares, in its order."""

    def __init__(self, script: str, text: str) -> None:
        """Reads them from the script's text.

        Raises:
            ValueError: the script's line `-- args:` cannot be read.
        """
        self.script = script
        block = _BLOCK.search(text)
        #: Each argument's name, and what it becomes in Lua.
        self.kinds = dict(_declared(block[1], script) if block else ())
        self._names = self.kinds.keys()
        self._lists = [name for name, kind in self.kinds.items() if kind == "list"]
        if self._lists not in ([], list(self.kinds)[-1:]):
            raise ValueError(f"{script}.lua: a list is the last argument, and the only list")
        self._scalars = [name for name in self.kinds if name not in self._lists]

    def values(self, arguments: Mapping[str, Argument]) -> list[Scalar]:
        """The values as the script takes them, in its order.

        Raises:
            TypeError: an argument is missing, or is none of this script's, or is a list where a single value is due.
        """
        if arguments.keys() != self._names:
            missing, unknown = self._names - arguments.keys(), arguments.keys() - self._names
            raise TypeError(f"{self.script}.lua: missing {sorted(missing)}, unknown {sorted(unknown)}")
        values = [_scalar(arguments[name]) for name in self._scalars]
        for name in self._lists:
            values += _items(arguments[name])
        return values

    def locals(self) -> str:
        """The Lua that makes each argument a local variable, on one line."""
        lines = [
            f"local {name} = {_AS_LUA[kind].format(n=position, name=name)}"
            for position, (name, kind) in enumerate(self.kinds.items(), _PREFIXES + 1)
        ]
        return "; ".join(lines) + "\n" if lines else ""


def _scalar(value: Argument) -> Scalar:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(f"a list where a single value is due: {value!r}")


def _items(value: Argument) -> Sequence[Scalar]:
    if isinstance(value, _SCALARS):
        raise TypeError(f"a single value where a list is due: {value!r}")
    return value


def _declared(block: str, script: str) -> Iterator[tuple[str, str]]:
    """Name and kind of each argument; what stands in parentheses is for people."""
    for part in re.sub(r"\([^()]*\)", "", block.replace("\n--  ", "")).split(","):
        match = _DECLARED.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{script}.lua: {part.strip()!r} declares no argument")
        yield match["name"], match["kind"] or ""


@functools.cache
def signatures() -> dict[str, Signature]:
    """What each script takes, by the script's name."""
    return {name: Signature(name, text) for name, text in _sources().items() if name != "prelude"}


@functools.cache
def texts() -> dict[str, str]:
    """Each script as Redis runs it: what all of them begin with, its arguments, and itself."""
    sources = _sources()
    return {
        name: "".join((
            f"local format = {FORMAT}\n",
            sources["prelude"],
            _WRITES_WHEN_FULL if name in TAKEN_WHEN_FULL else "",
            signature.locals(),
            sources[name],
        ))
        for name, signature in signatures().items()
    }  # fmt: skip


@functools.cache
def _sources() -> dict[str, str]:
    folder = resources.files("restyle.coordination") / "lua"
    files = (file for file in folder.iterdir() if file.name.endswith(".lua"))
    return {file.name.removesuffix(".lua"): file.read_text() for file in files}
