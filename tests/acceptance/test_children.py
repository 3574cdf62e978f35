"""What the processes that a command starts have of its secrets: each its own, and none leaves its memory in a core."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import write_catalog
from tests.support.command import Command, processes_with
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

#: Secrets by who uses them.
MAIL, TOKEN, S3_SECRET, ELSEWHERE = "the-mail-servers", "the-dashboards-token", "s3-somewhere-else", "of-nobody-here"
SECRETS = {
    "RESTYLE_SMTP_PASSWORD": MAIL, "RESTYLE_NOTIFY_SECRET": MAIL, "RESTYLE_DASHBOARD_TOKEN": TOKEN,
    "RESTYLE_DASHBOARD_VIEW_TOKEN": f"{TOKEN}-to-look", "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_ACCESS_KEY_ID": "AK",
    "SEGMIND_API_KEY": "SG_of_another_account", "DATABASE_PASSWORD": ELSEWHERE,
}  # fmt: skip
SCHEDULE = """[[schedule]]
name = "nightly"
cron = "0 3 1 1 *"
time_zone = "UTC"
manifest = "s3://shop/catalog/"
prompt = "{id}"
"""

#: What is known of a process by the words that it was started with.
KINDS = {
    "valkey": b"valkey-server", "s3": b"rclone", "keeper": b"apps.stack.keeper", "sandbox": b"apps.sandbox",
    "supervisor": b"workers.supervisor", "worker": b"workers.main", "beat": b"workers.beat", "dashboard": b"dashboard",
}  # fmt: skip


def kinds(folder: Path) -> dict[str, list[Path]]:
    """The processes of a folder, by what they are."""
    several: dict[str, list[Path]] = {}
    for pid in processes_with(str(folder)):
        place = Path(f"/proc/{pid}")
        words = (place / "cmdline").read_bytes()
        kind = next((name for name, word in KINDS.items() if word in words), "other")
        several.setdefault(kind, []).append(place)
    return several


def who_has(text: str, several: dict[str, list[Path]]) -> set[str]:
    """The kinds of processes that have a text in the environment that they were started with."""
    return {kind for kind, places in several.items() for place in places if text.encode() in environ(place)}


def environ(place: Path) -> bytes:
    """The environment of a process."""
    return (place / "environ").read_bytes()


def leave_no_core(several: dict[str, list[Path]], *names: str) -> None:
    """Checks that no core is written of these, to a file or to a program."""
    for name in names:
        for place in several[name]:
            (line,) = (line for line in (place / "limits").read_text().splitlines() if line.startswith("Max core"))
            assert line.split()[4:6] == ["0", "0"], name
            assert int((place / "coredump_filter").read_text(), 16) == 0, name


@pytest.mark.long
def test_each_child_of_a_run_has_its_own_secrets(alone: Alone, sandbox: SandboxServer) -> None:
    """Servers and keepers have none, workers those that they use, a sandbox's worker not the paid key."""
    write_catalog(alone.folder, 2)
    command = Command(alone.folder, {**alone.command.env, **SECRETS, "RESTYLE_PROCESSES": "2"})
    words = ("run", "manifest.csv", "--variants", "variants.json", "--yes", "--detach", "--concurrency", "2")
    command(*words)
    command(*words, "--sandbox")
    several = having(alone.folder, worker=4)
    assert several.keys() == {"valkey", "s3", "keeper", "sandbox", "supervisor", "worker"}
    ours = {"supervisor", "worker"}
    assert who_has(sandbox.api_key, several) == who_has(MAIL, several) == who_has(S3_SECRET, several) == ours
    assert who_has(TOKEN, several) == set()
    assert who_has("SG_of_another_account", several) == set()
    assert who_has(ELSEWHERE, several) == ours
    with_key = [place for place in several["worker"] if sandbox.api_key.encode() in environ(place)]
    assert len(with_key) == 2, "the sandbox's worker has the paid API's key"
    leave_no_core(several, "valkey", "s3", "keeper", "sandbox", "supervisor", "worker")
    command("stop")


@pytest.mark.long
def test_a_beat_and_a_dashboard(fleet: FleetOf) -> None:
    """A beat has no key and sends nothing; neither leaves a core, nor does Celery's own command.

    A worker says where its key goes in clear.
    """
    folder, env = fleet.command.folder, fleet.command.env
    (folder / "restyle.toml").write_text(SCHEDULE)
    command = Command(folder, {**SECRETS, **env})
    dashboard = ("dashboard", "--port", "0")
    # An address that is this machine's, and not by its usual name: nothing leaves it.
    elsewhere = fleet.with_settings(RESTYLE_API_URL="http://127.0.0.2:1/v1/sdxl-img2img")
    with command.started("beat"), command.started(*dashboard), elsewhere.worker(plain=True):
        several = having(folder, beat=1, dashboard=1, worker=1)
        for secret in (MAIL, TOKEN, "SG_of_another_account", env["RESTYLE_API_KEY"]):
            assert "beat" not in who_has(secret, several), secret
        assert "beat" in who_has(env["AWS_SECRET_ACCESS_KEY"], several)
        wait_until(lambda: sealed(several), timeout=20, description="processes that leave no core")
        (log,) = folder.glob("worker-*.log")
        wait_until(lambda: "sent in clear" in log.read_text(), timeout=20, description="a word on the key")


def having(folder: Path, **counts: int) -> dict[str, list[Path]]:
    """Waits until there are so many processes of these kinds; all of them."""

    def look() -> dict[str, list[Path]] | None:
        several = kinds(folder)
        return several if all(len(several.get(name, [])) == count for name, count in counts.items()) else None

    return wait_until(look, timeout=40, description=f"processes: {counts}")


def sealed(several: dict[str, list[Path]]) -> bool:
    """Whether all of them leave no core: each does soon after its start."""
    try:
        leave_no_core(several, *several)
    except AssertionError:
        return False
    return True
