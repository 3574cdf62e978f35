"""What a result is recognised by: the request in a few digits, and the input's bytes."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Literal

from pydantic import Field

from restyle.value import Value


class Preparation(Value):
    """How inputs are prepared; part of the fingerprint, so frozen in the plan."""

    recipe: Literal[1] = 1
    max_side: int = Field(1024, ge=0)
    """Longest side sent, in pixels; 0 sends every picture as it is."""
    background: str = "white"
    """What alpha is laid on: a colour name or #rrggbb."""


#: A JSON value in the one form that is hashed.
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def digest(value: object) -> str:
    """A stable 32-hex-digit hash of a JSON value."""
    return digest_of(canonical(value))


def digest_of(text: str) -> str:
    """The same of a JSON value that is written already."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Fingerprint(Value):
    """What a result was made from. Two jobs with equal fingerprints need one call between them."""

    etag: str
    sha256: str
    request: str
    """Hash of the parameters as sent, the model's slug and the preparation."""

    @property
    def token(self) -> str:
        """The short form that outputs carry as user metadata: of the bytes and the request."""
        return _token(self.sha256, self.request)


@functools.lru_cache(maxsize=1024)
def _token(sha256: str, request: str) -> str:
    """Asked for several times in a job; a cached property would go along with a copy that has another request."""
    return digest([sha256, request])
