"""Jobs of rows that differ in texts alone: what is the same for all of them is resolved once, and kept.

Most rows of a table name an image and cells for the prompt, and no parameter of their own. Their jobs have everything
in common but id, prompt, seed and output. A row of which anything is doubtful is resolved in full (resolve.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.manifest import Entry
from producers.manifest.cells.spoilt import is_doubtful
from producers.manifest.cells.values import is_filled
from producers.planning.jobs import prompts
from producers.planning.jobs.variants import TEMPLATES, Variant
from restyle.models import Params

#: Combinations of a row's own parameters that are kept.
_MOST = 1000

#: What an entry asks for beside its texts: its variant, and its parameters with their values.
Ask = tuple[str, tuple[tuple[str, object], ...]]


@dataclass(frozen=True)
class Alike:
    """What the jobs of such rows have in common, for one variant."""

    variant: str
    params: Params
    """Of the first of them."""
    prompt: tuple[tuple[str, str], ...]
    """Text, and the column that follows it (empty: none)."""
    negative_prompt: tuple[tuple[str, str], ...]
    is_derived: bool
    """Whether each has a seed of its own, by its id."""
    own: frozenset[str]
    """The names of its templates that are no columns: `id`, `variant`."""

    def texts(self, entry: Entry) -> tuple[str, str] | None:
        """The entry's prompt and negative prompt; None where its row is to be resolved in full."""
        meta = entry.meta
        if entry.not_text or not self.own.isdisjoint(meta):
            return None
        prompt, negative_prompt = _text(self.prompt, entry.id, meta), _text(self.negative_prompt, entry.id, meta)
        if prompt is None or negative_prompt is None or not is_filled(prompt):
            return None
        return prompt, negative_prompt


class Known:
    """What has been resolved of the jobs of a plan."""

    def __init__(self) -> None:
        """Starts with nothing."""
        self._kept: dict[Ask, Sequence[Alike]] = {}

    def of(self, entry: Entry) -> Sequence[Alike]:
        """What the jobs of an entry have in common with others; empty where that is not known."""
        if entry.mark:
            return ()
        return self._kept.get((entry.variant, tuple(entry.params.items())), ())

    def of_plain(self) -> Sequence[Alike]:
        """The same of entries that ask for nothing of their own."""
        return self._kept.get(("", ()), ())

    def keep(self, entry: Entry, alike: Sequence[Alike | None]) -> None:
        """Remembers it for those that ask for the same."""
        whole = [one for one in alike if one is not None]
        if len(whole) == len(alike) and len(self._kept) < _MOST and not entry.mark:
            self._kept[entry.variant, tuple(entry.params.items())] = whole


def alike(entry: Entry, variant: Variant, merged: Mapping[str, object], params: Params) -> Alike | None:
    """What a job has in common with those of rows that differ in texts alone; None where they are resolved in full.

    Args:
        entry: its entry.
        variant: its variant.
        merged: its parameters, prompts as templates.
        params: the same, resolved.
    """
    if entry.params.keys() & {*TEMPLATES, "seed"} or variant.draw:
        return None
    parts = [prompts.parse(str(merged.get(name, ""))).parts for name in TEMPLATES]
    names = {name for each in parts for _, name in each}
    if "prompt" in names:
        return None
    shown = variant.shown or variant.name
    by_name = dict(zip(TEMPLATES, (_with_variant(each, shown) for each in parts), strict=True))
    return Alike(
        variant.name,
        params,
        by_name["prompt"],
        by_name["negative_prompt"],
        "seed" not in merged,
        frozenset(names & {"id", "variant"}),
    )


def _with_variant(parts: Sequence[tuple[str, str]], shown: str) -> tuple[tuple[str, str], ...]:
    """A template's parts with the variant's name as text."""
    made: list[tuple[str, str]] = []
    text = ""
    for literal, name in parts:
        text += literal
        if name == "variant":
            text += shown
        else:
            made.append((text, name))
            text = ""
    return (*made, (text, "")) if text else tuple(made)


def _text(parts: Sequence[tuple[str, str]], entry_id: str, meta: Mapping[str, str]) -> str | None:
    """A template with an entry's cells; None where one is missing or is empty, which the caller reports in full."""
    texts = []
    for text, name in parts:
        texts.append(text)
        if name == "id":
            texts.append(entry_id)
        elif name:
            cell = meta.get(name)
            if cell is None or is_doubtful(cell):
                return None
            texts.append(cell)
    return "".join(texts).strip()
