"""`restyle audit`: what in a workspace leads nowhere, and what nobody leads to. Looks only; `mend` acts on its list.

Nothing that may have been paid for is removed by mending: a stray output is moved to replaced/, where the index finds
it by its content. Memory does not grow with the workspace, but with what is wrong in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied
from restyle.job.outputs.locations import suffix_of
from restyle.job.outputs.metadata import JOB, sha256_of
from restyle.job.outputs.ownership import LARGEST
from restyle.job.results.index import Result, there
from restyle.keys import Workspace
from restyle.record import Record, RecordOutput
from restyle.runtime.scratch import scratch
from restyle.s3.store import Head, Listed, Store

T = TypeVar("T")
R = TypeVar("R")

#: Folders of the workspace that outputs lie in, unless a run put them elsewhere.
_OUTPUTS = ("outputs", "suspect", "trials")
_AT_ONCE, _BATCH = 16, 2000
#: Bytes of a record or an entry that are read.
_MOST = 1_000_000


class Kind(StrEnum):
    """What is wrong."""

    RECORD = "record_without_output"
    """A job counts as done, and its picture is gone."""
    OUTPUT = "output_without_record"
    """A picture that no record names: of an entry that was removed, or of an earlier naming."""
    ENTRY = "entry_without_output"
    """An entry of the index leads to no picture."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    uri: str
    """Of the record, the output or the entry."""
    detail: str = ""


def audit(store: Store, workspace: Workspace) -> Iterator[Finding]:
    """Looks through records, outputs and the index; changes nothing."""
    places = _Places()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for listed in _outputs(store, workspace):
            places.add(listed.uri)
        for uri, record in _each(lambda uri: _record(uri, store), _below("records", store, workspace), pool):
            if fault := _misleads(record, places, store):
                yield Finding(Kind.RECORD, uri, fault)
        for listed in _outputs(store, workspace):
            if not places.is_named(listed.uri):
                yield Finding(Kind.OUTPUT, listed.uri)
        entries = _below("results", store, workspace)
        for uri, fault in _each(lambda uri: _fault(uri, store, workspace), entries, pool):
            if fault:
                yield Finding(Kind.ENTRY, uri, fault)


def mend(findings: Sequence[Finding], store: Store, workspace: Workspace) -> list[str]:
    """Removes records and entries that lead nowhere, and moves outputs that nobody leads to into replaced/.

    Each is looked at once more: somebody may have thought about the list while runs went on. What restyle has not made
    stays.

    Returns:
        The places of what was mended.
    """

    def one(finding: Finding) -> bool:
        if finding.kind is Kind.OUTPUT:
            return finding.uri in strays and _put_away(finding.uri, store, workspace)
        if finding.kind is Kind.RECORD:
            record = _record(finding.uri, store)
            is_wrong = record is None or not all(_is_there(output, store) for output in record.outputs)
        else:
            is_wrong = bool(_fault(finding.uri, store, workspace))
        if is_wrong:
            store.delete(finding.uri)
        return is_wrong

    strays = {finding.uri for finding in findings if finding.kind is Kind.OUTPUT}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        records = _below("records", store, workspace) if strays else ()
        for _, record in _each(lambda uri: _record(uri, store), records, pool):
            strays.difference_update(output.uri for output in (record.outputs if record else ()))
        return [finding.uri for finding, done in zip(findings, pool.map(one, findings), strict=True) if done]


class _Places:
    """The objects that outputs may be, and which of them a record names."""

    def __init__(self) -> None:
        self._file = scratch(self)
        self._file.execute("CREATE TABLE places (hash INTEGER PRIMARY KEY, named INTEGER DEFAULT 0)")

    def add(self, uri: str) -> None:
        """Notes an object."""
        self._file.execute("INSERT OR IGNORE INTO places (hash) VALUES (?)", (hash(uri),))

    def name(self, output: RecordOutput) -> bool:
        """Notes that a record names an output; whether it is among the objects."""
        update = "UPDATE places SET named = 1 WHERE hash = ?"
        return self._file.execute(update, (hash(output.uri),)).rowcount > 0

    def is_named(self, uri: str) -> bool:
        """Whether a record names it; what was written since the first listing counts as named."""
        row = self._file.execute("SELECT named FROM places WHERE hash = ?", (hash(uri),)).fetchone()
        return row is None or bool(row[0])


def _each(
    look: Callable[[T], R], items: Iterable[T], pool: ThreadPoolExecutor
) -> Iterator[tuple[T, R]]:  # fmt: skip
    """Each with what a look at it tells, some at a time."""
    items = iter(items)
    while batch := list(islice(items, _BATCH)):
        yield from zip(batch, pool.map(look, batch), strict=True)


def _below(folder: str, store: Store, workspace: Workspace) -> Iterator[str]:
    return (listed.uri for listed in store.list(workspace.under(folder) + "/"))


def _outputs(store: Store, workspace: Workspace) -> Iterator[Listed]:
    for folder in _OUTPUTS:
        yield from store.list(workspace.under(folder) + "/")


def _misleads(record: Record | None, places: _Places, store: Store) -> str:
    """What is wrong with a record; empty: nothing is. Notes the outputs that it names."""
    if record is None:
        return "it cannot be read"
    gone = [one.uri for one in record.outputs if not places.name(one) and not _is_there(one, store)]
    return f"{gone[0]} is not there" if gone else ""


def _record(uri: str, store: Store) -> Record | None:
    try:
        return Record.read(store.get(uri, max_bytes=_MOST).data)
    except (InputNotFound, InvalidImage, ValidationError):
        return None


def _fault(uri: str, store: Store, workspace: Workspace) -> str:
    """What is wrong with an entry of the index; empty: nothing is."""
    try:
        entry = Result.read(store.get(uri, max_bytes=_MOST).data)
    except InputNotFound:
        return ""
    except (InvalidImage, ValidationError):
        return "it cannot be read"
    if there(entry.record, store, workspace) or any(_is_hidden(output, store) for output in entry.record.outputs):
        return ""
    return f"{entry.record.outputs[0].uri} is not there any more"


def _is_there(output: RecordOutput, store: Store) -> bool:
    """Whether an output is there, or hidden: what is not known to be gone stays."""
    return _head(output.uri, store) is not None or _is_hidden(output, store)


def _is_hidden(output: RecordOutput, store: Store) -> bool:
    """Whether S3 lets nobody see whether an output is there."""
    try:
        store.head(output.uri)
    except (ObjectRefused, StoreAccessDenied):
        return True
    except ValueError:  # no place at all
        return False
    return False


def _head(uri: str, store: Store) -> Head | None:
    """What S3 says of an object; None where it is not there, or nobody may look."""
    try:
        return store.head(uri)
    except (ObjectRefused, StoreAccessDenied, ValueError):
        return None


def _put_away(uri: str, store: Store, workspace: Workspace) -> bool:
    """Moves an output to replaced/, by its content; False where restyle has not made it, or it is gone."""
    head = _head(uri, store)
    if head is None or JOB not in head.metadata:
        return False
    try:
        sha256 = sha256_of(uri, head, store, max_bytes=LARGEST)
        copy = workspace.replaced(sha256, suffix_of(head.content_type))
        if store.head(copy) is None:
            store.copy(uri, copy)
    except (InputNotFound, InvalidImage):
        return False
    store.delete(uri)
    return True
