"""Where a command is started: folders of any name, streams that are closed or on a full disk."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_catalog
from tests.support.command import Command, processes_with
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "p of {id}", "--yes", "--json")


@pytest.mark.parametrize(
    "name", ["q\"uo'te\\b $HOME%d#x\nport 1\n", pytest.param("a:b,c=d/-x --y/ü日本", marks=pytest.mark.long)]
)
def test_a_folder_of_any_name(tmp_path: Path, sandbox: SandboxServer, name: str) -> None:
    """It stands in the configuration of the embedded Redis: a quote there ended it, and a line of it was obeyed."""
    folder = tmp_path / name
    folder.mkdir(parents=True)
    write_catalog(folder, 1)
    env = {"RESTYLE_API_URL": sandbox.url, "RESTYLE_API_KEY": sandbox.api_key}
    assert Command(folder, env)(*RUN).json["succeeded"] == 1
    assert (sandbox.charged, processes_with(str(tmp_path))) == (1, [])


def test_a_folder_whose_name_is_no_text(tmp_path: Path, sandbox: SandboxServer) -> None:
    """Its pictures are refused in words, by a table and as a folder."""
    folder = tmp_path / "bad\udcff\udcfename"
    folder.mkdir()
    write_catalog(folder, 1)
    there = Command(folder, {"RESTYLE_API_URL": sandbox.url, "RESTYLE_API_KEY": sandbox.api_key})
    for manifest in ("manifest.csv", "images"):
        assert "not text in UTF-8; rename it" in there("plan", manifest, "--prompt", "p", expect=2).err
    assert sandbox.charged == 0


@pytest.mark.long
def test_a_damaged_file_of_the_embedded_redis(alone: Alone, sandbox: SandboxServer) -> None:
    """As a power cut leaves it: what to do is said within seconds, can be done, and nothing is paid for again."""
    write_catalog(alone.folder, 1)
    alone.command(*RUN)
    kept = alone.folder / ".restyle" / "valkey"
    (file,) = kept.rglob("*.incr.aof")
    with file.open("ab") as changes:
        changes.write(bytes(4096))
    began = time.monotonic()
    refused = alone.command(*RUN, expect=2)
    assert f"Move {kept} away" in refused.err
    assert time.monotonic() - began < 50
    kept.rename(alone.folder / "away")
    assert alone.command(*RUN).json["skipped"] == 1
    assert sandbox.charged == 1


def test_streams_that_are_closed_or_full(alone: Alone, sandbox: SandboxServer) -> None:
    """As supervisors and full disks leave them, and files without an end: what was ordered is done, and once."""
    write_catalog(alone.folder, 1)

    def ended(streams: str, *words: str, first: str = ":") -> tuple[int, str, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", f'{first}; exec "$@" {streams}', "sh", *alone.command.argv(*words)], cwd=alone.folder,
            env=alone.command.environment, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, (streams, done.stderr)
        return done.returncode, done.stdout, done.stderr

    assert ended("<&- >&- 2>&-", *RUN) == (0, "", "")
    assert sandbox.charged == 1
    code, _, err = ended("", "runs", first="mkdir gone && cd gone && rmdir ../gone")
    assert (code, "the folder that you are in cannot be entered any more" in err) == (2, True)
    for words in (
        ("plan", "manifest.csv", "--only-ids", "/dev/zero"),
        ("try", "manifest.csv", "--prompts", "/dev/zero"),
    ):
        code, _, err = ended("", *words, first="ulimit -v 4000000")
        assert (code, "is larger than" in err) == (2, True), err
    code, _, err = ended("", "config", first="export RESTYLE_CONFIG=/dev/zero")
    assert (code, "is larger than" in err) == (2, True), err
    code, out, _ = ended("2>/dev/full", *RUN)
    assert (code, json.loads(out)["skipped"]) == (0, 1)
    code, _, err = ended(">/dev/full", "runs", "--json")
    assert code == 2
    assert "cannot be written: No space left on device" in err
    assert sandbox.charged == 1
