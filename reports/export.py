"""A run's outputs in the rows of its manifest, to be imported where they came from: `restyle export`.

The manifest is read again, row by row; which output belongs to which id lies in a file of its own meanwhile, so that
memory does not grow with the run.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from producers.manifest import Entry, Manifest, Problems
from producers.manifest.cells.formulas import unguarded
from producers.manifest.entry import Stand
from producers.runs.outcomes import Rows
from producers.runs.statistics import is_selected
from reports.export_rows import Product, as_products, header_like, row_like
from reports.report import Lines
from restyle.errors import ConfigurationError
from restyle.keys import normalise_id
from restyle.models import Job, Run
from restyle.runtime.scratch import scratch

LIKES = ("csv", "shopify", "woocommerce", "merchant")
_DONE = frozenset({"succeeded", "skipped"})
_TAKEN_BACK = frozenset({"reject", "redo"})


@dataclass
class Exported:
    """What was written."""

    rows: int = 0
    pictures: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Pictures that no row has, by why."""


class _All(Container[Stand]):
    """Every row there is."""

    def __contains__(self, _stand: object) -> bool:
        return True


class Outputs:
    """The addresses of a run's pictures by the ids of their entries."""

    def __init__(
        self, run: Run, rows: Rows, variant: str, public: str, marks: Mapping[tuple[str, str], str],
        reviewed: Callable[[Job], str] = lambda _job: "",
    ) -> None:  # fmt: skip
        """Reads the run.

        Args:
            run: the run.
            rows: its rows.
            variant: whose pictures; empty where the run has one variant alone.
            public: what the outputs' prefix is called on the web; empty: s3:// URIs.
            marks: reviewers' marks, by id and variant; an empty variant is any.
            reviewed: their mark of a job where `marks` has nothing on it.

        Raises:
            ConfigurationError: which variant is meant cannot be determined.
        """
        self._root, self._public = f"{run.options.root}/", public
        self._table = scratch(self)
        self._table.execute("CREATE TABLE outputs (id TEXT PRIMARY KEY, uri TEXT, why TEXT) WITHOUT ROWID")
        variants: set[str] = set()
        for job, outcome in rows():
            variants.add(job.variant)
            if variant and job.variant != variant:
                continue
            uri = outcome.outputs[0] if outcome and outcome.outputs else ""
            why = "" if uri and is_selected(outcome, _DONE) else "without a picture of this run"
            if outcome and outcome.suspect:
                why = "suspect"
            mark = marks.get((job.id, job.variant)) or marks.get((job.id, "")) or reviewed(job)
            if mark in _TAKEN_BACK:
                why = "marked to be left out"
            self._table.execute("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)", (job.id, uri, why))
        if variant and variant not in variants:
            raise ConfigurationError(f"--variant {variant}: the run has {', '.join(sorted(variants)[:20]) or 'none'}")
        if len(variants) > 1 and not variant:
            named = " or --variant ".join(sorted(variants)[:5])
            raise ConfigurationError(f"the run has several variants: add --variant {named}")

    def of(self, entry_id: str) -> tuple[str, str]:
        """The address of an entry's picture, or empty and why it has none."""
        row = self._table.execute("SELECT uri, why FROM outputs WHERE id = ?", (entry_id,)).fetchone()
        uri, why = row or ("", "without a picture of this run")
        return ("", why) if why else (self._address(uri), "")

    def _address(self, uri: str) -> str:
        if not self._public or not uri.startswith(self._root):
            return uri
        return f"{self._public.rstrip('/')}/{quote(uri.removeprefix(self._root))}"


def read_marks(path: Path | None) -> dict[tuple[str, str], str]:
    """Reviewers' marks by entry and variant, as a report's page saves them; without that column of any variant.

    Raises:
        ConfigurationError: it is no such file.
    """
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {
                (normalise_id(unguarded(row["id"])), unguarded(row.get("variant") or "")): row["mark"].strip().lower()
                for row in csv.DictReader(file)
            }
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"--marks {path}: has no marks of a report: {error}") from None


def export(manifest: Manifest, outputs: Outputs, like: str, out: TextIO) -> Exported:
    """Writes the manifest's rows with the outputs in the place of the pictures.

    Args:
        manifest: what the run was made from.
        outputs: its pictures.
        like: the form; one of LIKES.
        out: where to; opened with `newline=""`.

    Raises:
        ManifestError: it cannot be read.
    """
    done = Exported()
    writer = csv.writer(Lines(out), delimiter="\t" if like == "merchant" else ",", lineterminator="\r\n")
    is_own = manifest.is_table and like in {"csv", manifest.feed}
    header = manifest.names if is_own else header_like(like, _kept(manifest) if like == "csv" else ())
    writer.writerow(header)
    for product in as_products(_groups(manifest), manifest.names, manifest.feed if is_own else ""):
        for row in _rows(product, outputs, done, manifest, header, "" if is_own else like):
            writer.writerow(row)
            done.rows += 1
    return done


def _rows(
    product: Product, outputs: Outputs, done: Exported, manifest: Manifest, header: Sequence[str], like: str
) -> Iterator[Sequence[str]]:
    """The rows of a product that has a picture of this run, or that has none and never had: those stay as they are."""
    columns: list[list[str]] = []
    for _, entries in product.rows:
        addresses = []
        for entry in entries:
            address, why = outputs.of(entry.id)
            done.left_out.update([why] if why else [])
            addresses.append(address)
        columns.append(addresses)
    if not any(columns):
        yield from () if like else (cells for cells, _ in product.rows)
        return
    if not any(any(addresses) for addresses in columns):
        return
    for number, ((cells, entries), addresses) in enumerate(zip(product.rows, columns, strict=True)):
        if like:
            made = [
                row_like(like, entry, address, header, place)
                for place, (entry, address) in enumerate(zip(entries, addresses, strict=True), 1)
                if address
            ]
        else:
            row = product.replaced(cells, addresses, manifest.image or "image", is_first=not number)
            made = [row] if row else []
        done.pictures += sum(map(bool, addresses)) if made else 0
        yield from made


def _groups(manifest: Manifest) -> Iterator[tuple[list[str], list[Entry]]]:
    """The rows as they stand in the file, each with its entries."""
    entries = ((stand, list(group)) for stand, group in groupby(manifest.entries(Problems()), key=_stand))
    if not manifest.is_table:
        yield from (([], group) for _, group in entries)
        return
    stand, group = next(entries, (None, []))
    for place, cells in islice(manifest.originals(_All()), 1, None):  # the first is the header
        if place == stand:
            yield cells, group
            stand, group = next(entries, (None, []))
        else:
            yield cells, []


def _stand(entry: Entry) -> Stand | str:
    return (entry.source, entry.line) if entry.line else entry.id


def _kept(manifest: Manifest) -> Sequence[str]:
    """The columns of entries that have no table's header."""
    return tuple(dict.fromkeys(name for entry in manifest.entries(Problems()) for name in entry.meta))
