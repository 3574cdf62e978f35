"""What spreadsheets compute or change is guarded by an apostrophe, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.manifest.cells.formulas import guarded, unguarded


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+49", "-5", "@home", "0017", "007", "4006381333931", "1e5",
        "4.00638E+12", "1-2", "3/4", "12:30", "1.10",
        "1,000", "$5", "5%", "MAR1", "Sept 2", "1. Mai", "2026-01-31", "31.01.2026",
        "true", "FALSE", "wahr", "00", "12e45",
    ],
)  # fmt: skip
def test_what_a_spreadsheet_changes(text: str) -> None:
    """Lost zeros, shortened numbers, days, sums and truths."""
    assert guarded(text) == f"'{text}"
    assert unguarded(f"'{text}") == text


@pytest.mark.parametrize(
    "text", ["", "0", "17", "1048576", "mug-17", "March of oak", "a1", "1a", "s3://b/1.jpg", "c88000443af732c6"]
)
def test_what_stays_as_it_is(text: str) -> None:
    """Plain numbers and words are not touched."""
    assert guarded(text) == text


@given(st.text(max_size=80) | st.from_regex(r"'*[0-9=.,eE+/-]{1,20}", fullmatch=True))
def test_any_text_comes_back(text: str) -> None:
    """Whatever is guarded is read back as it was."""
    assert unguarded(guarded(text)) == text
