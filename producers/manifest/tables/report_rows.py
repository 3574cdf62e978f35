"""Checks that the ids in a report's rows are unchanged, since spreadsheets change them. Used by table.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from restyle.errors import RestyleError
from restyle.keys import Workspace, escape, normalise_id, parse_workspace

_INPUT = re.compile(r"(s3://.+)/inputs/[0-9a-f]{64}\.\w+")
_RUN_FILE = re.compile(r"(s3://.+)/runs/[^/]+/[^/]+")
_ADVICE = "format the column as text, or mark rows in the report's page or in the workbook that report --xlsx writes"


class WrittenRows:
    """Checks the rows of a report by their job ids."""

    def __init__(self, uri: str, workspace: str) -> None:
        """Collects the workspaces that the report may be of.

        Args:
            uri: of the report.
            workspace: the present one; empty where it is not known.
        """
        match = _RUN_FILE.fullmatch(uri)
        self._known = [*_sides(workspace), *([match[1]] if match else [])]

    def why_changed(self, row: Mapping[str, str]) -> str:
        """Why a row's id is not the one that was written; empty where it is, or where that cannot be checked."""
        job_id, record, variant = row.get("job_id", ""), row.get("record", ""), row.get("variant", "")
        if not job_id:
            return ""
        try:
            entry_id = normalise_id(row.get("id", ""))
        except (ValueError, RestyleError):
            return ""  # reported when the row is read
        if record:
            tail = f"/records/{escape(entry_id)}/{variant}.json"
            belongs = record.endswith(tail) and _is_of(job_id, entry_id, variant, [record.removesuffix(tail)])
            return "" if belongs else _reason(entry_id, variant)
        known = [*self._known, *_of_image(row.get("image", ""))]
        if not known or _is_of(job_id, entry_id, variant, known):
            return ""
        return f"{_reason(entry_id, variant)}. In a report of another workspace, empty the column job_id"


def _reason(entry_id: str, variant: str) -> str:
    return f"{entry_id[:100]} (variant {variant[:64]}) is not the id that this row was written with: {_ADVICE}"


def _is_of(job_id: str, entry_id: str, variant: str, workspaces: Sequence[str]) -> bool:
    return any(Workspace(uri).job_id(entry_id, variant) == job_id for uri in workspaces)


def _sides(uri: str) -> Iterator[str]:
    """A workspace and its sandbox."""
    if uri:
        plain = parse_workspace(uri).uri.removesuffix("/sandbox")
        yield from (plain, f"{plain}/sandbox")


def _of_image(image: str) -> list[str]:
    match = _INPUT.fullmatch(image)
    return [match[1]] if match else []
