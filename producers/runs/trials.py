"""What a trial compares: `trial.json` in its run's folder has its columns, and what the whole catalog would cost."""

from __future__ import annotations

from pydantic import Field, ValidationError

from restyle.formats import SchemaVersion
from restyle.keys import Workspace
from restyle.s3.store import Store
from restyle.value import Value

#: Bytes of it that are read; ours have a few thousand.
_MOST = 2_000_000


class Column(Value):
    """One combination of a prompt and parameters, tried on every entry of the trial."""

    name: str
    """What a variants file calls it."""
    prompt: int
    """Which of the trial's prompts, from 0 on."""
    params: dict[str, str | int | float | bool]
    """What a variants file says of it."""
    differs: dict[str, str] = Field(default_factory=dict)
    """The value of each axis, as text."""
    variants: tuple[str, ...]
    """Of its jobs, one a draw."""
    credits: float
    """What one entry costs in it, at most."""


class Trial(Value):
    """What a trial compares."""

    schema_version: SchemaVersion = 1
    prompts: tuple[str, ...]
    """As templates; an empty one is the rows' own."""
    columns: tuple[Column, ...]
    axes: tuple[str, ...] = ()
    draws: int = 1
    entries: int
    """That are tried."""
    catalog: int
    """Entries of the whole manifest."""
    seconds: float
    """Of a call, as the fleet makes one after another."""
    command: tuple[str, ...]
    """The words of the command that runs the whole manifest, but for `--variants`."""
    beaten: tuple[str, ...] = ()
    """Parameters of which the manifest has a column, which beats the variants file in a run."""

    @property
    def titles(self) -> dict[str, str]:
        """What people call each variant of its jobs, in the order of the columns: `B · strength 0.3`."""
        return {
            variant: self.title_of(column) + (f" · draw {draw}" if self.draws > 1 else "")
            for column in self.columns
            for draw, variant in enumerate(column.variants, 1)
        }

    def title_of(self, column: Column) -> str:
        """What people call a column: its prompt by a letter, and the values of its axes."""
        parts = [letter(column.prompt)] if len(self.prompts) > 1 else []
        parts += [f"{axis.replace('_', ' ')} {value}" for axis, value in column.differs.items()]
        return " · ".join(parts) or "the prompt"


def letter(place: int) -> str:
    """What a prompt of a trial is called: A to Z, then AA."""
    return (letter(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def write_trial(trial: Trial, run_id: str, *, store: Store, workspace: Workspace) -> None:
    """Writes it beside the plan."""
    store.put(workspace.trial(run_id), trial.model_dump_json(indent=1).encode(), content_type="application/json")


def read_trial(run_id: str, *, store: Store, workspace: Workspace) -> Trial | None:
    """A trial's columns; None where they are gone, or of another version."""
    stored = store.find(workspace.trial(run_id))
    try:
        return Trial.read(stored.data[:_MOST]) if stored else None
    except ValidationError:
        return None
