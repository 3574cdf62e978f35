"""Who holds a workspace: every order of steps of three Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from restyle.coordination.workspace.holder import Rival, Standing, Step, next_step
from tests.unit.test_holder import RECORD


@dataclass(frozen=True)
class Redis:
    """One that would hold the workspace: where it stands in the order of holding.py, and what it last saw."""

    #: The names of its records, another one each time.
    names: tuple[str, ...]
    at: str = "outside"
    holds: bool = False
    #: Its lease, which counts from before its first look, would be over before it began.
    is_late: bool = False
    #: Records that nobody had any more when it last looked.
    gone: tuple[str, ...] = ()
    #: A record of its own that it may still write, where it stood still in the middle of renewing it.
    late: str = ""

    @property
    def name(self) -> str:
        """The name of its record now."""
        return self.names[0]

    def outside(self, late: str = "") -> Redis:
        """It begins again, under another name."""
        return Redis(self.names[1:], late=late or self.late)


@dataclass(frozen=True)
class World:
    """All of them, and the records in S3 by name: state, and whether it has been silent for long."""

    all: tuple[Redis, ...]
    records: frozenset[tuple[str, Standing, bool]] = frozenset()

    def with_one(self, number: int, one: Redis) -> World:
        """The same, with one of them as it is now."""
        return replace(self, all=(*self.all[:number], one, *self.all[number + 1 :]))

    def put(self, name: str, state: Standing) -> World:
        """A record written."""
        return replace(self, records=self.delete(name).records | {(name, state, False)})

    def delete(self, *names: str) -> World:
        """Records removed."""
        return replace(self, records=frozenset(record for record in self.records if record[0] not in names))

    def rivals(self, name: str) -> list[Rival]:
        """The others' records as one sees them."""
        return [
            Rival(other, RECORD.model_copy(update={"state": state}), None, 1000 if is_silent else 0, beats=False)
            for other, state, is_silent in self.records
            if other != name
        ]


def steps(world: World) -> Iterator[World]:
    """What may happen next: a step of one of them, or one that is silent for so long that its lease has run out."""
    for number, one in enumerate(world.all):
        if one.late:
            yield world.put(one.late, Standing.HOLDER).with_one(number, replace(one, late=""))
        if not one.names:
            continue
        yield from silences(world, number, one)
        match one.at:
            case "outside":
                if next_step(world.rivals(one.name), "", raised=False) is Step.GO_ON:
                    yield world.with_one(number, replace(one, at="free"))
            case "free":
                yield world.put(one.name, Standing.CANDIDATE).with_one(number, replace(one, at="raised"))
            case "raised":
                yield from look_again(world, number, one)
            case "alone":
                after = world.delete(*one.gone).put(one.name, Standing.HOLDER)
                yield after.with_one(number, one.outside() if one.is_late else replace(one, at="holder", holds=True))
            case "holder":
                yield world.put(one.name, Standing.LEFT).with_one(number, one.outside())


def look_again(world: World, number: int, one: Redis) -> Iterator[World]:
    """The look after the flag was raised, which decides."""
    step = next_step(world.rivals(one.name), one.name, raised=True)
    if one.name not in {name for name, _, _ in world.records}:  # taken for gone meanwhile
        yield world.with_one(number, one.outside())
    elif step is Step.GO_ON:
        gone = tuple(sorted(rival.name for rival in world.rivals(one.name)))
        yield world.with_one(number, replace(one, at="alone", gone=gone))
    elif step is Step.STEP_BACK:
        yield world.delete(one.name).with_one(number, one.outside())


def silences(world: World, number: int, one: Redis) -> Iterator[World]:
    """Killed, frozen or cut off for so long that its record looks old; it may go on from where it was."""
    records = frozenset((name, state, is_silent or name == one.name) for name, state, is_silent in world.records)
    if records != world.records:
        after = one.outside(late=one.name) if one.at == "holder" else replace(one, is_late=True)
        yield replace(world.with_one(number, after), records=records)


@pytest.mark.parametrize(
    "names", [(("a", "d", "e"), ("b", "c", "f")), (("a", "e"), ("b",), ("c",)), (("c", "a"), ("b",), ("d",))]
)
def test_no_order_of_steps_lets_two_hold_it(names: tuple[tuple[str, ...], ...]) -> None:
    """From every state that can be reached, with every one paused, killed or back at any point: one holder at most."""
    first = World(tuple(map(Redis, names)))
    reached, waiting = {first}, [first]
    while waiting:
        world = waiting.pop()
        assert sum(one.holds for one in world.all) <= 1, world
        for after in steps(world):
            if after not in reached:
                reached.add(after)
                waiting.append(after)
    assert len(reached) > 500
    for number in range(len(names)):
        assert any(world.all[number].holds for world in reached)
