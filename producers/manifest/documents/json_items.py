"""The entries of a JSON document by the path to them, and where lists of entries are. Memory does not grow.

Read by document.py.
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
    """The entries with their lines; what stands beside them is passed over.

    Raises:
        ManifestError: the path leads to no list.
    """
    seen: list[bool] = []
    yield from _items(cursor, path, path, name, seen)
    if not seen:
        raise wrong(name, f"--items {shown(path)}: leads nowhere")


def _items(cursor: JsonText, path: Path, whole: Path, name: str, seen: list[bool]) -> Iterator[tuple[int, Any]]:
    where = shown(whole[: len(whole) - len(path)]) or "the document"
    wanted = "{" if path and isinstance(path[0], str) else "["
    if cursor.peek() != wanted:
        kind = "object" if wanted == "{" else "list"
        raise wrong(name, f"--items {shown(whole)}: {where} is no {kind}", cursor.line)
    if not path:
        seen.append(True)
        yield from cursor.elements()
        return
    keys: list[str] = []
    for place in cursor.members() if wanted == "{" else cursor.positions():
        keys.append(str(place)[:100])
        if path[0] in {None, place}:
            yield from _items(cursor, path[1:], whole, name, seen)
        else:
            cursor.skip()
    if wanted == "{" and path[0] not in keys:
        close = difflib.get_close_matches(str(path[0]), keys, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(keys[:20])}"
        raise wrong(name, f"--items {shown(whole)}: {where} has no {path[0]}; {hint}")


def lists_in(cursor: JsonText) -> list[tuple[Path, int]]:
    """The lists of objects in a document, the longest first, with how many each has."""
    found: list[tuple[Path, int]] = []
    _lists(cursor, (), found)
    return sorted(found, key=lambda one: -one[1])[:_MOST]


def _lists(cursor: JsonText, path: Path, found: list[tuple[Path, int]]) -> None:
    start = cursor.peek()
    if start == "{" and len(path) < _DEEPEST:
        for key in cursor.members():
            _lists(cursor, (*path, key), found)
    elif start == "[":
        objects = 0
        for _ in cursor.positions():
            objects += cursor.peek() == "{"
            cursor.skip()
        if objects and path:
            found.append((path, objects))
    else:
        cursor.skip()
