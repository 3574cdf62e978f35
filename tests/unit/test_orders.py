"""What people type on the dashboard: a budget is never taken for more than was meant; counts, and places of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.dashboard.acts.orders import FIELDS, amount, request_of
from restyle.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "credits"),
    [("", None), ("  ", None), ("75", 75.0), (" 12.50 ", 12.5), (".5", 0.5), ("1,000", 1000.0), ("12,500.5", 12500.5)],
)
def test_amounts(text: str, credits: float | None) -> None:
    """With a point before the fraction, and commas between thousands if at all."""
    assert amount(text) == credits


@pytest.mark.parametrize("text", ["12,50", "0,5", "0,500", "1,00,000", "1.000,50", "12,", ",5"])
def test_a_comma_elsewhere_is_refused(text: str) -> None:
    """Half of the world writes 12,50 for what is 12.50 here: read as 1250, the run would spend a hundredfold."""
    with pytest.raises(ConfigurationError, match=r"a comma parts thousands, as in 1,000: write 12\.50 with a point"):
        amount(text)


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "1e3", "1_000", "much", "5 5", "9" * 60, "\u0661", "."])
def test_what_is_no_amount(text: str) -> None:
    """Whatever Python would make of it."""
    with pytest.raises(ConfigurationError, match=r"it is a number of credits above 0$"):
        amount(text)


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "\u0663", "1" * 11, "0" * 11 + "1" + "9" * 5000])
def test_no_count(count: str) -> None:
    """What is no number of entries."""
    with pytest.raises(ConfigurationError, match="it is a number from 1 on"):
        request_of({"manifest": "s3://b/m.csv", "limit": count}, folder=None)


@pytest.mark.parametrize("place", ["a prompt " * 100, "x" * 5000, "a\0b", "../x", "/etc/passwd", "loop"])
def test_a_place_that_is_none(place: str, tmp_path: Path) -> None:
    """Whatever is typed in the field of the manifest is answered in a sentence."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigurationError, match="is no s3:// address"):
        request_of({"manifest": place}, folder=tmp_path)


def test_places(tmp_path: Path) -> None:
    """In S3, however the scheme is written; and below the folder."""
    (tmp_path / "m.csv").touch()
    assert request_of({"manifest": "S3://b/M.csv"}, folder=None).manifest == "s3://b/M.csv"
    assert request_of(dict.fromkeys(FIELDS, "") | {"manifest": "m.csv"}, folder=tmp_path).manifest == "m.csv"
