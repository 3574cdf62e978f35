"""The Lua scripts' arguments: each call gives exactly those that the script declares, by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from restyle.coordination.claim_types import HeldJob
from restyle.coordination.redis.scripts import Signature, signatures

ROOT = Path(__file__).parents[2]
LUA = resources.files("restyle.coordination") / "lua"
#: Methods that run a script: behind how many arguments its name stands.
RUNS = {"run": 0, "run_durably": 1}
FOLDERS = ("apps", "producers", "reports", "restyle", "tasks", "tests", "workers")
#: What a module has in it that runs one.
SCRIPT = re.compile(rf'\.run.*\s*"({"|".join(signatures())})"')


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Every call of a script in the repository: where it stands, the script, and the names that it gives."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if SCRIPT.search(text) else ():
            if isinstance(node, ast.Call) and (script := script_of(node)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", script, set(names_in(node))


def script_of(call: ast.Call) -> str | None:
    """The script that a call runs: at once, or through `partial` and its like."""
    match call.func:
        case ast.Attribute(attr=str(name)) if name in RUNS:
            arguments = call.args[RUNS[name] :]
        case _:
            is_behind = [isinstance(one, ast.Attribute) and one.attr in RUNS for one in call.args]
            arguments = call.args[is_behind.index(True) + 1 :] if any(is_behind) else []
    match arguments[:1]:
        case [ast.Constant(value=str(name))] if name in signatures():
            return name
    return None


def names_in(call: ast.Call) -> Iterator[str]:
    """The names that a call gives; those of a job in hand come together."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(arg=str(name)):
                yield name
            case ast.keyword(value=ast.Call(func=ast.Attribute(attr="held_job"))):
                yield from HeldJob.__annotations__


def test_every_call_of_a_script_gives_what_it_declares() -> None:
    """No name is missing, and none is unknown; each script is called."""
    listed = list(calls())
    wrong = {
        where: sorted(names ^ signatures()[script].kinds.keys())
        for where, script, names in listed if names != signatures()[script].kinds.keys()
    }  # fmt: skip
    assert wrong == {}
    assert {script for _, script, _ in listed} == set(signatures())


def test_every_argument_is_used() -> None:
    """A script declares no argument that it does not read, but for those of a job in hand, which come together."""
    unused = {
        f"{script}: {name}"
        for script, signature in signatures().items()
        for name in signature.kinds.keys() - HeldJob.__annotations__.keys()
        if not re.search(rf"^(?!--).*\b{name}\b", (LUA / f"{script}.lua").read_text(), re.MULTILINE)
    }
    assert unused == set()


def test_no_argument_hides_what_all_scripts_share() -> None:
    """An argument with the name of a variable of the prelude would take its place."""
    shared = set(re.findall(r"^local (?:function )?(\w+)", (LUA / "prelude.lua").read_text(), re.MULTILINE))
    assert {name for signature in signatures().values() for name in signature.kinds} & shared == set()


def test_arguments_become_local_variables() -> None:
    """In the order that is declared, behind the two prefixes; what stands in parentheses is for people."""
    lines = "-- args: worker (which, or ''), ttl number (ms),\n--   renew flag, why json, jobs list (job, state)\n"
    head = f"-- Does this.\n{lines}-- returns: nothing"
    signature = Signature("some", head)
    assert signature.kinds == {"worker": "", "ttl": "number", "renew": "flag", "why": "json", "jobs": "list"}
    assert signature.locals() == (
        "local worker = ARGV[3]; local ttl = tonumber(ARGV[4]); local renew = ARGV[5] == '1'; "
        "local why = cjson.decode(ARGV[6]); local jobs = {}; for n = 7, #ARGV do jobs[n - 7 + 1] = ARGV[n] end\n"
    )
    assert signature.values({"jobs": ["a", 1], "why": "{}", "renew": True, "ttl": 5, "worker": "w"}) == [
        "w", 5, 1, "{}", "a", 1,
    ]  # fmt: skip
    assert Signature("none", "-- Does that.").locals() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"job": "j"}, r"some.lua: missing \['more'\], unknown \[\]"),
        ({"job": "j", "more": [], "token": "t"}, r"missing \[\], unknown \['token'\]"),
        ({"job": ["j"], "more": []}, "a list where a single value is due"),
        ({"job": "j", "more": "text"}, "a single value where a list is due"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(arguments: dict[str, str | list[str]], message: str) -> None:
    """Before anything is sent to Redis."""
    with pytest.raises(TypeError, match=message):
        Signature("some", "-- args: job, more list").values(arguments)


@pytest.mark.parametrize("head", ["-- args: job words", "-- args: jobs list, more", "-- args: a, , b"])
def test_a_head_that_cannot_be_read_is_an_error(head: str) -> None:
    """When the scripts are loaded, not when one is called."""
    with pytest.raises(ValueError, match=r"some\.lua: "):
        Signature("some", head)
