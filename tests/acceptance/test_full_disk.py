"""The disk under the embedded stack is full for a while: said in words, nothing paid twice, and the run goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone, on Linux")
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    """Leaves no room at all."""
    with (disk / "fill").open("ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue


def test_a_full_disk_is_said_and_sat_out(alone: Alone, sandbox: SandboxServer, small_disk: Path) -> None:
    """No new call begins, what is paid for is stored once there is room, and status has no traceback."""
    write_catalog(alone.folder, 24)
    sandbox.control(latency=0.3)
    here = type(alone.command)(alone.folder, {**alone.command.env, "RESTYLE_HOME": str(small_disk / "home")})
    words = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--concurrency", "4", "--json")
    with here.started(*words) as process:
        wait_until(lambda: sandbox.charged >= 6, timeout=60, description="a run that is under way")
        fill(small_disk)
        wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=30, description="the end of the calls")
        paid = sandbox.charged
        here("status", expect=None)
        assert sandbox.charged <= paid + 4
        (small_disk / "fill").unlink()
        _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "disk" in err
    assert (sandbox.charged, sandbox.paid_twice) == (24, {})
