"""Cells that a spreadsheet would compute or change: an apostrophe guards them, and is removed when they are read.

A spreadsheet takes 0017 for 17, 4006381333931 for 4.00638E+12, 1-2 for a day and true for TRUE, and writes it so.
"""

from __future__ import annotations

import re

#: How formulas begin; the last four are full-width forms, which some spreadsheets take for the plain ones.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
#: Whole numbers that stay as they are: no zero in front, and no more digits than are shown.
_PLAIN = re.compile(r"0|[1-9][0-9]{0,9}")
#: Texts of digits and of characters that numbers, dates, times, shares and amounts of money have.
_SUM = "$\u20ac\u00a3\u00a5"
_NUMBER_LIKE = re.compile(
    rf"[ \u00a0]*[{_SUM}(]*[0-9.,][0-9.,:/ \u00a0'()%{_SUM}+-]*([eE][+-]?[0-9]+)?(\s[aApP][mM]?)?"
)
_MONTH = "jan|feb|m[a\u00e4]r|apr|ma[iy]|ju[nl]|aug|sep|o[ck]t|nov|de[cz]|ene|abr|dic|f[e\u00e9]v|avr|ao\u00fb|d\u00e9c"
_DAY = re.compile(rf"[0-9]{{0,4}}[-/., ]*({_MONTH})\w{{0,7}}[-/., ]*[0-9]{{0,4}}", re.IGNORECASE)
_TRUTH = re.compile("true|false|wahr|falsch|vrai|faux|verdadero|falso|vero", re.IGNORECASE)
_LONGEST = 64


def guarded(text: str) -> str:
    """The text as a cell that a spreadsheet neither computes nor changes.

    One more apostrophe also where some stand before what is guarded, so that the reader can take one off.
    """
    return f"'{text}" if _at_risk(text.lstrip("'")) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` made this cell of."""
    return cell[1:] if cell[:1] == "'" and _at_risk(cell.lstrip("'")) else cell


def _at_risk(text: str) -> bool:
    if text[:1] in _FORMULA:
        return True
    if not text or len(text) > _LONGEST or _PLAIN.fullmatch(text):
        return False
    return any(kind.fullmatch(text) for kind in (_NUMBER_LIKE, _DAY, _TRUTH))
