"""One job in memory, for each test of a step of its way."""

from __future__ import annotations

import pytest

from tests.support.one_job import OneJob


@pytest.fixture
def one() -> OneJob:
    """A worker's tools in memory, and an input."""
    return OneJob()
