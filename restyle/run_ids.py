"""How runs are named: their ids, the names and labels that people give them, and the schedule in an id."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

#: Begins with no digit, as ids of runs do, so that none is taken for the beginning of one.
_RUN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9_.-]{1,64}")


#: What stands for the newest run where one is named.
LATEST = "latest"


#: Labels of a run, and characters of one's value.
MAX_LABELS, MAX_LABEL = 20, 100


def check_run_name(name: str) -> str:
    """A run's name, unchanged; empty: it has none.

    Raises:
        ValueError: it cannot be one; the message is the reason.
    """
    if name and (not _RUN_NAME.fullmatch(name) or name == LATEST):
        raise ValueError(
            f"a run's name is 1-64 of A-Z a-z 0-9 _ . -, begins with a letter or _, and is not {LATEST!r}:"
            f" {name[:80]!a}"
        )
    return name


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """The labels of a run, unchanged.

    Raises:
        ValueError: one of them cannot be one, or there are too many; the message is the reason.
    """
    if len(labels) > MAX_LABELS:
        raise ValueError(f"a run has {MAX_LABELS} labels at most, not {len(labels)}")
    for name, value in labels.items():
        if not _LABEL.fullmatch(name):
            raise ValueError(f"a label's name is 1-63 of A-Z a-z 0-9 _ . - and begins with a letter: {name[:80]!a}")
        if not (value.strip() == value != "" and len(value) <= MAX_LABEL and value.isprintable()):
            raise ValueError(f"the value of label {name} is 1-{MAX_LABEL} printable characters: {value[:120]!a}")
    return labels


def new_run_id(now: datetime, name: str = "") -> str:
    """A sortable run id: the time, and a schedule's name or six random hex digits."""
    return f"{now:%Y%m%dT%H%M%SZ}-{name or secrets.token_hex(3)}"


def schedule_of(run_id: str) -> str:
    """The schedule that a run's id names, where one started it."""
    return run_id.partition("-")[2]


def is_run_id(text: str) -> bool:
    """Whether the text has the form of a run id, so that it can be part of a key."""
    return _RUN_ID.fullmatch(text) is not None
