"""The jobs of a block of plain entries, made by column. Each is the same as resolve.py makes from its entry alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from producers.manifest import Block, Entry
from producers.manifest.cells.spoilt import WORDS, are_blemished
from producers.manifest.cells.values import is_filled
from producers.planning.jobs.alike import Alike
from producers.planning.jobs.naming import Naming
from producers.planning.jobs.resolved import SMALL_JOB, Resolved
from restyle.keys import Workspace, derived_seed, sample_uri
from restyle.models import Job

#: A text as JSON, the same as pydantic writes; written in C.
_quoted = json.encoder.encode_basestring


@dataclass(frozen=True)
class Column:
    """The jobs of one variant for all rows of a block."""

    alike: Alike
    prompts: Sequence[str]
    negatives: Sequence[str]
    around: tuple[str, str]
    """What stands before and after the id in the URI of an output; plain ids need no escapes."""

    @property
    def places(self) -> Sequence[tuple[str, str]]:
        """`around` for each sample of the answer."""
        (before, after), samples = self.around, self.alike.params.samples
        return [(before, sample_uri(after, sample, samples)) for sample in range(samples)]

    def outputs(self, ids: Sequence[str]) -> list[str]:
        """The URIs of the (first) outputs of some entries."""
        before, after = self.around
        return [f"{before}{entry_id}{after}" for entry_id in ids]


@dataclass(frozen=True)
class Batch:
    """The jobs of a block: row by row, and within a row in the order of the variants."""

    block: Block
    columns: Sequence[Column]
    workspace: Workspace
    first: int = 0
    """Position of its first entry in the plan."""

    @property
    def rows(self) -> int:
        """How many entries it has."""
        return len(self.block.ids)

    @property
    def jobs(self) -> int:
        """How many jobs it has."""
        return len(self.block.ids) * len(self.columns)

    def sequence(self) -> bytes:
        """What it adds to the hash of the plan's sequence: the same bytes as its jobs one by one (first_pass.py)."""
        each = "".join(f"%s\0{column.alike.variant}\n" for column in self.columns)
        many = len(self.columns)
        return "".join([each % ((entry_id,) * many) for entry_id in self.block.ids]).encode()

    def resolved(self) -> Iterator[Resolved]:
        """The jobs one by one."""
        entries = list(self.block.entries())
        each = [
            map(partial(_resolved, column), entries, self.job_ids(column), column.prompts, column.negatives)
            for column in self.columns
        ]
        return chain.from_iterable(zip(*each, strict=True))

    def job(self, place: int) -> Resolved:
        """The job at an index of the batch."""
        row, column = divmod(place, len(self.columns))
        one = self.columns[column]
        job_id = self.workspace.job_id(self.block.ids[row], one.alike.variant)
        return _resolved(one, self.block.entry(row), job_id, one.prompts[row], one.negatives[row])

    def job_ids(self, column: Column) -> list[str]:
        """The ids of its jobs of one variant: `Workspace.job_id` for many entries at once."""
        before, after, sha256 = f"{self.workspace.uri}\0", f"\0{column.alike.variant}", hashlib.sha256
        return [sha256(f"{before}{entry_id}{after}".encode()).hexdigest()[:24] for entry_id in self.block.ids]


def _resolved(column: Column, entry: Entry, job_id: str, prompt: str, negative: str) -> Resolved:
    alike, (before, after) = column.alike, column.around
    params = alike.params.with_texts(prompt, negative, derived_seed(job_id))
    return Resolved(entry, alike.variant, params, f"{before}{entry.id}{after}", (), job_id, is_derived=True)


def batch_of(block: Block, known: Sequence[Alike], naming: Naming) -> Batch | None:
    """The jobs of a block; None where any row needs resolve.py.

    Args:
        block: the rows.
        known: for each variant, what its jobs have in common.
        naming: where outputs go.
    """
    if not known or not naming.is_plain or not all(one.is_derived for one in known):
        return None
    room = SMALL_JOB - sum(len(name) + max(map(len, cells)) for name, cells in block.meta.items())
    columns = []
    for one in known:
        if not one.own.isdisjoint(block.meta):
            return None
        prompts, negatives = _texts(one.prompt, block), _texts(one.negative_prompt, block)
        if prompts is None or negatives is None or not all(map(is_filled, prompts)):
            return None
        if max(map(len, prompts)) + max(map(len, negatives)) > room:
            return None
        columns.append(Column(one, prompts, negatives, naming.around(one.variant)))
    return Batch(block, columns, naming.workspace)


def _texts(parts: Sequence[tuple[str, str]], block: Block) -> Sequence[str] | None:
    """A template filled with the cells of each row; None where a cell is empty, or a word such as `n/a`."""
    template = "".join(literal.replace("%", "%%") + ("%s" if name else "") for literal, name in parts)
    names = [name for _, name in parts if name]
    if not names:
        return [(template % ()).strip()] * len(block.ids)
    columns = [block.ids if name == "id" else block.meta.get(name, ("",)) for name in names]
    for name, cells in zip(names, columns, strict=True):
        if name == "id":
            continue
        if not (all(cells) and WORDS.isdisjoint([cell.strip().lower() for cell in cells])) or are_blemished(cells):
            return None
    return [(template % row).strip() for row in zip(*columns, strict=True)]


# -- jobs as JSON lines ------------------------------------------------------------------------------------

#: Stands in the JSON template for a text that differs from row to row.
_MARK = "\ue000"
_MARKED = f'"{_MARK}"'


def lines(batch: Batch) -> list[str]:
    """The jobs as lines of a shard: each the JSON of the Job that `_job` in written.py makes."""
    metas = _metas(batch.block)
    each = [_lines(column, batch, metas) for column in batch.columns]
    return each[0] if len(each) == 1 else list(chain.from_iterable(zip(*each, strict=True)))


def _lines(column: Column, batch: Batch, metas: Sequence[str]) -> list[str]:
    block, alike = batch.block, column.alike
    before, after = column.around
    params = alike.params.with_texts(_MARK, _MARK, 0)
    output = f"{before}{_MARK}{after}"
    job = Job(id=_MARK, variant=alike.variant, image=_MARK, params=params, output=output, etag=_MARK)
    text = job.model_dump_json().replace("%", "%%").replace(_MARKED, "%s")
    template = text.replace('"seed":0', '"seed":%d', 1).replace(_MARK, "%s").replace('"meta":{}', '"meta":%s')
    rows = zip(
        map(_quoted, block.ids), map(_quoted, block.images), map(_quoted, column.prompts),
        map(_quoted, column.negatives), map(derived_seed, batch.job_ids(column)), block.ids,
        map(_quoted, block.etags), metas, strict=True,
    )  # fmt: skip
    return [template % row for row in rows]


def _metas(block: Block) -> list[str]:
    """The metadata of each row as JSON."""
    names = [_quoted(name) for name in block.meta]
    columns = [list(map(_quoted, cells)) for cells in block.meta.values()]
    if all(map(all, block.meta.values())):
        template = "{" + ",".join(f"{name.replace('%', '%%')}:%s" for name in names) + "}"
        return [template % row for row in zip(*columns, strict=True)] if names else ["{}"] * len(block.ids)
    rows = zip(*columns, strict=True)
    pairs = ((pair for pair in zip(names, row, strict=True) if pair[1] != '""') for row in rows)
    return ["{" + ",".join(map(":".join, row)) + "}" for row in pairs]
