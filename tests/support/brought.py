"""Programs that tests need and no package of ours has, each brought by a script of its own where it is missing."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Where they are kept: beside the interpreter that runs the tests.
PLACE = Path(sys.prefix) / "brought"


@functools.cache
def brought(script: str, *words: str) -> str:
    """The path of a program, by a script of this folder that answers with it.

    The test is skipped where the program cannot be had; with CI set it fails instead.
    """
    done = subprocess.run(
        [str(Path(__file__).with_name(script)), *words], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == 0:
        return done.stdout.splitlines()[-1]
    why = f"{script} brought nothing: {done.stderr.strip()[-300:]}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
