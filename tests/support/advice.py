"""Every command that restyle can tell a person to type, as it stands in the code's own texts."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from apps.cli.commands import COMMANDS, load

ROOT = Path(__file__).parents[2]
PACKAGES = ("apps", "config", "producers", "reports", "restyle", "tasks", "workers")

RUN = "20260131T021500Z-3fa9c1"
#: What stands in the place of a value in a text, by the expression that is put in there.
VALUES = {
    "run_id": RUN, "run.run_id": RUN, "now.run_id": RUN, "old.run_id": RUN, "other.run_id": RUN,
    "made.work.message.run_id": RUN, "here.run_id or ('--sandbox' if sandbox else '')": RUN, "directory": "restyled/",
    "report": f"s3://shop/runs/{RUN}/report.csv", "rest": " --status pending", "budget": "10", "first": "",
    "manifest": "catalog.csv", "code": "api_timeout", "xlsx": "report.xlsx",
}  # fmt: skip
#: What stands for any other.
UNKNOWN = "{?}"
#: Words that stand for what only the reader knows.
ANY = {"MANIFEST": "catalog.csv", "FOLDER/": "photos/", "NAME": "nightly", "RUN": RUN, "{run}": RUN}
#: What the command line raises where it is typed wrongly, which typer does not name.
UsageError: Any = typer.BadParameter.__base__
#: Words behind "restyle" where it is the program that is spoken of.
PROSE = {
    "all", "are", "has", "is", "keeps", "look", "looks", "so", "that", "the", "was", "with", "without", "writes",
    "wrote", "must", "and", "made", "reads",
}  # fmt: skip

_BEGINS = re.compile(r"(`?)(?<![\w./-])restyle ([a-z]+)")
_ENDS = ';:,.)`"'
_ARGUMENT = re.compile(r"-{1,2}[a-z].*|[A-Z/…]+|\S*[./{}]\S*|\S*\d\S*")


@dataclass(frozen=True)
class Advice:
    """One command in one text."""

    place: str
    words: tuple[str, ...]
    #: Whether it stands in backquotes: it may be spoken of without its arguments.
    is_name: bool
    #: Whether it stands on a help page, where RUN may stand for any run.
    is_help: bool

    def __str__(self) -> str:
        return f"{self.place}: restyle {' '.join(self.words)}"


@functools.cache
def advices() -> tuple[Advice, ...]:
    """All of them; the code is searched once."""
    return tuple(
        Advice(place, words, is_name, is_help)
        for place, text, is_help in texts() for words, is_name in commands(text)
    )  # fmt: skip


def texts() -> Iterator[tuple[str, str, bool]]:
    """Each text that may name a command and is no docstring: its place, itself, and whether a help page has it."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "restyle " not in source:  # most modules need not be parsed
                continue
            tree = ast.parse(source)
            own, nodes = constants(tree), list(ast.walk(tree))
            docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
            helps = {
                id(keyword.value) for node in nodes if isinstance(node, ast.Call)
                for keyword in node.keywords if keyword.arg in {"help", "epilog"}
            }  # fmt: skip
            for node in nodes:
                if not isinstance(node, ast.Constant | ast.JoinedStr) or id(node) in docstrings or id(node) in parts:
                    continue
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                if text := written(node, own):
                    yield place, text, id(node) in helps


def constants(tree: ast.Module) -> dict[str, str]:
    """The module's own texts, by name."""
    return {
        target.id: node.value.value
        for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }  # fmt: skip


def written(node: ast.Constant | ast.JoinedStr, own: dict[str, str]) -> str:
    """A text as it is printed, with a value for each that is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    text = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            name = ast.unparse(part.value)
            text += VALUES.get(name) or own.get(name) or UNKNOWN
    return text


def commands(text: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The commands in a text, each as its words behind `restyle`, and whether it is only named."""
    for begin in _BEGINS.finditer(text):
        if begin[2] not in PROSE:
            yield tuple(_words(text[begin.start(2) :])), bool(begin[1])


def _words(text: str) -> Iterator[str]:
    """The words of a command until its sentence goes on without it."""
    first, *rest = re.findall(r"'[^']*'\S*|\S+", text.split("\n", maxsplit=1)[0])
    takes_word, name = first == "schedules", first.rstrip(_ENDS)
    yield name
    word = first
    for following in rest:
        if word[-1] in _ENDS:
            return
        bare = following.rstrip(_ENDS)
        if not (takes_word or _ARGUMENT.fullmatch(bare) or bare.startswith("'")):
            return
        yield bare
        takes_word = _takes_value(name, bare) or bare == "run"
        word = following


def _takes_value(name: str, option: str) -> bool:
    """Whether a word behind this option belongs to it."""
    if not option.startswith("-") or name not in COMMANDS:
        return False
    found = [parameter for parameter in known(name).params if option in parameter.opts]
    return any(not getattr(parameter, "is_flag", False) for parameter in found)


@functools.cache
def known(name: str) -> Any:
    """A command; it is not made anew for each text."""
    return load(name)


def parse(words: tuple[str, ...]) -> None:
    """Has the real command line read a command, without doing it.

    Raises:
        UsageError: no such command, option or argument, or one is missing.
        KeyError: there is no such command.
    """
    name, *rest = (ANY.get(word, word) for word in words)
    arguments = shlex.split(" ".join(rest))
    command = known(name)
    context = command.make_context(name, list(arguments))
    if arguments and hasattr(command, "commands"):
        below_name, below, behind = command.resolve_command(context, arguments)
        below.make_context(below_name, behind, parent=context)
