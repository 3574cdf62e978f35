"""The audit of the dependencies has three ends, and none of them is taken for another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLEAN = {"dependencies": [{"name": "celery", "version": "5.7.0", "vulns": []}]}
FOUND = {
    "dependencies": [
        {"name": "celery", "version": "5.7.0", "vulns": [{"id": "PYSEC-2030-1", "fix_versions": ["5.7.1"]}]}
    ]
}


def audit(folder: Path, answer: object, code: int) -> subprocess.CompletedProcess[str]:
    """Runs the audit with a tool in pip-audit's place that answers so, as pip-audit does."""
    tool = folder / "pip-audit"
    text = json.dumps(answer) if answer else ""
    written = "" if answer is None else f"open(sys.argv[sys.argv.index('--output') + 1], 'w').write({text!r})"
    tool.write_text(f"#!{sys.executable}\nimport sys\n{written}\nsys.exit('unreachable' if {code} == 2 else {code})\n")
    tool.chmod(0o755)
    env = {**os.environ, "PIP_AUDIT": str(tool)}
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci/audit")], env=env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("answer", "code", "ends", "told"),
    [
        (CLEAN, 0, 0, "audit: 0 advisories"),
        (FOUND, 1, 1, "audit: PYSEC-2030-1: celery 5.7.0: 5.7.1 mends it"),
        (None, 1, 75, "audit: NOT AUDITED"),
        (None, 2, 75, "audit: NOT AUDITED"),
        ("", 0, 75, "audit: NOT AUDITED"),
    ],
)
def test_an_audit_tells_what_came_of_it(tmp_path: Path, answer: object, code: int, ends: int, told: str) -> None:
    """0: nothing found; 1: something found, with what mends it; 75: the database gave no answer, which is no pass."""
    done = audit(tmp_path, answer, code)
    assert (done.returncode, told in done.stdout) == (ends, True), done.stdout + done.stderr
