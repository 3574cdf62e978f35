"""Runs the core of the proofs on each server that users may bring, and writes its table into docs/reliability.md.

`make matrix` runs it; `make matrix CELLS="redis-server acl"` runs the cells that have all of these words, and leaves
the other rows as they are. `ways` chooses the ways of S3, `ways moto locked` one of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.matrix.core import core_of
from tests.matrix.page import Row, write_rows
from tests.matrix.servers import CACHE, REDISES, S3S, Missing, Server
from tests.matrix.ways import way_cells, write_ways
from tests.support.chosen import ACCESSES

ROOT = Path(__file__).parents[2]
#: Seconds that a cell may take.
LONGEST = 900


@dataclass(frozen=True)
class Cell:
    """One Redis, how it is reached, and one S3."""

    redis: str
    access: str
    s3: str

    def has(self, words: list[str]) -> bool:
        """Whether all of these words name it."""
        return all(word in f"{self.redis} {self.access} {self.s3}".split() for word in words)


def cells() -> Iterator[Cell]:
    """Each Redis in each way with the S3 of the wheel, and each other S3 with the Redis of the wheel."""
    for redis in REDISES:
        for access in ACCESSES:
            yield Cell(redis, access, "rclone")
    for s3 in S3S:
        if s3 != "rclone":
            yield Cell("Valkey of the wheel", "plain", s3)


def run(cell: Cell) -> Row:
    """Runs a cell's tests, or says why not."""
    names = (cell.redis, cell.access, cell.s3)
    today = datetime.now(UTC).date().isoformat()
    try:
        redis, s3 = REDISES[cell.redis](), S3S[cell.s3]()
    except Missing as error:
        return Row(*names, "", today, f"skipped: {error}")
    versions = f"{redis.version}, {s3.version}"
    if cell.access == "tls" and not redis.has_tls:
        return Row(*names, versions, today, "skipped: it is built without TLS")
    began = time.monotonic()
    tests = core_of(cell.access)
    passed, failed = _pytest(cell, tests, redis, s3)
    took = f"{time.monotonic() - began:.0f} s"
    if failed or passed != len(tests):
        return Row(*names, versions, today, f"**{passed} of {len(tests)}** in {took}; not {', '.join(failed) or 'run'}")
    return Row(*names, versions, today, f"{passed} of {len(tests)} in {took}")


def _pytest(cell: Cell, tests: tuple[str, ...], redis: Server, s3: Server) -> tuple[int, list[str]]:
    """How many passed, and the names of those that did not."""
    CACHE.mkdir(parents=True, exist_ok=True)
    slug = f"{cell.redis}-{cell.access}-{cell.s3}".replace(" ", "-")
    results, log = CACHE / f"{slug}.xml", CACHE / f"{slug}.log"
    results.unlink(missing_ok=True)
    chosen = {
        "RESTYLE_TEST_REDIS": redis.path, "RESTYLE_TEST_REDIS_ACCESS": cell.access, "RESTYLE_TEST_S3": s3.path,
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-m", "", "--quiet", "--numprocesses", "2"]
    command += ["-p", "no:cacheprovider", f"--junitxml={results}"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, *tests], cwd=ROOT, env={**os.environ, **chosen}, stdout=out, stderr=out, start_new_session=True
        )
        try:
            process.wait(LONGEST)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, KeyboardInterrupt):
                raise
    if not results.exists():
        return 0, [f"finished: see {log.relative_to(ROOT)}"]
    cases = list(ET.parse(results).iter("testcase"))  # noqa: S314 - pytest's own
    failed = sorted({case.get("name", "") for case in cases if len(case) and case[0].tag in {"failure", "error"}})
    skipped = [case.get("name", "") for case in cases if case.find("skipped") is not None]
    return len({case.get("name", "") for case in cases} - {*failed, *skipped}), [f"`{name}`" for name in failed]


def main() -> int:
    """Runs the cells that are named, or all; 1 where one is red."""
    rows = []
    for cell in cells():
        if not cell.has(sys.argv[1:]):
            continue
        row = run(cell)
        rows.append(row)
        sys.stdout.write(f"matrix: {row.redis}, {row.access}, {row.s3}: {row.result}\n")
        sys.stdout.flush()
        write_rows(rows)
    ways = []
    for way in way_cells():
        if way.has(sys.argv[1:]):
            ways.append(way.run())
            sys.stdout.write(f"matrix: {', '.join(ways[-1])}\n")
            sys.stdout.flush()
            write_ways(ways)
    if not rows and not ways:
        sys.stdout.write(f"matrix: no cell has all of these words: {' '.join(sys.argv[1:])}\n")
        return 2
    return int(any(row.is_red for row in rows) or any(row[-1].startswith("**") for row in ways))


if __name__ == "__main__":
    sys.exit(main())
