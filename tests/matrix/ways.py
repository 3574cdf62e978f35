"""The ways in which each S3 is reached and set up: the tests of tests/acceptance/test_s3_ways.py, one way at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.acceptance.test_s3_ways import HOST, WAYS, once
from tests.matrix.page import PAGE
from tests.matrix.servers import CACHE, S3S, Missing
from tests.support.servers import BUCKETS
from tests.support.table import Table

ROOT = Path(__file__).parents[2]
TABLE = Table(
    begin="<!-- the ways of S3, written by `make matrix` -->",
    end="<!-- end of the ways of S3 -->",
    head=("S3", "way", "version", "conditional writes", "date", "what held"),
    keys=2,
)
#: Seconds that a way may take.
LONGEST = 600


@dataclass(frozen=True)
class WayCell:
    """An S3, and a way by the name of its function."""

    s3: str
    way: str

    def has(self, words: list[str]) -> bool:
        """Whether all of these words name it."""
        return set(words) <= {"ways", self.s3, self.way}

    def run(self) -> tuple[str, ...]:
        """Its row, once its tests have run."""
        today = datetime.now(UTC).date().isoformat()
        try:
            server = S3S[self.s3]()
        except Missing as error:
            return (self.s3, self.way, "", "", today, f"skipped: {error}")
        cases = self._cases(server.path)
        known = {entry.get("name"): entry.get("value", "") for case in cases for entry in case.iter("property")}
        return (self.s3, self.way, server.version, known.get("conditions", ""), today, _result(cases, known))

    def _cases(self, path: str) -> list[ET.Element]:
        """Runs its tests; each as pytest tells of it."""
        CACHE.mkdir(parents=True, exist_ok=True)
        results = CACHE / f"way-{self.s3}-{self.way}.xml"
        results.unlink(missing_ok=True)
        command = [
            *(_with_names() if self.way == "host" else ()), sys.executable, "-m", "pytest", "-m", "", "--quiet",
            "-p", "no:cacheprovider", f"--junitxml={results}", "-k", f"[{self.way}]",
            "tests/acceptance/test_s3_ways.py",
        ]  # fmt: skip
        with results.with_suffix(".log").open("w") as log:
            env = {**os.environ, "RESTYLE_TEST_S3": path}
            subprocess.run(command, cwd=ROOT, env=env, stdout=log, stderr=log, timeout=LONGEST, check=False)
        return list(ET.parse(results).iter("testcase")) if results.exists() else []  # noqa: S314 - pytest's own


def way_cells() -> Iterator[WayCell]:
    """Each S3 in each way."""
    for s3 in S3S:
        for way in (*WAYS, once):
            yield WayCell(s3, way.__name__)


def _result(cases: list[ET.Element], known: dict[str | None, str]) -> str:
    failed = [f"`{case.get('name')}`" for case in cases if len(case) and case[-1].tag in {"failure", "error"}]
    if failed or not cases:
        return f"**no**: {', '.join(failed) or 'nothing ran'}"
    if skips := [skip.get("message", "") for case in cases if (skip := case.find("skipped")) is not None]:
        return f"skipped: {skips[0]}"
    held = f"{len(cases)} of {len(cases)}"
    return f"{held}; paid calls {known['calls']}" if "calls" in known else held


def _with_names() -> tuple[str, ...]:
    """What has a command see the names of buckets as this machine's; nothing where that is not allowed."""
    hosts = CACHE / "hosts"
    names = " ".join((HOST, *(f"{bucket}.{HOST}" for bucket in BUCKETS)))
    hosts.write_text(f"{Path('/etc/hosts').read_text()}\n127.0.0.1 {names}\n")
    alone = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
    command = (*alone, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts))
    if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        return command
    return ()


def write_ways(rows: list[tuple[str, ...]]) -> None:
    """Writes rows into the page."""
    TABLE.write(PAGE, rows)
