"""Folders and files that take nothing, times that are none, terminals of another encoding: said in words."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from dataclasses import replace

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


def test_what_cannot_be_written_is_said(alone: Alone, sandbox: SandboxServer) -> None:
    """A run that was paid for is followed to its end; a copy that cannot be made says why, and what is there stays."""
    write_catalog(alone.folder, 3)
    (alone.folder / "file").write_text("mine")
    (alone.folder / "blocked" / ".restyle-download.jsonl").mkdir(parents=True)
    (alone.folder / "run").mkdir()
    wrong = alone.command("run", "manifest.csv", "--prompt", "p", "--yes", "--max-duration", "99999999h", expect=2)
    assert "--max-duration 99999999h" in wrong.err
    wrong = alone.command("run", "manifest.csv", "--prompt", "p", "--yes", "--download", "file/under", expect=2)
    assert "file/under" in wrong.err
    assert sandbox.charged == 0
    run = alone.command(
        "run", "manifest.csv", "--prompt", "p of {id}", "--yes", "--json", "--download", "blocked", expect=0
    )  # fmt: skip
    assert "restyle download" in run.err
    run_id = run.json["run_id"]
    for words in (
        ("download", run_id, "file"), ("download", run_id, "file/under"), ("download", run_id, "blocked"),
        ("report", run_id, "--to", "file"), ("report", run_id, "--xlsx", "blocked"),
    ):  # fmt: skip
        refused = alone.command(*words, expect=2)
        assert words[-1] in refused.err
    assert (alone.folder / "file").read_text() == "mine"


def test_what_is_not_there_is_said(alone: Alone, sandbox: SandboxServer) -> None:
    """A variant or an id that the run has not, a day to come: each had ended well, with nothing done."""
    write_catalog(alone.folder, 2)
    run_id = alone.command("run", "manifest.csv", "--prompt", "p of {id}", "--yes", "--json").json["run_id"]
    refused = alone.command("download", run_id, "got", "--variant", "default", "--variant", "watercolour", expect=2)
    assert "--variant watercolour: the run has default" in refused.err
    assert not (alone.folder / "got").exists()
    (alone.folder / "ids.txt").write_text("item-000\nitem-00O\n")
    partly = alone.command("download", run_id, "got", "--variant", "default", "--only-ids", "ids.txt", expect=1)
    assert "1 copied" in partly.err
    assert "1 ids of --only-ids are not in" in partly.err
    for command in ("costs", "reconcile"):
        assert "still to come" in alone.command(command, "--since", "2999-01-31", expect=2).err
    assert sandbox.charged == 2


@pytest.mark.long
def test_data_is_utf_8_whatever_the_terminal_has(alone: Alone, sandbox: SandboxServer) -> None:
    """What is written into a file or a pipe can be read again; what is said has no letter that ends the command."""
    write_catalog(alone.folder, 1)
    row = "stühle/椅子,images/item-000.jpg,Stühle 椅子"
    (alone.folder / "m.csv").write_text(f"id,image,title\n{row}\n", encoding="utf-8")
    other = replace(alone.command, env={**alone.command.env, "PYTHONIOENCODING": "ascii"})
    run_id = alone.command("run", "m.csv", "--prompt", "{title}", "--yes", "--json").json["run_id"]
    words = (
        ("export", run_id), ("report", run_id, "--status", "succeeded"), ("show", "stühle/椅子"), ("runs",),
        ("status", run_id), ("costs",), ("costs", "--csv"), ("show", "stühle/椅子", "--json"),
    )  # fmt: skip
    for word in words:
        done = subprocess.run(
            other.argv(*word), cwd=other.folder, env=other.environment, capture_output=True, timeout=90, check=False
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (word, done.stderr)
        text = done.stdout.decode()
        if word[0] in {"export", "report"}:
            (line,) = csv.DictReader(io.StringIO(text))
            assert line["id"] == "stühle/椅子"
        if word[-1] == "--json":
            assert json.loads(text)["jobs"][0]["id"] == "stühle/椅子"
