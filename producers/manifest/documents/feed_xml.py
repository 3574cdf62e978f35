"""XML feeds: items of RSS, entries of Atom, or elements by a path; their leaves are columns. Memory does not grow.

Used by forms.py.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TextIO

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from producers.manifest.cells.columns import Header, is_image_alias, missing_image, read_header
from producers.manifest.cells.values import is_filled
from producers.manifest.entry import Problems, Row, Stand
from producers.manifest.feeds import FEEDS, Feed, listed
from producers.manifest.source import MAX_LINE, Source, wrong

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: Names of elements that are entries, where no path is given.
_ITEMS = frozenset({"item", "entry"})
#: Characters that are read at a time, within a line.
_CHUNK = 16384
_DEEPEST = 100
_GOOGLE = "{http://base.google.com/ns/1.0}"
_FURTHER = "additional_image_link"


class _Lines:
    """A text that is read a line at a time at most, so that the line of each element is known."""

    def __init__(self, name: str, text: TextIO) -> None:
        self._name, self._text = name, text
        self.line, self._ended = 0, True
        self._since = 0

    def read(self, _size: int = -1) -> str:
        """The next line, or a part of it."""
        part = self._text.readline(_CHUNK)
        self.line += self._ended
        self._ended = part.endswith("\n")
        self._since += len(part)
        if self._since > MAX_LINE:
            raise wrong(self._name, f"an element is longer than {MAX_LINE:,} characters", self.line)
        return part

    def rest(self) -> None:
        """Starts counting the characters of the next element."""
        self._since = 0


class XmlFeed:
    """The items of an XML file, one at a time."""

    def __init__(self, source: Source, renames: Mapping[str, str], *, items_at: str, feed: str) -> None:
        """Reads the first item.

        Args:
            source: the file.
            renames: our name -> the name of an element.
            items_at: the path to the items, by names of elements below the root; empty: those of RSS and Atom.
            feed: the export that it is; empty: by its elements, `none`: none.

        Raises:
            ManifestError: it is no XML, or has no items.
        """
        self._source = source
        self._path = items_at.split(".") if items_at else []
        self._renames = dict(renames)
        self._header = lru_cache(maxsize=1000)(self._read_header)
        seen: list[str] = []
        first = next(self._items(seen), None)
        if first is None:
            named = f"--items {items_at}: leads to no element" if items_at else "has neither <item> nor <entry>"
            likely = min((path for path in seen if seen.count(path) > 1), key=lambda path: path.count("."), default="")
            hint = f"; give --items {likely}" if likely and likely != items_at else ""
            elements = ", ".join(dict.fromkeys(seen))[:200]
            named += f"; its elements are {elements}{hint}" if seen else ", and no other element"
            raise wrong(source.name, f"is XML, but {named}")
        is_merchant = feed == "merchant" or (not feed and "image_link" in first[1].cells)
        self.feed: Feed | None = FEEDS["merchant"] if is_merchant else None
        if feed not in {"", "none", "merchant"}:
            raise wrong(source.name, f"--feed {feed}: this is XML; --feed takes merchant or none for it")
        self.form = self.feed.form if self.feed else "an XML document"

    def rows(self, problems: Problems) -> Iterator[Row]:
        """Streams the rows; an item without a picture's element is a problem, unless it is of a feed."""
        for line, (cells, further, again) in self._items([]):
            header: Header = self._header(tuple(cells))
            texts = list(cells.values())
            faults = list(header.faults)
            if "image" not in header.names and not self.feed:
                faults.append(("image", missing_image(tuple(cells))))
            for column, reason in faults:
                problems.add(self._source.name, line, column, reason)
            if not faults:
                known: dict[str, object] = {
                    name: texts[place] for place, name in header.known if is_filled(texts[place])
                }
                if others := again.get(header.image):
                    known["image"] = [known["image"], *others]
                kept = {name: texts[place] for place, name in header.kept if is_filled(texts[place])}
                yield Row(self._source.name, line, known, kept, further=further)

    def originals(self, stands: Container[Stand]) -> Iterator[tuple[Stand, list[str]]]:
        """The texts of some items."""
        name = self._source.name
        return (
            ((name, line), [" | ".join(f"{key}: {text}" for key, text in cells.items())])
            for line, (cells, _, _) in self._items([])
            if (name, line) in stands
        )

    def _read_header(self, names: tuple[str, ...]) -> Header:
        renames = self._renames
        if self.feed:
            renames = self.feed.renames(names, renames)
        return read_header(names, renames, is_export=self.feed is not None)

    def _items(self, seen: list[str]) -> Iterator[tuple[int, _Leaves]]:
        """The items with the lines on which they begin; adds the paths of the first elements to `seen`."""
        name = self._source.name
        with self._source.text() as text:
            lines, stack, path = _Lines(name, text), list["Element"](), list[str]()
            depth = begins = 0  # of the item that is being read, and the line on which it begins
            try:
                for event, element in iterparse(lines, events=("start", "end"), forbid_dtd=True):
                    if event == "start":
                        path += [_local(element.tag)] if stack else []
                        stack.append(element)
                        if not depth and self._is_item(path):
                            depth, begins = len(stack), lines.line
                        if len(stack) > _DEEPEST:
                            raise wrong(name, "is nested too deeply", lines.line)
                        continue
                    seen += [".".join(path)] if path and len(seen) < _DEEPEST else []
                    if depth == len(stack):
                        yield begins, _leaves(element)
                        depth = 0
                    stack.pop()
                    del path[-1:]
                    if not depth and stack:
                        lines.rest()
                        stack[-1].remove(element)
            except ParseError as error:
                raise wrong(name, f"is no XML: {error.msg}", lines.line) from None
            except DefusedXmlException as error:
                kind = type(error).__name__
                raise wrong(name, f"has a document type or entities of its own, which are not read ({kind})") from None

    def _is_item(self, path: list[str]) -> bool:
        return path == self._path if self._path else bool(path) and path[-1] in _ITEMS


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


class _Leaves(NamedTuple):
    """What an item has."""

    cells: dict[str, str]
    """Texts by the names of their elements; the first of a name, and Google's take precedence."""
    further: tuple[str, ...]
    """Pictures in the element that is for further ones."""
    again: dict[str, list[str]]
    """Other texts of elements whose name is there more than once."""


def _leaves(item: Element) -> _Leaves:
    cells: dict[str, str] = {}
    again: dict[str, list[str]] = {}
    further: list[str] = []
    google: set[str] = set()
    preview = ""  # a picture of the picture, where there is no other
    for path, element in _walk(item, ""):
        text = (element.text or "").strip()
        name = f"{path}{_local(element.tag)}"
        is_medium = name in {"enclosure", "content", "thumbnail"} and not text
        if is_medium:
            preview = preview or (element.get("url", "") if name == "thumbnail" else "")
            name, text = "picture", element.get("url", "") if name != "thumbnail" and _is_picture(element) else ""
        elif name == "link" and not text:
            text = element.get("href", "")
        if not text:
            continue
        if name == _FURTHER:
            further += listed(text)
        elif name not in cells or (element.tag.startswith(_GOOGLE) and name not in google):
            cells[name] = text
            again.pop(name, None)
            google |= {name} if element.tag.startswith(_GOOGLE) else set()
        elif text != cells[name] and element.tag.startswith(_GOOGLE) == (name in google) and not is_medium:
            again.setdefault(name, []).append(text)
    if any(is_image_alias(name) and name != "picture" for name in cells):
        cells.pop("picture", None)
    elif preview:
        cells.setdefault("picture", preview)
    return _Leaves(cells, tuple(further), again)


def _walk(item: Element, before: str) -> Iterator[tuple[str, Element]]:
    for element in item:
        if len(element):
            yield from _walk(element, f"{before}{_local(element.tag)}.")
        else:
            yield before, element


def _is_picture(element: Element) -> bool:
    return element.get("type", "image/").startswith("image/") and element.get("medium", "image") == "image"
