"""Prometheus's own tool for rules and metrics, brought from Debian's package where it is missing."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL = Path(__file__).with_name("install-promtool")


@functools.cache
def promtool() -> str | None:
    """The tool's command; None where it cannot be had, which with CI set is a failure."""
    done = subprocess.run(
        [str(INSTALL), str(Path(sys.prefix) / "promtool")], capture_output=True, text=True, timeout=200, check=False
    )
    if done.returncode == 0:
        return done.stdout.splitlines()[-1]
    if os.environ.get("CI"):
        pytest.fail(f"no promtool, and it could not be brought: {done.stderr.strip()[-300:]}")
    return None


def checked(*args: str, text: str | None = None, folder: Path | None = None) -> None:
    """Runs the tool; whatever it complains of fails the test.

    The test is skipped where the tool cannot be had.
    """
    tool = promtool()
    if tool is None:
        pytest.skip("no promtool, and it could not be brought")
    done = subprocess.run(
        [tool, *args], cwd=folder, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
