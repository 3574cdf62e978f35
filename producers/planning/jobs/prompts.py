"""Prompt templates: `{name}` becomes a row's cell, `{{` and `}}` are braces, and nothing else means anything."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from producers.manifest.cells.values import PARAMS, RESERVED

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
#: Columns that templates do not take: they say how a picture is made, not what is on it.
_OWN = frozenset((*PARAMS, *RESERVED)) - {"id", "variant", "prompt"}
_PYTHON = re.compile(r"[.\[!:]")


@dataclass(frozen=True)
class Template:
    """A parsed template: literal text and names in turn."""

    parts: tuple[tuple[str, str], ...]
    """Text, and the name that follows it (empty: none)."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that it uses."""
        return tuple(name for _, name in self.parts if name)

    def render(self, values: Mapping[str, str]) -> str:
        """The text with every name's value; a name without one is the caller's to find first."""
        return "".join(text + (values[name] if name else "") for text, name in self.parts)


@lru_cache(maxsize=10_000)
def parse(text: str) -> Template:
    """Parses a template.

    Raises:
        ValueError: a brace stands alone, or a name is none; the message is the reason.
    """
    parts: list[tuple[str, str]] = []
    literal, at = "", 0
    for token in _TOKEN.finditer(text):
        literal += text[at : token.start()]
        at = token.end()
        if token[0] in {"{{", "}}"}:
            literal += token[0][0]
        elif token[1] is None:
            raise ValueError(
                f"has a lone {token[0]} at character {token.start() + 1}; write {token[0] * 2} for a brace"
            )
        elif not token[1].strip():
            raise ValueError("has {} without a column's name; write {{}} for braces")
        else:
            parts.append((literal, token[1].strip()))
            literal = ""
    return Template((*parts, (literal + text[at:], "")))


def unknown(name: str, known: Collection[str]) -> str:
    """What to say of a name that no column has."""
    if _PYTHON.search(name):
        return f"uses {{{name}}}: only {{name}} is read, without attribute, index or format"
    if name.lower() in _OWN:
        return f"uses {{{name}}}, which is restyle's own column; a template takes: {', '.join(sorted(known)[:20])}"
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {{{close[0]}}}?" if close else f"there are: {', '.join(sorted(known)[:20])}"
    return f"uses {{{name}}}, but there is no such column; {hint}"
