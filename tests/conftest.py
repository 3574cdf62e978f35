"""Fixtures of all tiers: a clean environment, and real servers that are started once."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings

from restyle.coordination.redis.client import State
from tests.support.chosen import ACCESS, Access, access_in
from tests.support.sandbox import SandboxServer, running_sandbox
from tests.support.sentinels import PASSWORD, watched
from tests.support.servers import S3, Valkey, read_descriptions_once, running_s3, running_valkey

#: How the names of settings begin.
OF_A_PERSON = ("RESTYLE_", "SEGMIND_", "AWS_")

# How fast examples are made says something of the machine, not of the code. They are the same each time, so that a test
# that fails does so for whoever runs it; `make acceptance` draws others.
settings.register_profile(
    "restyle", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow],
    derandomize="RANDOM_EXAMPLES" not in os.environ,
)  # fmt: skip
settings.load_profile("restyle")


# What was imported and collected stays: Python's looks for garbage among it would be a tenth of the unit tests' CPU.
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish() -> None:
    """Takes what there is by now out of the collector's sight."""
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests reaches them, and each has a folder of its own to begin in."""
    for name in list(os.environ):
        if name.startswith(OF_A_PERSON):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One Valkey for all tests that do not hurt it."""
    folder = tmp_path_factory.mktemp("valkey")
    if ACCESS == "sentinel":
        with watched(folder) as servers:
            access = Access(login=f":{quote(PASSWORD)}@", settings=servers.env)
            yield Valkey(folder, servers.primary(), access=access)
        return
    with running_valkey(folder, access=access_in(folder / "access")) as server:
        yield server


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """The shared Valkey, emptied."""
    state = State(valkey.admin_url, namespace="", account="")
    state.ask("FLUSHALL")
    state.close()
    return valkey.url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """One S3 server for all tests that do not hurt it."""
    read_descriptions_once()
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A sandbox of the API with nothing wrong with it."""
    with running_sandbox(wait_for_end=False) as server:
        yield server
