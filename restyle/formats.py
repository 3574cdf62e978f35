"""The format of all that is stored, in S3 and in Redis: one number, and the one place that looks at it.

It is raised when an earlier version would misread what this one writes; keys that are merely new do not raise it. What
bears a later number is neither read nor called for: the error says where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import BeforeValidator

from restyle.errors import RunUnreadable

#: What this version writes, and the latest that it reads.
FORMAT = 1


class NewerFormat(RunUnreadable):
    """A later version of restyle wrote it."""

    code = "newer_format"

    def __init__(self, fact: str, known: int) -> None:
        super().__init__(
            f"{fact}, and this version reads up to {known}: a later one wrote it. Nothing was spent;"
            " go on with that version"
        )
        self._known = known
        self._fact = fact

    def of(self, place: str) -> NewerFormat:
        """The same, with the place where it was met."""
        return NewerFormat(f"{place}: {self._fact}", self._known)


def check(number: object) -> object:
    """The number, unchanged; whether it is one at all is for others to say.

    Raises:
        NewerFormat: a later version of restyle wrote what bears it.
    """
    if isinstance(number, int | float) and number > FORMAT:
        raise NewerFormat(f"it has format {number:g}", FORMAT)
    return number


#: The number that a value bears in S3.
SchemaVersion = Annotated[Literal[1], BeforeValidator(check)]


@contextmanager
def lying_at(uri: str) -> Iterator[None]:
    """Says in the error where the value lies.

    Raises:
        NewerFormat: as within, with the place.
    """
    try:
        yield
    except NewerFormat as error:
        raise error.of(uri) from None
