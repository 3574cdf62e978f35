"""Recognises what spreadsheets and exports write for a missing or changed value. Used by rows.py and resolve.py."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: What Excel, LibreOffice and their versions in other languages write for a formula that failed (German, French,
#: Spanish, Dutch, Italian, Portuguese, Polish, Swedish, Danish, Turkish, Russian), and for a column that is too narrow.
_ERRORS = re.compile(
    r"#(N/A|N/V|NV|N/D|REF!|VALUE!|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|FIELD!|BLOCKED!|CONNECT!|UNKNOWN!|BUSY!"
    r"|GETTING_DATA|ERROR!|BEZUG!|WERT!|ZAHL!|\u00dcBERLAUF!|VALEUR!|NOM\?|NOMBRE!|NUL!|\u00a1[A-Z/0]+[!?]"
    r"|\u00bfNOMBRE\?|N/B|I/T|YOK|\u041d/\u0414|WAARDE!|VERW!|NAAM\?|GETAL!|DEEL/0!|LEEG!|VALORE!|NOME\?|RIF!|NULLO!"
    r"|VALOR!|N\u00daM!|NULO!|ARG!|ADR!|NAZWA\?|LICZBA!|DZIEL/0!|ZERO!|SAKNAS!|V\u00c4RDEFEL!|NAMN\?|REFERENS!"
    r"|OGILTIGT!|DIVISION/0!|V\u00c6RDI!|NAVN\?|REFERENCE!|DE\u011eER!|AD\?|BA\u015eV!|SAYI!|SAYI/0!|BO\u015e!"
    r"|\u0417\u041d\u0410\u0427!|\u0418\u041c\u042f\?|\u0421\u0421\u042b\u041b\u041a\u0410!"
    r"|\u0427\u0418\u0421\u041b\u041e!|\u0414\u0415\u041b/0!|\u041f\u0423\u0421\u0422\u041e!|##+)|Err:[0-9]{3}",
    re.IGNORECASE,
)
#: What programs write for no value, in lower case; each may also be a word that somebody means.
WORDS = frozenset(
    {
        "none", "null", "(null)", "nan", "nat", "n/a", "n.a.", "na", "<na>", "nil", "undefined", "\\n", "false",
        "[object object]", "-nan", "1.#qnan", "(none)", "(blank)", "[]", "{}", "()", "[null]", "[none]", "-", "--",
        "\u2013", "\u2014", "n.a", "tbd", "''", '""',
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


def reason_of(cell: str) -> str:
    """What is said of a cell that is such an error."""
    if not cell.strip().strip("#"):
        return "reads ###, which a spreadsheet shows where a column is too narrow: widen it, and export the table again"
    return f"reads {cell.strip()[:20]}, which a spreadsheet writes where a formula has failed"


def is_nothing(text: str) -> bool:
    """Whether a cell is a word that programs write where they have no value."""
    return len(text) <= 20 and text.strip().lower() in WORDS


#: Markup of HTML, text that was read in another encoding than it was written in, and lists as Python prints them.
_MARKUP = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>|&(?:[A-Za-z]{2,8}|#[0-9]{1,6});")
_MISREAD = re.compile("[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac")
_LIST = re.compile(r"\s*[\[{]\s*['\"]")
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
_BLEMISHED = re.compile(f"[{_CONTROL}\u00c2\u00c3\u00e2\ufffd]|<[A-Za-z/]|&[A-Za-z#]|[\\[{{]['\" ]")


def blemish(text: str) -> str:
    """What nobody means in a text for a prompt, as the end of a sentence about the cell; empty: it has nothing such."""
    if not _BLEMISHED.search(text):
        return ""
    if "\ufffd" in text:
        return "has characters that are lost (\ufffd)"
    if re.search(f"[{_CONTROL}]", text):
        return "has control characters"
    if _MISREAD.search(text):
        return "has letters that were read in another encoding (\u00c3\u00bc for \u00fc)"
    if _MARKUP.search(text):
        return "has HTML in it"
    return "is a list, as programs print it," if _LIST.match(text) and text.rstrip()[-1:] in "]}" else ""


def is_doubtful(text: str) -> bool:
    """Whether a cell that a prompt uses is probably not what somebody means."""
    return is_nothing(text) or bool(blemish(text))


def are_blemished(texts: Sequence[str]) -> bool:
    """Whether any of many texts has such a thing."""
    return _BLEMISHED.search("\n".join(texts)) is not None and any(map(blemish, texts))


def is_shortened(text: str) -> bool:
    """Whether an id is a long number as a spreadsheet shortens it: 4.00638E+12."""
    return "+" in text and _SHORTENED.fullmatch(text) is not None


def is_quoted_late(cell: str) -> bool:
    """Whether quotes are around all of a cell but the blanks before them, which makes them text (RFC 4180, 2.5)."""
    return cell[:1] in " \t" and len(text := cell.strip()) > 1 and text[0] == text[-1] == '"'
