"""The API key appears nowhere: not in what a failing run prints, logs, stores or queues, nor in the process list."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer, running_sandbox
from tests.support.servers import Valkey
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

KEY = "SG_verysecretkey0123456789"


def files_with(folder: Path, text: str) -> list[Path]:
    """Every file below a folder that has the text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def command_lines_with(text: str) -> list[str]:
    """Every process whose command line has the text."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in words:
            found.append(words.decode(errors="replace"))
    return found


@pytest.mark.long
def test_a_failing_run_leaves_no_key_behind(alone: Alone) -> None:
    """Every fault at once, at the most talkative level: no file, no stream and no process has the key."""
    write_catalog(alone.folder, 12)
    with running_sandbox(api_key=KEY) as server:
        server.control(
            rates={"500": 0.2, "400": 0.2, "reset": 0.2, "garbage": 0.1, "truncated": 0.1}, latency=0.2
        )  # fmt: skip
        env = {**alone.command.env, "RESTYLE_API_URL": server.url, "RESTYLE_API_KEY": KEY, "RESTYLE_LOG_LEVEL": "debug"}
        command = type(alone.command)(alone.folder, env)
        with command.started("run", "manifest.csv", "--variants", "variants.json", "--yes") as process:
            wait_until(lambda: server.calls > 3, timeout=60, description="calls")
            assert command_lines_with(KEY) == []
            told = "".join(process.communicate(timeout=90))
        assert KEY not in told
        for words in (("runs",), ("status",), ("config",), ("doctor",)):
            assert KEY not in str(command(*words, expect=None))
        wrong = type(alone.command)(alone.folder, {**env, "RESTYLE_API_KEY": f"{KEY}x"})
        refused = wrong("run", "manifest.csv", "--prompt", "{id} again", "--yes", expect=3)
        assert KEY not in str(refused)
    assert files_with(alone.folder, KEY) == []


def test_no_message_or_key_of_redis_has_it(fleet: FleetOf, valkey: Valkey, sandbox: SandboxServer) -> None:
    """No command that Valkey was sent tells the key, while jobs are queued and in flight."""
    write_catalog(fleet.command.folder, 12)
    fleet = FleetOf(
        type(fleet.command)(fleet.command.folder, {**fleet.command.env, "RESTYLE_API_KEY": KEY}), fleet.store,
        fleet.workspace,
    )  # fmt: skip
    sandbox.control(latency=1)
    with fleet.worker():
        fleet.command("submit", "manifest.csv", "--prompt", "{id}", "--yes")
        wait_until(lambda: sandbox.counters()["in_flight"] > 0, timeout=40, description="a call")
        time.sleep(1.1)  # Valkey writes each command to its file within a second
        assert files_with(valkey.folder, "restyle.image")
        assert files_with(valkey.folder, KEY) == []
    assert files_with(fleet.command.folder, KEY) == []
