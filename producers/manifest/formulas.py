"""Cells that a spreadsheet would take for formulas: an apostrophe guards them, and is taken off as they are read."""

from __future__ import annotations

#: How such a cell begins; the last four are full-width forms, which some spreadsheets take for the plain ones.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def guarded(text: str) -> str:
    """The text as a cell that is no formula.

    One more apostrophe also where some stand before the formula's mark, so that the reader can take one off.
    """
    return f"'{text}" if text.lstrip("'")[:1] in _FORMULA else text


def unguarded(cell: str) -> str:
    """The text that `guarded` made this cell of."""
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'")[:1] in _FORMULA else cell
