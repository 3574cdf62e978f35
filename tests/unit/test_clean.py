"""`make clean` removes what can be made again, and never a picture that was paid for."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make") or "make"
BUCKET = "s3/restyle-local"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, caches, and an embedded stack that made sandbox pictures."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("build/site/index.html", ".mypy_cache/x", f".restyle/{BUCKET}/sandbox/outputs/a/x.jpg",
                 f".restyle/{BUCKET}/fleets/me.json", ".restyle/run/valkey.json"):  # fmt: skip
        put(tmp_path / name)
    return tmp_path


def put(path: Path) -> None:
    """A file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def clean(folder: Path, answer: str = "") -> str:
    """Types `make clean`, on a terminal where there is an answer; what it says."""
    if not answer:
        done = subprocess.run(
            [MAKE, "--no-print-directory", "clean"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout + done.stderr
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    try:
        done = subprocess.run(
            [MAKE, "--no-print-directory", "clean"],
            cwd=folder,
            stdin=theirs,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return done.stdout + done.stderr


def test_what_can_be_made_again_goes(clone: Path) -> None:
    """Sandbox pictures cost nothing."""
    assert clean(clone) == ""
    assert {path.name for path in clone.iterdir()} == {"Makefile"}
    assert clean(clone) == ""


@pytest.mark.parametrize(
    "paid", [f"{BUCKET}/outputs/sandbox/x.jpg", f"{BUCKET}/records/a/x.json", f"{BUCKET}/unplaced/r/x.jpg", "spool/x"]
)
def test_what_was_paid_for_stays_and_is_told(clone: Path, paid: str) -> None:
    """A picture, its record, one that S3 did not take: the folder stays whole, and everything else goes."""
    put(clone / ".restyle" / paid)
    assert ".restyle stays: it has pictures and records of paid runs" in clean(clone)
    assert (clone / ".restyle" / paid).is_file()
    assert (clone / f".restyle/{BUCKET}/sandbox/outputs/a/x.jpg").is_file()
    assert not (clone / "build").exists()
    assert "[y/N]" in clean(clone, "n")
    assert (clone / ".restyle" / paid).is_file()
    clean(clone, "y")
    assert not (clone / ".restyle").exists()
