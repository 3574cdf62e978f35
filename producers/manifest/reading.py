"""How a manifest is to be read, where its content does not say it all. Read by __init__.py and rows.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadOptions:
    """What a user says of a manifest; what is empty is seen from its content."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """`--column`: our name -> the file's column, or the path to it."""
    sheet: str = ""
    """`--sheet`: of a workbook."""
    items: str = ""
    """`--items`: the path to the entries of a JSON or XML document."""
    feed: str = ""
    """`--feed`: the export that it is taken for, or `none`."""
    images: str = ""
    """`--images`: the folder or prefix where relative images lie; empty: beside the manifest."""
    id: str = ""
    """`--id`: what ids are made of, as a template of columns."""
    namespace: str = ""
    """`--namespace`: what ids begin with, but for those of a report, which are whole."""
    has_pictures: bool = True
    """Whether pictures must be there: those of a run that is over need not."""
    http: bool = False
    """Whether pictures may lie at http:// addresses."""
    workspace: str = ""
    """Where it is read, for the reports of earlier runs."""

    def given(self) -> list[str]:
        """Those that were given, by the names of their options."""
        named = {
            "--column": bool(self.columns), "--sheet": bool(self.sheet), "--items": bool(self.items),
            "--feed": bool(self.feed), "--images": bool(self.images), "--id": bool(self.id),
            "--namespace": bool(self.namespace),
        }  # fmt: skip
        return [name for name, is_given in named.items() if is_given]
