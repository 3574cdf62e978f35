"""An HTTP answer as it came, and its words as they can be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

#: Characters of somebody else's words that are quoted.
MOST_TEXT = 300


class Reply(NamedTuple):
    """What came back, however it is to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: How long it took.
    seconds: float


def quoted(text: str, api_key: str = "") -> str:
    """Somebody else's words as one line of ours: short, printable, and without the key."""
    if api_key:
        text = text.replace(api_key, "***")
    text = re.sub(r"SG_[0-9A-Za-z]{8,}", "SG_***", text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
