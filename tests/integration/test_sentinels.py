"""Redis found by a sentinel: both doors to it, ours and Celery's, follow a failover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES
from pydantic import SecretStr

from config.celery_app import RUNS, START_TASK, make_celery
from config.connections import open_state
from config.settings import Settings
from restyle.coordination.redis.client import patiently
from restyle.errors import ConfigurationError, StateUnavailable
from tests.support.sentinels import Watched, watched
from workers.resilient_consumer import TRANSPORTS


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Watched]:
    """A primary, a replica, and one sentinel that decides alone."""
    with watched(tmp_path, sentinels=1) as servers:
        yield servers


def settings_of(servers: Watched, **others: object) -> Settings:
    """The settings of a fleet on them."""
    given = {name.removeprefix("RESTYLE_").lower(): value for name, value in servers.env.items()}
    return Settings(**{**given, "workspace": "s3://bucket/prefix", **others})


@pytest.mark.long
def test_both_doors_follow_the_primary(servers: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before is read after; wrong names and passwords are told in words."""
    monkeypatch.setitem(TRANSPORT_ALIASES, "sentinel", TRANSPORTS["sentinel"])
    settings = settings_of(servers)
    state = open_state(settings, "account")
    state.log_in()
    assert state.run("fire", run="firing", seconds=60) == 1
    with make_celery(settings).connection_for_write() as connection:
        put_and_get(connection, "before")
        servers.fail_over(behind=0)
        with pytest.raises(connection.recoverable_connection_errors):
            put_and_get(connection, "lost")
        connection.collect()
        connection.ensure_connection(max_retries=20, interval_start=1, interval_step=0)
        put_and_get(connection, "after")
    assert patiently(Event(), state.run, "fire", run="firing", seconds=60) == 0
    state.close()

    unknown = open_state(settings_of(servers, redis_sentinel_master="nobody"), "account")
    with pytest.raises(StateUnavailable, match="no sentinel names a primary 'nobody'"):
        unknown.log_in()
    unknown.close()
    guessed = open_state(settings_of(servers, redis_sentinel_password=SecretStr("guessed")), "account")
    with pytest.raises(ConfigurationError, match="RESTYLE_REDIS_SENTINEL_PASSWORD"):
        guessed.log_in()
    guessed.close()
    # The sentinel speaks no TLS, so nobody is trusted with a question.
    secure = open_state(settings_of(servers, redis_sentinel_tls=True), "account")
    with pytest.raises(StateUnavailable, match="no sentinel names a primary"):
        secure.log_in()
    secure.close()


def put_and_get(connection: Connection, text: str) -> None:
    """A message there and back; nothing else than one of ours passes."""
    queue = connection.SimpleQueue(RUNS, serializer="json")
    queue.put([[text], {}, {}], headers={"task": START_TASK, "id": text})
    message = queue.get(timeout=5)
    message.ack()
    assert message.payload == [[text], {}, {}]
    queue.close()
