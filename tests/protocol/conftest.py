"""Clients of a real Valkey."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from tests.protocol.places import (
    WORKSPACE,
)
from tests.support.timelapse import Timelapse


@pytest.fixture
def state(redis_url: str) -> Iterator[Timelapse]:
    """A client of a real Valkey, whose scripts' clock ticks at each look: events have an order.

    It is ahead of the workers' own, so that a beginning that a heartbeat tells is before all of them.
    """
    soon = time.time() + 300
    state = Timelapse(redis_url, namespace=WORKSPACE.namespace, account="account", now=soon, step=1)
    yield state
    state.close()


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """The same, for bytes that are no text."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()
