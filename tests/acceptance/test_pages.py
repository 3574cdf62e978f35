"""The commands of the tutorial and of the guides, typed into a shell as they are written."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_catalog
from tests.support.command import Command
from tests.support.sandbox import SandboxServer
from tests.support.servers import free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
#: What the tutorial begins with: an installation of its own, which the tests have already.
INSTALLATION = ["make demo", ". .venv/bin/activate"]


def commands(page: str) -> list[str]:
    """The lines of a page's shell blocks."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def shell(command: Command, lines: list[str], *, timeout: float = 280) -> str:
    """Types lines into one shell that ends at the first failure; answers with all that was printed."""
    env = {**command.environment, "PATH": f"{Path(sys.executable).parent}:{command.environment['PATH']}"}
    process = subprocess.Popen(
        ["/bin/bash", "-e"], cwd=command.folder, env=env, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = process.communicate("\n".join(lines) + "\n", timeout=timeout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
    assert process.returncode == 0, said
    return said


@pytest.fixture
def clone(tmp_path: Path) -> Command:
    """Where a reader stands after the installation: a shell without settings in a clone of the repository."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return Command(tmp_path)


@pytest.mark.long
def test_the_tutorial(clone: Command) -> None:
    """From a folder of pictures to a manifest, a change, a failure and its mending."""
    lines = commands("tutorial.md")
    assert lines[: len(INSTALLATION)] == INSTALLATION
    said = shell(clone, lines[len(INSTALLATION) :])
    told = re.findall(r"finished +(\d+) succeeded · (\d+) skipped · (\d+) failed", said)
    # A folder; 2 entries; the other 10; one style anew and two styles of one picture; a broken picture; mended.
    assert told[0] == ("12", "0", "0")
    assert [told[1], told[2]] == [("6", "0", "0"), ("30", "6", "0")]
    assert told[3] == ("14", "22", "0")
    assert told[4] == ("0", "33", "3")
    assert told[5] == ("3", "33", "0")
    assert "exit code 1" in said
    assert len(list((clone.folder / "shop" / "restyled").rglob("*.jpg"))) == 12


@pytest.mark.long
def test_a_fleet_by_the_guide(clone: Command) -> None:
    """Servers, settings, two workers, a run, and its pictures."""
    text = "\n".join(commands("guides/fleet.md"))
    for port in ("6390", "6391", "6392"):
        assert port in text
        text = text.replace(port, str(free_port()))
    said = shell(clone, text.splitlines())
    assert "2 workers" in said
    assert "36 succeeded" in said
    assert len(list((clone.folder / "restyled").rglob("*.jpg"))) == 36


@pytest.mark.long
def test_budgets_by_the_guide(alone: Alone, sandbox: SandboxServer) -> None:
    """Each line ends as the guide says, and the account is charged once a job."""
    write_catalog(alone.folder, 40)
    (alone.folder / "manifest.csv").rename(alone.folder / "catalog.csv")
    shutil.copy(alone.folder / "catalog.csv", alone.folder / "urgent.csv")
    (alone.folder / "variants.json").rename(alone.folder / "styles.json")
    sandbox.control(price=1)
    lines = commands("guides/budgets.md")
    # The budget is used up by the first two, the sample waits; all others go through.
    stopped = {line for line in lines if "--budget 50" in line or "--then-ask" in line}
    assert len(stopped) == 3
    command = Command(alone.folder, {**alone.command.env, "RESTYLE_PRICE": "1"})
    for line in lines:
        listed = command("runs", "--json").json["runs"]
        run_id = listed[0]["run_id"] if listed else ""
        said = shell(command, [f"{line.replace('RUN', run_id)} || echo ended with $?"])
        assert ("ended with 4" in said) == (line in stopped), said
        assert "ended with" not in said or line in stopped, said
    assert (sandbox.charged, sandbox.paid_twice) == (80, {})
