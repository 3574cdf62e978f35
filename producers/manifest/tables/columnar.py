"""Parquet and ORC files as tables, where pyarrow is installed. Read by forms.py and listing.py."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from producers.manifest.source import Source, wrong
from producers.manifest.tables.spooled import Spooled

_KINDS = {b"PAR1": "Parquet", b"ORC": "ORC"}
#: Never imported here: it needs pyarrow.
_READER = str(Path(__file__).with_name("columnar_reader.py"))
_INSTALL = "to have it read, install pyarrow: pip install 'catalog-restyle[parquet]'"


def kind_of(source: Source) -> str:
    """What a file is called, where it is one of these; else empty."""
    return next((name for magic, name in _KINDS.items() if source.head.startswith(magic)), "")


def _is_installed() -> bool:
    try:
        return find_spec("pyarrow") is not None
    except ValueError:  # it is kept out of this process
        return False


def rows_of(source: Source) -> Spooled:
    """The rows of a file; the first is its header, and the others are numbered from 1.

    Raises:
        ManifestError: it cannot be read, or not here.
    """
    kind = kind_of(source)
    if not _is_installed():
        raise wrong(source.name, f"is {'an' if kind == 'ORC' else 'a'} {kind} file; {_INSTALL}")
    rows = Spooled(source, _READER, kind, first_line=0)
    if error := rows.answer.get("error"):
        raise wrong(source.name, str(error))
    rows.unread = left_out = rows.answer["left_out"]
    note = f", without its columns of bytes or objects ({', '.join(left_out)[:100]})" if left_out else ""
    rows.form = f"{'an' if kind == 'ORC' else 'a'} {kind} file{note}"
    return rows
