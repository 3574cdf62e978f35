"""Converts cells to the types of the API's parameters. Used by rows.py."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from producers.manifest.cells.spoilt import INVISIBLE
from restyle.models import Params

_DIGITS = re.compile(r"\s*[+-]?[0-9]{19,}\s*")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
#: Whole numbers in groups of three, as spreadsheets show them: 1.000 is one for some, and a thousand for others.
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:[.,'\u00a0\u202f ][0-9]{3})+")
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_SHOWN = 40
_UNSEEN = f"{INVISIBLE} \t\r\n\u00a0"


def _shown(value: object) -> str:
    """A value as a message quotes it, never long."""
    text = repr(value) if isinstance(value, str) else _json(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _json(value: object) -> str:
    """A value as JSON; a type that JSON does not have, such as a date of TOML, as its text.

    Raises:
        ValueError: it is nested too deeply.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _whole(value: object) -> int:
    """The value as a whole number, from 30, 30.0 or their text."""
    match value:
        case bool():
            pass
        case int() if abs(value) < 10**18:
            return value
        case float() if value.is_integer() and abs(value) < 10**18:
            return int(value)
        case str() if _WHOLE.fullmatch(text := value.strip()) and not _GROUPED.fullmatch(text):
            return int(text.partition(".")[0])
    if _DIGITS.fullmatch(str(value)):
        raise ValueError(f"{_shown(value)} has more than 18 digits")
    hint = "; write it without a separator" if _is_grouped(value) else _number_hint(value)
    raise ValueError(f"{_shown(value)} is not a whole number{hint}")


def _is_grouped(value: object) -> bool:
    return isinstance(value, str) and _GROUPED.fullmatch(value.strip()) is not None


def _number(value: object) -> float:
    """The value as a number, from 0.5 or its text."""
    match value:
        case bool():
            pass
        case int() | float() if abs(value) < 10**18:
            return float(value)
        case str() if _NUMBER.fullmatch(text := value.strip()) and math.isfinite(number := float(text)):
            return number
    raise ValueError(f"{_shown(value)} is not a number{_number_hint(value)}")


def _number_hint(value: object) -> str:
    """A hint, where only a decimal comma is wrong; else empty."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18},[0-9]{1,18}\s*", value):
        return f"; write {value.strip().replace(',', '.')} with a point"
    return ""


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    if text in _TRUTHS:
        return _TRUTHS[text]
    raise ValueError(f"{_shown(value)} is neither true nor false")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text")
    return _encodable(value)


def _encodable(text: str) -> str:
    """The text, where a report can hold it: JSON can spell NUL, and half of a character."""
    if "\0" in text:
        raise ValueError("has a NUL character, which no text has")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("has half of a surrogate pair, which is no character") from None
    return text


def _word(value: object) -> str:
    return _text(value).strip()


def _name(value: object) -> str:
    """A text; also from a whole number, which an export may have made of it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(_whole(value))
    return _word(value)


#: How a parameter's cell is read, by its type in the API.
_BY_TYPE: Mapping[object, Callable[[object], object]] = {int: _whole, float: _number, bool: _truth, str: _text}
#: How a parameter's cell is read, by its name.
PARAMS: Mapping[str, Callable[[object], object]] = {
    name: _BY_TYPE[field.annotation] for name, field in Params.model_fields.items()
} | {"scheduler": _word, "base_model": _word}
#: How the columns that are restyle's own are read.
RESERVED: Mapping[str, Callable[[object], str]] = {
    "image": _word, "id": _name, "variant": _name, "output": _word, "mark": _word,
}  # fmt: skip


def is_filled(value: object) -> bool:
    """Whether a cell has a value: not where it is null or blank, or has invisible characters alone."""
    if not isinstance(value, str):
        return value is not None
    if not value or value.isspace():
        return False
    return value[0] not in _UNSEEN or bool(value.strip(_UNSEEN))


def check_name(name: str) -> str:
    """Why metadata cannot have this name, or empty."""
    try:
        _encodable(name)
    except ValueError as error:
        return f"the name of the column {error}"
    return ""


def as_meta(value: Any) -> str:
    """A JSON value as the text that metadata keeps.

    Raises:
        ValueError: it has no such text; the message is the reason.
    """
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not a finite number")
    return _encodable(_json(value))
