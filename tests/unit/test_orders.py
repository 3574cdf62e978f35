"""Amounts that people type on the dashboard: a budget is never taken for more than was meant."""

from __future__ import annotations

import pytest

from apps.dashboard.acts.orders import amount
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
