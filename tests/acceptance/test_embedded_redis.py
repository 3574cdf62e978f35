"""The embedded stack whose Valkey refuses or is gone: the command says so, goes on, and ends."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
import redis

from tests.acceptance.conftest import Alone
from tests.acceptance.test_interrupt import RUN, some_calls
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.command import processes_with
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


def server(alone: Alone) -> dict[str, Any]:
    """What the embedded Valkey's keeper says of it."""
    story: dict[str, Any] = json.loads((alone.folder / ".restyle/run/valkey.json").read_text())
    return story


@pytest.mark.long
def test_a_run_sits_out_a_valkey_that_refuses(alone: Alone, sandbox: SandboxServer) -> None:
    """`restyle run` quotes it once, and once more says that it is over; paid calls = jobs, nothing is in doubt."""
    write_catalog(alone.folder, 24)
    sandbox.control(latency=0.5)
    with alone.command.started(*RUN, "--json") as process:
        some_calls(sandbox)
        with redis.Redis.from_url(server(alone)["redis_url"]) as line:
            line.config_set("min-replicas-to-write", 1)
            wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=30, description="calls in flight to end")
            Clock(2.5).wait()  # a look of the command at Redis falls into this
            line.config_set("min-replicas-to-write", 0)
        out, err = process.communicate(timeout=60)
    done = json.loads(out)
    assert process.returncode == 0, err
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (24, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (24, {})
    assert err.count("Redis refuses writes: NOREPLICAS") == 1, err
    assert err.count("Redis takes writes again") == 1, err


@pytest.mark.long
def test_a_stack_without_its_valkey_is_stopped(alone: Alone, sandbox: SandboxServer) -> None:
    """`restyle stop` ends what is left in bounded time, and says so."""
    write_catalog(alone.folder, 40)
    sandbox.control(latency=0.5)
    alone.command(*RUN, "--detach")
    some_calls(sandbox)
    (valkey,) = [pid for pid in processes_with(str(alone.folder)) if "valkey" in name_of(pid)]
    os.kill(valkey, signal.SIGKILL)
    began = time.monotonic()
    assert "Stopped." in alone.command("stop").err
    assert time.monotonic() - began < 30
    assert processes_with(str(alone.folder)) == []


def name_of(pid: int) -> str:
    """The name of a process."""
    with open(f"/proc/{pid}/comm") as file:  # noqa: PTH123 - no file of a disk
        return file.read()
