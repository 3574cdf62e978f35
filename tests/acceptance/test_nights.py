"""A night costs what changed, with the real commands and a worker of two processes, in the small."""

from __future__ import annotations

import pytest

from bench.nights import night


@pytest.mark.long
def test_a_night_costs_what_changed() -> None:
    """2,000 pictures of which 20 were replaced: 20 calls, and as many requests as listings and results need, and those."""
    found = night(2000, 20)
    assert found["calls"] == 20
    assert found["requests"] <= 4 + 10 * 20 + 1000, found["counts"]
    assert found["redis_mb"] < 64
