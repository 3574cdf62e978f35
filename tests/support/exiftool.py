"""What exiftool, the tool that people look with, reads in pictures; installed where it is missing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

INSTALL = Path(__file__).with_name("install-exiftool")


def exiftool() -> str:
    """Its command.

    The test is skipped where it cannot be installed; with CI set it fails instead.
    """
    done = subprocess.run([str(INSTALL)], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode == 0:
        return done.stdout.splitlines()[-1]
    why = f"no exiftool, and none could be installed: {done.stderr.strip()[-300:]}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def read_tags(folder: Path) -> dict[Path, dict[str, Any]]:
    """All that it finds in each file below a folder, by `Group:Tag`; problems with a file's form among it."""
    command = [exiftool(), "-json", "-G1", "-r", "-validate", "-warning", "-error", "-all", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return {Path(found["SourceFile"]): found for found in json.loads(done.stdout)}
