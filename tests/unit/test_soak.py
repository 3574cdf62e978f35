"""The soak's page: its block takes the place of the last one, and says what was paid twice and what grew."""

from __future__ import annotations

from tests.soak.page import BEGIN, CHARTS, END, PAGE, Figures, growth, with_block

FIGURES = Figures(
    date="2026-01-31", minutes=20.0, workers=2, concurrency=8, jobs=9_990, runs=12, nights=9, paid=9_992, excused=5,
    failed=0, in_doubt=2, strikes={"worker killed": 7}, versions=["this version", "v0.1.0"], load=3.0,
)  # fmt: skip
FIELDS = ("minutes", *(field for _, _, series in CHARTS for field in series.values()))


def test_a_block_replaces_the_last_one() -> None:
    """What stands around it stays; each chart is there once."""
    page = PAGE.read_text(encoding="utf-8")
    samples = [dict.fromkeys(FIELDS, float(number)) for number in range(30)]
    again = with_block(with_block(page, FIGURES, samples), FIGURES, samples)
    assert again == with_block(page, FIGURES, samples)
    assert again.partition(BEGIN)[0] == page.partition(BEGIN)[0]
    assert again.partition(END)[2] == page.partition(END)[2]
    assert "| paid twice | 2, of 5 calls that were out as their worker was killed |" in again
    assert all(again.count(f"images/soak-{name}.svg") == 1 for name, _, _ in CHARTS)


def test_growth_is_no_slow_start() -> None:
    """What rises in the first third counts for nothing, what rises after it does."""
    assert growth([*range(10), *[10] * 30]) == (10, 10)
    assert growth(range(30)) == (10.5, 28)
