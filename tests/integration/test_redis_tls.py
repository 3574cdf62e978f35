"""Redis over TLS: neither door to it, ours or Celery's, speaks to a server that it has no reason to trust."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from config.celery_app import make_celery
from config.settings import Settings
from restyle.coordination.redis.client import State
from restyle.errors import StateUnavailable
from tests.support.certificates import write_localhost
from tests.support.tls import tls_before


@pytest.fixture
def addresses(redis_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """One server: as somebody who knows its certificate reaches it, as a stranger does, and by a wrong name."""
    certificate, key = write_localhost(tmp_path)
    place = urlsplit(redis_url)
    with tls_before(place.port or 0, certificate, key) as port:
        trusted = f"?ssl_ca_certs={certificate}"
        yield {
            "known": f"rediss://localhost:{port}{place.path}{trusted}",
            "unknown": f"rediss://localhost:{port}{place.path}",
            "misnamed": f"rediss://127.0.0.1:{port}{place.path}{trusted}",
        }


def by_us(address: str) -> None:
    """A command through our own door."""
    state = State(address, namespace="restyle:00000000:", account="0")
    try:
        state.ping()
        assert state.run("suspend", reason="operator", detail="", by="test", workspace_in_s3="", cause="") in {0, 1}
        state.run("resume")
    finally:
        state.close()


def by_celery(address: str) -> None:
    """A connection as Celery makes it for workers, and for whoever sends messages."""
    app = make_celery(Settings(redis_url=SecretStr(address), workspace="s3://bucket/prefix"))
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)


@pytest.mark.parametrize("reach", [by_us, by_celery])
def test_who_is_known_is_spoken_to(addresses: dict[str, str], reach: Callable[[str], None]) -> None:
    """The certificate of the address's own `ssl_ca_certs` is trusted."""
    reach(addresses["known"])


@pytest.mark.parametrize("name", ["unknown", "misnamed"])
@pytest.mark.parametrize("reach", [by_us, by_celery])
def test_strangers_are_not(addresses: dict[str, str], reach: Callable[[str], None], name: str) -> None:
    """Neither a certificate that nobody vouches for, nor one of another name."""
    with pytest.raises((StateUnavailable, OperationalError), match="certificate verify failed"):
        reach(addresses[name])


def test_silence_ends_in_time_by_tls_too(addresses: dict[str, str], redis_url: str) -> None:
    """Python's TLS takes the system's time limits for interruptions, so the limit must be its own."""
    state, client = (
        State(addresses["known"], namespace="restyle:00000000:", account="0"),
        redis.Redis.from_url(redis_url),
    )
    state.redis.connection_pool.connection_kwargs["socket_timeout"] = 0.5
    state.ping()
    client.client_pause(1500)
    began = time.monotonic()
    with pytest.raises(StateUnavailable, match="cannot be reached"):
        state.ping()
    assert 0.4 < time.monotonic() - began < 1.4
    client.client_unpause()
    state.ping()
    client.close()
    state.close()
