"""JSON manifests: an array of entries, an object with `defaults`, `variants` and `images`, or an entry a line (JSONL).

Read by __init__.py.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from producers.manifest.cells import as_meta, check_name, is_filled
from producers.manifest.columns import Header, missing_image, read_header
from producers.manifest.entry import Problems, Row, Stand
from producers.manifest.json_text import JsonText, decode
from producers.manifest.source import Source, wrong

_PARTS = ("defaults", "variants", "images")


class Document:
    """The entries of a JSON file, one at a time."""

    def __init__(self, source: Source, renames: Mapping[str, str], *, lines: bool) -> None:
        """Reads what stands beside the entries.

        Args:
            source: the file.
            renames: our name -> the file's key.
            lines: whether each line is an entry.

        Raises:
            ManifestError: it is not JSON of that form.
        """
        self._source = source
        self._lines = lines
        self._header = lru_cache(maxsize=1000)(lambda names: read_header(names, renames))
        self._renames = renames
        self.defaults: dict[str, Any] = {}
        self.variants: list[Any] | None = None
        self._is_object = not lines and source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        if self._is_object:
            self._read_frame()

    def rows(self, problems: Problems) -> Iterator[Row]:
        """Streams the rows; an entry that is no object is a problem."""
        for stand, value in self._entries():
            if not isinstance(value, dict):
                reason = 'is no entry: write {"image": "...", ...}'
                problems.add(*stand, "", reason)
            elif (row := self._row(stand, value, problems)) is not None:
                yield row

    def originals(self, stands: Collection[Stand]) -> Iterator[tuple[Stand, list[str]]]:
        """Some entries as JSON texts."""
        return ((stand, [json.dumps(value, ensure_ascii=False)]) for stand, value in self._entries() if stand in stands)

    def _entries(self) -> Iterator[tuple[Stand, Any]]:
        """The entries with where they stand; of several in a line, those after the first by their number."""
        name, last = self._source.name, 0
        for number, (line, value) in enumerate(self._values(), 1):
            yield (name if line != last else f"{name} (entry {number:,})", line), value
            last = line

    def _row(self, stand: Stand, value: dict[str, Any], problems: Problems) -> Row | None:
        header: Header = self._header(tuple(value))
        cells = list(value.values())
        faults = list(header.faults)
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
        if "image" not in header.names:
            hint = missing_image(tuple(value)) if "image" not in self._renames else "is missing"
            faults.append(("image", hint))
        for column, reason in faults:
            problems.add(*stand, column, reason)
        if faults:
            return None
        given = {name: cells[place] for place, name in header.known if is_filled(cells[place])}
        return Row(*stand, given, meta, not_text)

    def _values(self) -> Iterator[tuple[int, Any]]:
        if self._lines:
            for number, line in enumerate(self._source.lines(), 1):
                if line.strip():
                    yield number, decode(self._source.name, number, line)
            return
        with self._source.text() as text:
            cursor = JsonText(self._source.name, text)
            if not self._is_object:
                yield from cursor.elements()
                cursor.end()
                return
            for key in cursor.members():
                if key == "images":
                    yield from cursor.elements()
                else:
                    cursor.value()

    def _read_frame(self) -> None:
        """Finds defaults and variants, wherever they stand, going past the images."""
        name, seen = self._source.name, set()
        with self._source.text() as text:
            cursor = JsonText(name, text)
            for key in cursor.members():
                line = cursor.line
                if key not in _PARTS:
                    close = difflib.get_close_matches(key, _PARTS, 1)
                    hint = f"did you mean {close[0]}?" if close else f"a manifest has {', '.join(_PARTS)}"
                    raise wrong(name, f"unknown key; {hint}", line, key)
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

    def _keep(self, key: str, value: Any, line: int) -> None:
        if key == "defaults" and isinstance(value, dict):
            self.defaults = value
        elif key == "variants" and isinstance(value, list):
            self.variants = value
        else:
            wanted = "an object" if key == "defaults" else "a list"
            raise wrong(self._source.name, f"must be {wanted}", line, key)
