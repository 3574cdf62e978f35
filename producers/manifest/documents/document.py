"""JSON manifests: an array of entries, an object with `defaults`, `variants` and `images`, or an entry a line (JSONL).

Also any other document, where paths say what its entries and columns are. Used by forms.py.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from typing import Any

from producers.manifest.cells.columns import KNOWN, Header, is_image_alias, missing_image, read_header
from producers.manifest.cells.values import as_meta, check_name, is_filled
from producers.manifest.documents import json_path
from producers.manifest.documents.json_items import items, lists_in
from producers.manifest.documents.json_path import MISSING, Path
from producers.manifest.documents.json_text import JsonText, decode
from producers.manifest.entry import Problems, Row, Stand
from producers.manifest.source import Source, wrong

_PARTS = ("defaults", "variants", "images")


class Document:
    """The entries of a JSON file, one at a time."""

    def __init__(self, source: Source, renames: Mapping[str, str], *, lines: bool, items_at: str) -> None:
        """Reads the defaults and variants.

        Args:
            source: the file.
            renames: our name -> the file's key, or the path to it.
            lines: whether each line is an entry.
            items_at: the path to the list of entries; empty where the file is one of ours.

        Raises:
            ManifestError: it is not JSON of that form.
        """
        self._source = source
        self._lines = lines
        self._items = self._path("--items", items_at) if items_at else ()
        paths = {target: column for target, column in renames.items() if "." in column or "[" in column}
        self._paths = {target: self._path("--column", column) for target, column in paths.items()}
        self._renames = renames
        keys = {target: column for target, column in renames.items() if target not in paths}
        self._header = lru_cache(maxsize=1000)(lambda names: read_header(names, keys))
        self.defaults: dict[str, Any] = {}
        self.variants: list[Any] | None = None
        self._is_object = not lines and source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        if self._is_object and not self._items:
            self._read_frame()

    def _path(self, option: str, text: str) -> Path:
        try:
            return json_path.parse(text)
        except ValueError as reason:
            raise wrong(self._source.name, f"{option} {reason}") from None

    def rows(self, problems: Problems) -> Iterator[Row]:
        """Streams the rows; an entry that is no object is a problem, and so is a path that no entry has."""
        unseen = set(self._paths)
        for stand, value in self._entries():
            if not isinstance(value, dict):
                problems.add(*stand, "", 'is no entry: write {"image": "...", ...}')
                continue
            for number, one in self._each(value):
                unseen -= one.keys()
                if (row := self._row(stand, one, problems)) is not None:
                    yield row._replace(number=number)
        for target in sorted(unseen - {"image", "id"}):
            problems.add(self._source.name, 0, target, f"--column {target}={self._renames[target]}: no entry has it")

    def originals(self, stands: Container[Stand]) -> Iterator[tuple[Stand, list[str]]]:
        """Some entries as JSON texts."""
        return ((stand, [json.dumps(value, ensure_ascii=False)]) for stand, value in self._entries() if stand in stands)

    def _entries(self) -> Iterator[tuple[Stand, Any]]:
        """The entries with their source and line; a further entry in the same line is named by its number."""
        name, last = self._source.name, 0
        for number, (line, value) in enumerate(self._values(), 1):
            yield (name if line != last else f"{name} (entry {number:,})", line), value
            last = line

    def _each(self, value: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The entry with the values of its paths under our names; once for each picture, numbered from 1."""
        if not self._paths:
            yield 0, value
            return
        each = self._paths.get("image", ())
        chosen = list(json_path.numbers(value, each))
        for number, place in enumerate(chosen or [()], 1):
            one = dict(value)
            for target, path in self._paths.items():
                one.pop(target, None)
                if (column := self._renames[target]) in value:  # a key may have dots
                    one[target] = value[column]
                elif (cell := json_path.value_at(value, json_path.of_element(path, each, place))) is not MISSING:
                    one[target] = cell
            yield (number if None in each and chosen else 0), one

    def _row(self, stand: Stand, value: dict[str, Any], problems: Problems) -> Row | None:
        header: Header = self._header(tuple(value))
        cells = list(value.values())
        faults = [*header.faults, *self._missing(header, value)]
        meta: dict[str, str] = {}
        not_text: dict[str, str] = {}
        for place, name in header.kept:
            if reason := check_name(name):
                faults.append((name, reason))
            elif is_filled(cells[place]):
                try:
                    meta[name] = as_meta(cells[place])
                    if isinstance(cells[place], list | dict):
                        not_text[name] = f"is {'a list' if isinstance(cells[place], list) else 'an object'}"
                except ValueError as error:
                    faults.append((name, str(error)))
        given = {name: cells[place] for place, name in header.known if is_filled(cells[place])}
        if _holds_objects(given.get("image")):
            path = json_path.path_to_picture(given["image"], (header.image,))
            hint = f"give --column 'image={json_path.shown(path)}'" if path else "name one picture"
            faults.append(("image", f"is no text but a list or an object; {hint}"))
        for column, reason in faults:
            problems.add(*stand, column, reason)
        return None if faults else Row(*stand, given, meta, not_text)

    def _missing(self, header: Header, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Required columns that an entry does not have, each with the reason."""
        for target in {"image", "id"} & self._paths.keys():
            if target not in value:
                reason = f"--column {target}={self._renames[target]}: leads nowhere in this entry, which has"
                yield target, f"{reason} {', '.join(list(value)[:20]) or 'nothing'}"
        if "image" in header.names or "image" in self._paths or any(column == "image" for column, _ in header.faults):
            return
        if "image" in self._renames:
            yield "image", "is missing"
        elif len(named := [name for name, one in value.items() if json_path.has_picture(one)]) > 1:
            names = ", ".join(named[:3])
            reason = f"has {len(named)} objects with pictures ({names}): write a list of entries, each with its id"
            yield "image", reason
        elif path := json_path.path_to_picture(value):
            shown = json_path.shown(path)
            yield "image", f"there is no such column; if {shown} has the images, give --column 'image={shown}'"
        else:
            yield "image", missing_image(tuple(value))

    def _values(self) -> Iterator[tuple[int, Any]]:
        if self._lines:
            for number, line in enumerate(self._source.lines(), 1):
                if line.strip():
                    yield number, decode(self._source.name, number, line)
            return
        with self._source.text() as text:
            cursor = JsonText(self._source.name, text)
            if self._items:
                yield from items(cursor, self._items, self._source.name)
            elif not self._is_object:
                yield from cursor.elements()
            else:
                for key in cursor.members():
                    if key == "images":
                        yield from cursor.elements()
                    else:
                        cursor.value()
            cursor.end()

    def _read_frame(self) -> None:
        """Reads defaults and variants, whether they come before or after the images."""
        name, seen = self._source.name, set()
        with self._source.text() as text:
            cursor = JsonText(name, text)
            for key in cursor.members():
                line = cursor.line
                if key not in _PARTS:
                    raise wrong(name, self._unknown(key), line, key)
                if key in seen:
                    raise wrong(name, "is there twice", line, key)
                seen.add(key)
                if key == "images":
                    for _ in cursor.elements():
                        pass
                else:
                    self._keep(key, cursor.value(), line)
            cursor.end()
        if "images" not in seen:
            raise wrong(name, "the object has no list of entries under this key", 0, "images")

    def _unknown(self, key: str) -> str:
        """The reason for refusing a document of another form, with a hint at where its entries are."""
        if key.lower() in KNOWN - {"variant"} or is_image_alias(key):
            return "belongs to an entry: write entries as a list [{...}, ...], or each in a line of its own (jq -c .)"
        if close := difflib.get_close_matches(key, _PARTS, 1):
            return f"unknown key; did you mean {close[0]}?"
        with self._source.text() as text:
            candidates = lists_in(JsonText(self._source.name, text))
        if not candidates:
            return f"unknown key; a manifest has {', '.join(_PARTS)}"
        lists = ", ".join(f"{json_path.shown(path)} ({count:,})" for path, count in candidates)
        return f"is a document with lists of entries: {lists}; give --items {json_path.shown(candidates[0][0])}"

    def _keep(self, key: str, value: Any, line: int) -> None:
        if key == "defaults" and isinstance(value, dict):
            self.defaults = value
        elif key == "variants" and isinstance(value, list):
            self.variants = value
        else:
            expected = "an object" if key == "defaults" else "a list"
            raise wrong(self._source.name, f"must be {expected}", line, key)


def _holds_objects(image: object) -> bool:
    """Whether an image is neither a name nor a list of names."""
    return isinstance(image, dict) or (isinstance(image, list) and not all(isinstance(one, str) for one in image))
