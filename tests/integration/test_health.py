"""What a process tells of itself, where a part of it is away or its address is taken."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from config.address import Address, read_address
from restyle.coordination.claim_types import Limits
from restyle.coordination.redis.client import State
from restyle.errors import ConfigurationError
from tests.support.servers import running_s3
from workers.gauges import Gauges
from workers.health import Health, connection_checks, examine


def test_readiness_names_the_part_that_is_away(redis_url: str, tmp_path: Path) -> None:
    """With S3 away the answer is 503 and says so, and Redis is well; what was seen holds for a few seconds."""
    state = State(redis_url, namespace="restyle:x:", account="")
    with running_s3(tmp_path) as s3:
        store, workspace = s3.store, s3.workspace
        checks = connection_checks(state, store, workspace)
        assert examine(checks) == (200, {"redis": "ok", "s3": "ok"})
        s3.kill()
        assert examine(checks)[0] == 200
        status, told = examine(connection_checks(state, store, workspace))
        s3.start()
    assert (status, told["redis"]) == (503, "ok")
    assert "S3 cannot be reached" in told["s3"]
    store.close()
    state.close()


def test_an_address_that_is_taken_is_told_at_the_start(redis_url: str) -> None:
    """Two processes cannot have one address: the second says which setting to change."""
    state = State(redis_url, namespace="restyle:x:", account="")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gauges = Gauges(state, Limits(), account=None)
        with pytest.raises(
            ConfigurationError, match=rf"RESTYLE_HEALTH_ADDRESS: 127.0.0.1:{port} cannot be listened on"
        ):
            Health(Address("127.0.0.1", port), lives=lambda: None, ready={}, gauges=gauges)
    state.close()


@pytest.mark.parametrize("text", ["9808", ":9808", "host", "host:", "host:port", "host:70000"])
def test_an_address_has_a_host_and_a_port(text: str) -> None:
    """Anything else is refused with the form that is wanted; nothing listens on all addresses by accident."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        read_address(text)
