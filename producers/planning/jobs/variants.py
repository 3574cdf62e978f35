"""Variants: named prompts with parameters, from a file (JSON, TOML or CSV), from the manifest, or from `--prompt`.

Every value is checked here, where it can be reported by file and variant; entries meet variants in resolve.py.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from producers.manifest.cells.columns import near_miss
from producers.manifest.cells.spoilt import is_error, reason_of
from producers.manifest.cells.values import PARAMS, is_filled
from producers.manifest.documents.json_text import decode
from producers.manifest.encoding import why_no_text, why_no_utf8
from producers.manifest.tables.delimited import delimiter_of
from producers.planning.jobs import prompts
from restyle.errors import InputNotFound, InvalidImage, ManifestError
from restyle.keys import check_variant_name
from restyle.models import Params
from restyle.problems import Problem
from restyle.s3.store import Store

DEFAULT = "default"
#: The parameters that are templates.
TEMPLATES = ("prompt", "negative_prompt")
_TOO_LARGE = 10_000_000

#: A parameter, and what is wrong with its value.
Fault = tuple[str, str]


@dataclass(frozen=True)
class Variant:
    """A named prompt with parameters."""

    name: str
    params: Mapping[str, object]
    """By the API's names, of their types and within their ranges; prompts are templates."""
    source: str = ""
    """What messages call the place where it stands."""
    reuse: bool = True
    """Whether its jobs may take pictures of others with the same input; else each gets one of its own."""
    draw: int = 0
    """Of a trial: which picture of an entry, from 1 on; its parameters beat the row's. 0: it is no trial."""
    shown: str = ""
    """What prompts that use {variant} call it; empty: its name."""

    @cached_property
    def uses_prompt(self) -> bool:
        """Whether its prompt takes the row's in."""
        return "prompt" in prompts.parse(str(self.params.get("prompt", ""))).names


# -- values ------------------------------------------------------------------------------------------------


def read_params(given: Mapping[str, Any], faults: list[Fault]) -> dict[str, object]:
    """Parameters with their types; unknown names and wrong values go to the faults, empty ones are left out."""
    params: dict[str, object] = {}
    for key, value in given.items():
        name = key.strip().lower()
        if name not in PARAMS:
            meant = near_miss(key)
            faults.append((key, f"is no parameter; did you mean {meant}?" if meant in PARAMS else "is no parameter"))
        elif name in params:
            faults.append((key, "is there twice"))
        elif is_filled(value):
            try:
                params[name] = PARAMS[name](value)
            except ValueError as error:
                faults.append((name, str(error)))
    faults.extend(check_params(params))
    return params


def _bounds(name: str) -> tuple[float, float] | None:
    """The published range of a number, as the model has it."""
    limits = {type(limit).__name__: limit for limit in Params.model_fields[name].metadata}
    return (limits["Ge"].ge, limits["Le"].le) if "Ge" in limits and "Le" in limits else None


_RANGES = {name: bounds for name in Params.model_fields if (bounds := _bounds(name))}


def check_params(params: Mapping[str, object]) -> list[Fault]:
    """What is out of the API's ranges, and templates that are none."""
    faults: list[Fault] = []
    for name, value in params.items():
        if name in _RANGES and isinstance(value, int | float):
            least, most = _RANGES[name]
            if not least <= value <= most:
                faults.append((name, f"{value} is out of range: {least:g} to {_plain(most)}"))
        elif name in TEMPLATES and is_error(str(value)):
            faults.append((name, reason_of(str(value))))
        elif name in TEMPLATES:
            try:
                prompts.parse(str(value))
            except ValueError as error:
                faults.append((name, str(error)))
    return faults


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


# -- reading -----------------------------------------------------------------------------------------------


def load_variants(uri: str, *, store: Store | None) -> list[Variant]:
    """The variants of a file.

    Raises:
        ManifestError: everything that is wrong with it.
    """
    data = _bytes(uri, store)
    if data.startswith(b"PK\x03\x04"):
        raise ManifestError(
            [Problem(uri, 0, "", "is a workbook or a ZIP file: save it as CSV UTF-8, or write JSON or TOML")]
        )
    if reason := why_no_text(data) or ("is packed by gzip: unpack it first" if data[:2] == b"\x1f\x8b" else ""):
        raise ManifestError([Problem(uri, 0, "", reason)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestError([Problem(uri, 0, "", why_no_utf8(data))]) from None
    content = _parsed(uri, text)
    if isinstance(content, dict):
        extra = [key for key in content if key not in {"defaults", "variants"}]
        if extra or not isinstance(content.get("variants"), list) or not isinstance(content.get("defaults", {}), dict):
            reason = f"unknown key {extra[0]!r}; " if extra else ""
            form = 'a variants file is a list, or {"defaults": {...}, "variants": [...]}'
            raise ManifestError([Problem(uri, 0, "", reason + form)])
        return read_variants(content["variants"], uri, defaults=content.get("defaults", {}))
    if not isinstance(content, list):
        raise ManifestError([Problem(uri, 0, "", "a variants file is a list of variants")])
    return read_variants(content, uri)


def read_variants(items: Iterable[Any], source: str, *, defaults: Mapping[str, Any] | None = None) -> list[Variant]:
    """Variants as JSON has them, on top of defaults of their own.

    Raises:
        ManifestError: everything that is wrong with them.
    """
    problems: list[Problem] = []
    faults: list[Fault] = []
    base = read_params(defaults or {}, faults)
    problems += [Problem(source, 0, f"defaults.{name}", reason) for name, reason in faults]
    variants: dict[str, Variant] = {}
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            problems.append(Problem(source, 0, f"variant {number}", 'write {"name": "...", "prompt": "..."}'))
            continue
        name, faults = item["name"].strip(), []
        try:
            check_variant_name(name)
        except ValueError as error:
            faults.append(("name", str(error)))
        if name.lower() in variants:
            faults.append(("name", "there are two variants of this name"))
        reuse = _read_reuse(item.get("reuse"), faults)
        params = read_params({key: value for key, value in item.items() if key not in {"name", "reuse"}}, faults)
        problems += [Problem(source, 0, f"{name}.{column}", reason) for column, reason in faults]
        variants.setdefault(name.lower(), Variant(name, base | params, source, reuse))
    if not variants and not problems:
        problems.append(Problem(source, 0, "", "has no variants"))
    if problems:
        raise ManifestError(problems)
    return list(variants.values())


def _read_reuse(value: object, faults: list[Fault]) -> bool:
    """Whether jobs of a variant may share a picture; in CSV it is a word."""
    word = str(value).strip().lower()
    if value not in {None, ""} and word not in {"true", "false"}:
        faults.append(("reuse", "is true or false"))
    return word != "false"


def _bytes(uri: str, store: Store | None) -> bytes:
    try:
        if uri.startswith("s3://"):
            if store is None:
                raise ManifestError([Problem(uri, 0, "", "lies in S3, which is not open here")])
            return store.get(uri, max_bytes=_TOO_LARGE).data
        with Path(uri).open("rb") as file:
            data = file.read(_TOO_LARGE + 1)
        if len(data) > _TOO_LARGE:
            raise ManifestError([Problem(uri, 0, "", f"is larger than {_TOO_LARGE:,} bytes")])
        return data
    except (FileNotFoundError, InputNotFound):
        raise ManifestError([Problem(uri, 0, "", "there is no such variants file")]) from None
    except InvalidImage:
        raise ManifestError([Problem(uri, 0, "", f"is larger than {_TOO_LARGE:,} bytes")]) from None
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ManifestError([Problem(uri[:200], 0, "", reason)]) from None


def _parsed(uri: str, text: str) -> Any:
    """The content by what it looks like: JSON begins with a bracket or brace, TOML by its name, the rest is CSV."""
    if uri.lower().endswith(".toml"):
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # of a number with thousands of digits it is no TOMLDecodeError
            raise ManifestError([Problem(uri, 0, "", f"is no TOML: {error}")]) from None
    if text.lstrip()[:1] in {"[", "{"}:
        return decode(uri, 1, text)
    return _of_csv(uri, text)


#: Characters of a cell: many times what a message has room for.
_LONGEST = 100_000


def _of_csv(uri: str, text: str) -> list[dict[str, Any]]:
    """The rows of a CSV file; a cell that no column has is kept under a name that is no parameter."""
    text = text.lstrip("\r\n")
    delimiter = delimiter_of(text.partition("\n")[0])
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="too many cells", strict=True)
    try:
        read = []
        for row in rows:
            # csv's own limit is the process's, which readers of manifests change while they read.
            if any(len(cell) > _LONGEST for cell in row.values() if isinstance(cell, str)):
                raise csv.Error(f"a cell has more than {_LONGEST:,} characters")
            if any(_swallows(cell, delimiter) for cell in row.values()):
                reason = "a quote that opens in this variant or before swallows the next ones; is one left open?"
                raise ManifestError([Problem(uri, rows.line_num, "", reason)])
            read.append({key.strip().lower(): value for key, value in row.items() if value})
    except csv.Error as error:
        raise ManifestError([Problem(uri, rows.line_num, "", f"is neither JSON nor CSV: {error}")]) from None
    return [row for row in read if row]


def _swallows(cell: object, delimiter: str) -> bool:
    """Whether one of a cell's further lines begins as a variant does: a name and a delimiter, and no text's comma."""
    if not isinstance(cell, str) or "\n" not in cell:
        return False
    for line in cell.splitlines()[1:]:
        name, separator, rest = line.partition(delimiter)
        with suppress(ValueError):
            if separator and rest[:1] != " " and check_variant_name(name.strip()) == name.strip():
                return True
    return False
