"""The last version of restyle, installed beside this one, for a fleet to be upgraded from."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.pages import ROOT

#: The last version: a tag, or a commit of before the first one.
LAST = "e2de964df322e8e4655821ccac6364dbcdb6ce3c"


class Absent(Exception):
    """An earlier version cannot be installed here, for the reason that it names."""


def installed(revision: str = LAST) -> Path:
    """The programs of an earlier version, in an environment of its own; installed once (a minute) and kept.

    Args:
        revision: a tag or commit.

    Raises:
        Absent: git's history does not have it, or what it needs cannot be had.
    """
    home = ROOT / "build" / "earlier" / revision[:12]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            _install(home, revision)
            (home / "ready").touch()
    return home / "venv" / "bin"


def _install(home: Path, revision: str) -> None:
    source, venv = home / "source", home / "venv"
    for folder in (source, venv):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir()
    archive = home / "source.tar"
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise Absent("there is no git history here to take an earlier version from")
    _run(
        "git",
        "-C",
        str(ROOT),
        "archive",
        "--output",
        str(archive),
        revision,
        missing=f"git's history lacks {revision[:12]}",
    )
    shutil.unpack_archive(archive, source, "tar")
    archive.unlink()
    _run(sys.executable, "-m", "venv", str(venv), missing="it cannot be installed")
    pip = (str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    locked = ("--no-compile", "--require-hashes", "--requirement", str(source / "requirements" / "base.txt"))
    _run(*pip, *locked, missing="what it needs cannot be had")
    _run(*pip, str(source), missing="it cannot be built")


def _run(*command: str, missing: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Absent(f"{missing}: {lines[-1] if lines else done.returncode}")
