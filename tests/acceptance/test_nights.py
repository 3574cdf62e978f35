"""A night costs what changed, with the real commands and a worker of two processes, in the small."""

from __future__ import annotations

import pytest

from bench.nights import night


@pytest.mark.long
def test_a_night_costs_what_changed() -> None:
    """Of 2,000 pictures 20 were replaced: 20 calls, and requests for these and for results, beside the listings."""
    found = night(2000, 20)
    assert found["calls"] == 20
    assert found["requests"] <= 4 + 10 * 20 + 1000, found["counts"]
    assert found["redis_mb"] < 64
