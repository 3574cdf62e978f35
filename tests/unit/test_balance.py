"""What counts as a balance: an amount of credits, and nothing that only looks like one."""

from __future__ import annotations

import pytest

from restyle.errors import MalformedResponse
from restyle.segmind.v1 import balance_in


def test_free_credits_count() -> None:
    """Both are spent, and either may be left out."""
    assert balance_in(b'{"credits": 0.5, "free-credits": 1}') == 1.5
    assert balance_in(b'{"credits": -2}') == -2


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"7", b'{"credits": "100"}', b'{"credits": true}', b'{"credits": null}', b'{"credits": NaN}',
     b'{"credits": 1e400}', b'{"credits": 1, "free-credits": "1"}', b'{"credits": 1e13}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_balance(body: bytes) -> None:
    """It is said to be none, and taken for none."""
    with pytest.raises(MalformedResponse):
        balance_in(body)
