"""`python -m bench.night_steps ROWS CHANGED`: CPU by step of planning a second night, and of `plan --diff`.

In one process, over the S3 of bench/nights.py, which makes up the night before. The bare pass is that of
bench/plans.py, over a CSV of as many rows.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from apps.stack.servers import free_port
from bench import nights
from bench.arena import listens, start, wait_until
from bench.contenders import write_manifest
from bench.pictures import picture
from bench.plans import bare

T = TypeVar("T")


class Steps:
    """Seconds of CPU of some steps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def take(self, name: str, step: Callable[[], T]) -> T:
        """Takes one."""
        began = time.process_time()
        made = step()
        self.seconds[name] = time.process_time() - began
        return made


def steps(rows: int, folder: Path) -> dict[str, float]:
    """Seconds of CPU of each step."""
    from config.connections import open_store
    from config.reading import load_settings
    from producers.planning.compare.diff import compare
    from producers.planning.compare.unchanged import find_unchanged
    from producers.planning.make import make_plan
    from producers.planning.request import PlanRequest
    from producers.planning.shards import write_shards

    settings, taken = load_settings(), Steps()
    store, workspace, table = open_store(settings), settings.effective_workspace, folder / "night.csv"
    table.write_text("id,image\n" + "".join(f"{n:08d},s3://bench/in/{n:08d}.jpg\n" for n in range(rows)))
    write_manifest(folder / "rows.csv", 0, rows)
    taken.seconds["bare"] = min(bare(folder / "rows.csv", folder / "rows.jsonl") for _ in range(3))
    for name, manifest in (("prefix", "s3://bench/in/"), ("csv", str(table))):
        request = PlanRequest(manifest, prompt=nights.PROMPT)
        plan = taken.take(f"{name}: plan", lambda: make_plan(request, settings, workspace=workspace, store=store))  # noqa: B023 - called at once
        taken.take(f"{name}: diff", lambda: compare(plan, store=store, workspace=workspace, settings=settings))  # noqa: B023 - called at once
        context = find_unchanged(plan, store, workspace)
        unchanged = taken.take(f"{name}: what is unchanged", context.__enter__)
        taken.take(
            f"{name}: shards",
            lambda: write_shards(
                plan, workspace=workspace, store=store, shard_jobs=settings.shard_jobs, by="bench", unchanged=unchanged  # noqa: B023 - called at once
            ),
        )  # fmt: skip
        context.__exit__(None, None, None)
    return taken.seconds


def main() -> None:
    """Measures, and tells."""
    rows, changed = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="restyle-steps-") as place:
        folder, port = Path(place), free_port()
        (folder / "input.jpg").write_bytes(picture(30))
        words = [
            sys.executable,
            nights.__file__,
            "serve",
            str(port),
            str(folder / "input.jpg"),
            str(rows),
            str(changed),
        ]
        process = start(words, folder / "s3.log")
        try:
            wait_until(lambda: listens(port), "the S3", 20)
            env = {
                "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "bench-bench",
                "AWS_SECRET_ACCESS_KEY": "bench-bench-bench", "AWS_REGION": "us-east-1", "RESTYLE_API_KEY": "bench",
                "RESTYLE_WORKSPACE": "s3://bench/restyle", "RESTYLE_HOME": str(folder / "home"),
            }  # fmt: skip
            nights.remember((folder / "input.jpg").read_bytes(), env)
            seconds = steps(rows, folder)
        finally:
            process.kill()
            process.wait()
    figures: dict[str, Any] = {name: [round(one, 2), round(one / seconds["bare"], 1)] for name, one in seconds.items()}
    print(json.dumps({"rows": rows, "seconds and passes": figures}, indent=1))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
