"""What others have written and this repository has a copy of is what the decision that took it names."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_htmx_is_as_it_was_published() -> None:
    """The script has the hash that its decision names, and its licence lies beside it."""
    static = resources.files("apps.dashboard") / "static"
    digest = hashlib.sha256((static / "htmx.min.js").read_bytes()).hexdigest()
    assert digest in (ROOT / "docs/decisions/0034-review-room.md").read_text(encoding="utf-8")
    assert "Zero-Clause BSD" in (static / "htmx.LICENSE").read_text(encoding="utf-8")
