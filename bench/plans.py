"""`python -m bench.plans ROWS`: what a plan of a CSV costs against a bare pass over the same file, in one process.

The bare pass is csv.DictReader and json.dumps of each row. It is taken before, between and after, and the least of
them counts: a busy machine costs both sides CPU. Nothing is stored; what a real S3 takes is beside the point here.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from bench.contenders import write_manifest

PROMPT = "studio photo of {title} on an oak table"
#: What a plan may cost, in bare passes, and what it may with its shards written.
PLAN, WRITTEN = 3.0, 5.0


class Nowhere:
    """A store that takes everything and keeps nothing."""

    def put(self, *_: object, **__: object) -> None:
        """Drops an object."""


def bare(manifest: Path, copy: Path) -> float:
    """Seconds of CPU that reading the rows and writing them as JSON takes."""
    began = time.process_time()
    with manifest.open(newline="", encoding="utf-8") as rows, copy.open("w", encoding="utf-8") as lines:
        for row in csv.DictReader(rows):
            lines.write(json.dumps(row))
            lines.write("\n")
    return time.process_time() - began


def measured(rows: int, folder: Path) -> dict[str, Any]:
    """Seconds of CPU of the bare pass, of a plan, and of one with its shards; and the most memory, MB."""
    manifest, copy = folder / "rows.csv", folder / "rows.jsonl"
    write_manifest(manifest, 0, rows)
    os.environ |= {
        "RESTYLE_API_KEY": "bench", "RESTYLE_WORKSPACE": "s3://bench/restyle", "RESTYLE_HOME": str(folder / "home")
    }  # fmt: skip
    from config.reading import load_settings
    from producers.planning.compare.unchanged import Unchanged
    from producers.planning.make import make_plan
    from producers.planning.request import PlanRequest
    from producers.planning.shards import write_shards
    from restyle.s3.store import Store

    settings = load_settings()
    workspace = settings.effective_workspace
    passes = [bare(manifest, copy)]
    began = time.process_time()
    plan = make_plan(PlanRequest(str(manifest), prompt=PROMPT), settings, workspace=workspace, store=None)
    planned = time.process_time() - began
    passes.append(bare(manifest, copy))
    began = time.process_time()
    write_shards(
        plan, workspace=workspace, store=cast("Store", Nowhere()), shard_jobs=settings.shard_jobs, by="bench",
        unchanged=cast("Unchanged", ()),
    )  # fmt: skip
    written = planned + time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    least = min(*passes, bare(manifest, copy))
    return {
        "rows": rows, "bare": least, "plan": planned, "written": written, "mb": memory,
        "plan_in_passes": planned / least, "written_in_passes": written / least,
    }  # fmt: skip


def main() -> None:
    """Measures, and says what was measured and what was to be."""
    with tempfile.TemporaryDirectory(prefix="restyle-plans-") as folder:
        figures = measured(int(sys.argv[1]), Path(folder))
    print(json.dumps({**figures, "at_most": [PLAN, WRITTEN]}, indent=1))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
