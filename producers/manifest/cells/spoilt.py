"""Recognises what spreadsheets and exports write for a missing or changed value. Used by rows.py and resolve.py."""

from __future__ import annotations

import re

#: What Excel, LibreOffice and their German, French and Spanish versions write for a formula that failed.
_ERRORS = re.compile(
    r"#(N/A|N/V|NV|N/D|REF!|VALUE!|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|FIELD!|BLOCKED!|CONNECT!|UNKNOWN!|BUSY!"
    r"|GETTING_DATA|ERROR!|BEZUG!|WERT!|ZAHL!|\u00dcBERLAUF!|VALEUR!|NOM\?|NOMBRE!|NUL!|\u00a1[A-Z/0]+[!?]"
    r"|\u00bfNOMBRE\?)|Err:[0-9]{3}",
    re.IGNORECASE,
)
#: What programs write for no value, in lower case; each may also be a word that somebody means.
WORDS = frozenset(
    {
        "none", "null", "(null)", "nan", "nat", "n/a", "n.a.", "na", "<na>", "nil", "undefined", "\\n", "false",
        "[object object]", "-nan", "1.#qnan", "(none)", "(blank)",
    }
)  # fmt: skip
#: How these begin.
ERROR_STARTS = frozenset("#Ee")
_SHORTENED = re.compile(r"[+-]?[0-9]([.,][0-9]+)?[eE]\+[0-9]{1,3}")
#: Invisible characters; a cell that has only these counts as empty.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


def is_error(text: str) -> bool:
    """Whether a cell is what a spreadsheet writes for a formula that failed."""
    return text[:1] in ERROR_STARTS and _ERRORS.fullmatch(text.strip()) is not None


def is_nothing(text: str) -> bool:
    """Whether a cell is a word that programs write where they have no value."""
    return len(text) <= 20 and text.strip().lower() in WORDS


def is_shortened(text: str) -> bool:
    """Whether an id is a long number as a spreadsheet shortens it: 4.00638E+12."""
    return "+" in text and _SHORTENED.fullmatch(text) is not None
