"""A manifest with bad lines: all told at once, nothing queued; or left out and written down."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_pictures, write_rows
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


def write_bad(folder: Path, count: int) -> None:
    """A manifest of which 5 rows are bad, each in its own way."""
    write_pictures(folder / "images", ["one"])
    image = "images/one.jpg"
    rows = [
        {"id": f"item-{number}", "image": image, "strength": "", "prompt": "", "title": "mug"}
        for number in range(count)
    ]
    rows[10]["strength"] = "half"
    rows[20]["strength"] = "7"
    rows[30]["image"] = ""
    rows[40]["prompt"] = "a {colour} mug"
    rows[50]["id"] = "item-7"
    write_rows(folder / "manifest.csv", rows)


@pytest.mark.long
def test_all_bad_lines_are_told_before_anything_is_queued(alone: Alone, sandbox: SandboxServer) -> None:
    """All 5 of 10,000 rows are named by line and column; exit 2; no call, and not even a server is started."""
    write_bad(alone.folder, 10_000)
    done = alone.command("run", "manifest.csv", "--prompt", "photo of {title}", "--yes", expect=2)
    lines = [line for line in done.err.splitlines() if "manifest.csv:" in line]
    told = {line[line.index("manifest.csv:") :].rsplit(": ", 1)[0].split(": ")[0:2][0] for line in lines}
    assert told == {f"manifest.csv:{line}" for line in (12, 22, 32, 42, 52)}
    for line, column, reason in (
        (12, "strength", "not a number"),
        (22, "strength", "out of range"),
        (32, "image", "is missing"),
        (42, "prompt", "{colour}"),
        (52, "id", "item-7"),
    ):
        (found,) = [text for text in lines if f"manifest.csv:{line}:" in text]
        assert f": {column}: " in found
        assert reason in found
    assert sandbox.calls == 0
    assert not (alone.folder / ".restyle").exists()


@pytest.mark.long
def test_bad_lines_can_be_left_out(alone: Alone, sandbox: SandboxServer) -> None:
    """`--skip-invalid` runs the rest and ends with 1; the rejected rows lie in invalid.csv with their reasons."""
    write_bad(alone.folder, 60)
    done = alone.command(
        "run", "manifest.csv", "--prompt", "photo of {title}", "--skip-invalid", "--no-reuse", "--yes", "--json",
        expect=1
    ).json  # fmt: skip
    assert (done["planned"], done["succeeded"], done["invalid"], sandbox.charged) == (55, 55, 5, 55)
    invalid = alone.bucket / "runs" / done["run_id"] / "invalid.csv"
    with invalid.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["line"] for row in rows] == ["12", "22", "32", "42", "52"]
    assert [row["id"] for row in rows] == ["item-10", "item-20", "item-30", "item-40", "item-7"]
    assert all(row["problem"] and row["title"] == "mug" for row in rows)


def test_plan_spends_nothing(alone: Alone, sandbox: SandboxServer) -> None:
    """`plan` counts entries, variants, jobs, calls, samples, credits, time and uploads, and leaves no trace."""
    write_pictures(alone.folder / "images", ["a", "b", "c"])
    done = alone.command("plan", "images/", "--prompt", "photo of {id}", "--set", "samples=2", "--json").json
    assert (done["entries"], done["jobs"], done["calls"], done["samples"], done["uploads"]) == (3, 3, 3, 6, 3)
    assert done["credits"] == pytest.approx(0.12)
    shown = alone.command("plan", "images/", "--prompt", "photo of {id}", "--max-rpm", "60").err
    assert "3  (3 calls, 3 samples)" in shown
    assert "60 calls a minute" in shown
    assert sandbox.calls == 0
    assert not (alone.folder / ".restyle").exists()
