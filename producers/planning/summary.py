"""What a manifest was taken for, what was read and what was left out: three lines of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from producers.manifest import LeftOut, Manifest, Problems, ReadOptions
from producers.manifest.cells.columns import may_be_id

#: In this order.
_NOUNS = ("rows", "products", "pictures")


@dataclass(frozen=True)
class Summary:
    """What a plan read."""

    form: str = ""
    """What it was taken for, with an article; empty where nothing was read."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many rows, products and pictures it has."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Where image and id come from, where that is not the column of this name."""
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    web: str = ""
    """How many of its pictures lie on the web, and where."""
    may_be_id: str = ""
    """A column that may hold ids, where there is no `id` and images name the entries."""

    def lines(self) -> list[tuple[str, str]]:
        """What to show, each line with its heading; none where nothing was read."""
        if not self.form:
            return []
        counted = ", ".join(_counted(noun, self.counts[noun]) for noun in _NOUNS if noun in self.counts)
        lines = [("read as", f"{self.form}: {counted}" if counted else self.form)]
        if self.columns:
            lines.append(("columns", " · ".join(f"{own} is {theirs}" for own, theirs in self.columns.items())))
        if self.may_be_id:
            lines.append(("ids", f"the images' names, as there is no id; for another: --column 'id={self.may_be_id}'"))
        if self.web:
            lines.append(("to fetch", self.web))
        if self.left_out:
            lines.append(("left out", " · ".join(_left_out(kind, one) for kind, one in self.left_out.items())))
        return lines

    def as_json(self) -> dict[str, object]:
        """The same as `plan --json` has it."""
        left_out = {
            kind.replace("{s}", "s"): {"count": one.count, "first": one.first} for kind, one in self.left_out.items()
        }
        web = {"web": self.web} if self.web else {}
        return {"read_as": self.form, **self.counts, "columns": dict(self.columns), "left_out": left_out, **web}


def summarised(manifest: Manifest, options: ReadOptions, problems: Problems, web: str = "") -> Summary:
    """The summary of a manifest that was read once."""
    columns = {"image": manifest.image} if manifest.image not in {"", "image"} else {}
    columns |= {"id": options.id} if options.id else {}
    has_ids = options.id or manifest.feed or "id" in (manifest.columns or {"id"})
    candidate = "" if has_ids else may_be_id(manifest.names)
    return Summary(manifest.form, dict(problems.counts), columns, dict(problems.left_out), web, candidate)


def _counted(noun: str, count: int) -> str:
    return f"{count:,} {noun.removesuffix('s') if count == 1 else noun}"


def _left_out(kind: str, left_out: LeftOut) -> str:
    named = ", ".join(name[:80] for name in left_out.first) + (", …" if left_out.count > len(left_out.first) else "")
    return f"{left_out.count:,} {kind.replace('{s}', 's' * (left_out.count > 1))} ({named})"
