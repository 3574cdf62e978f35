"""How sure a claim is before its call begins: a claim that Redis loses is a call that may be paid for twice."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

#: Milliseconds that Redis gets to confirm a claim: twice what an append-only file that is written each second takes.
WITHIN_MS = 2000


class Proof(NamedTuple):
    """A command of Redis that waits until what was written before it over the same connection is safe."""

    words: tuple[str | int, ...]
    #: How many must have confirmed.
    least: int = 1


class Durability(StrEnum):
    """Where a claim must be, beside Redis's memory."""

    #: On a replica where there is one. Else Redis is trusted: with appendfsync always it answers once its disk has it,
    #: and a claim that a restart loses is put back by its worker before another is granted.
    AUTO = "auto"
    #: Nowhere.
    OFF = "off"
    #: In the append-only file, on disk.
    DISK = "disk"
    #: In the memory of a replica.
    REPLICA = "replica"

    def proof(self, replicas: int) -> Proof | None:
        """What confirms a claim on a server that so many replicas follow; None: nothing need."""
        if self is Durability.DISK:
            return Proof(("WAITAOF", 1, 0, WITHIN_MS))
        if self is Durability.REPLICA or (self is Durability.AUTO and replicas):
            return Proof(("WAIT", 1, WITHIN_MS))
        return None
