"""What exiftool, the tool that people look with, reads in pictures; installed where it is missing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.brought import brought


def read_tags(folder: Path) -> dict[Path, dict[str, Any]]:
    """All that it finds in each file below a folder, by `Group:Tag`; problems with a file's form among it."""
    options = ("-json", "-G1", "-r", "-validate", "-warning", "-error", "-all")
    command = [brought("install-exiftool"), *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return {Path(found["SourceFile"]): found for found in json.loads(done.stdout)}
