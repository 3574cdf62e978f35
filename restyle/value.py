"""What all models are: values that are compared by what they hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer

#: RFC 3339 in UTC with a `Z`, the one form of stored times.
UtcTime = Annotated[
    datetime, PlainSerializer(lambda t: t.astimezone(UTC).isoformat().replace("+00:00", "Z"), return_type=str)
]


class Value(BaseModel):
    """A frozen value whose unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """What another version of restyle may have written: keys that this one does not know are passed over.

        Not for what may be part of a request, such as a run's options: there an unknown key is an error.

        Raises:
            ValidationError: it is no such value.
        """
        return cls.model_validate_json(text, extra="ignore")
