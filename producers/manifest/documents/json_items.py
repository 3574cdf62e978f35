"""Reads the entries of a JSON document by the path to them, and finds its lists of entries. Memory does not grow.

Used by document.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from producers.manifest.documents.json_path import Path, shown
from producers.manifest.documents.json_text import JsonText
from producers.manifest.source import wrong

_DEEPEST, _MOST = 4, 5


def items(cursor: JsonText, path: Path, name: str) -> Iterator[tuple[int, Any]]:
    """The entries with their lines; the rest of the document is skipped.

    Raises:
        ManifestError: the path does not lead to a list.
    """
    seen: list[bool] = []
    yield from _items(cursor, path, path, name, seen)
    if not seen:
        raise wrong(name, f"--items {shown(path)}: leads nowhere")


def _items(cursor: JsonText, path: Path, whole: Path, name: str, seen: list[bool]) -> Iterator[tuple[int, Any]]:
    where = shown(whole[: len(whole) - len(path)]) or "the document"
    opening = "{" if path and isinstance(path[0], str) else "["
    if cursor.peek() != opening:
        kind = "object" if opening == "{" else "list"
        raise wrong(name, f"--items {shown(whole)}: {where} is no {kind}", cursor.line)
    if not path:
        seen.append(True)
        yield from cursor.elements()
        return
    keys: list[str] = []
    for place in cursor.members() if opening == "{" else cursor.positions():
        keys.append(str(place)[:100])
        if path[0] in {None, place}:
            yield from _items(cursor, path[1:], whole, name, seen)
        else:
            cursor.skip()
    if opening == "{" and path[0] not in keys:
        close = difflib.get_close_matches(str(path[0]), keys, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(keys[:20])}"
        raise wrong(name, f"--items {shown(whole)}: {where} has no {path[0]}; {hint}")


def lists_in(cursor: JsonText) -> list[tuple[Path, int]]:
    """The lists of objects in a document, the longest first, with how many each has."""
    lists: list[tuple[Path, int]] = []
    _lists(cursor, (), lists)
    return sorted(lists, key=lambda one: -one[1])[:_MOST]


def _lists(cursor: JsonText, path: Path, lists: list[tuple[Path, int]]) -> None:
    start = cursor.peek()
    if start == "{" and len(path) < _DEEPEST:
        for key in cursor.members():
            _lists(cursor, (*path, key), lists)
    elif start == "[":
        objects = 0
        for _ in cursor.positions():
            objects += cursor.peek() == "{"
            cursor.skip()
        if objects and path:
            lists.append((path, objects))
    else:
        cursor.skip()
