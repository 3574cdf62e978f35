"""`python -m bench` measures everything and writes docs/benchmarks.md; `--quick` measures a little and writes nothing.

`--page FILE` writes the page anew from an earlier run's figures. `--rehearse FOLDER` goes through all of it in small,
to see that it works, and writes the page into a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import machine, page, scale
from bench.arena import Arena, arena
from bench.duel import Figures, Setting, run

Settings = dict[str, tuple[Setting, tuple[str, ...]]]

ROUNDS = 3
#: Name of a setting, the setting, who takes part.
PEERS = ("restyle", "restyle, gates open", "bare asyncio", "taskiq", "saq", "dramatiq", "celery tuned")
FULL = {
    "C64": (Setting(64, 1.0, 448), (*PEERS, "celery naive")),
    "C256": (Setting(256, 2.0, 1280), ("restyle", "restyle, gates open", "bare asyncio", "dramatiq", "celery tuned")),
    "L0": (Setting(16, 0.0, 400, processes=1), ("restyle", "bare asyncio", "dramatiq", "celery tuned")),
    "C64 S3 50 ms": (Setting(64, 1.0, 448, 0.05), ("restyle",)),
    "C256 S3 50 ms": (Setting(256, 2.0, 1280, 0.05), ("restyle",)),
}
QUICK = {
    "C64": (Setting(64, 1.0, 256), ("restyle", "bare asyncio", "dramatiq", "celery tuned")),
    "L0": (Setting(16, 0.0, 200, processes=1), ("restyle", "bare asyncio")),
}


def main() -> None:
    """Measures, and tells."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under three minutes; writes no page")
    parser.add_argument("--rehearse", metavar="FOLDER", help="all of it in small, the page into this folder")
    parser.add_argument("--page", metavar="FILE", help="write the page from these figures")
    parser.add_argument("--keep", metavar="FILE", default=".bench.json", help="where the figures are kept")
    options = parser.parse_args()
    if options.page:
        page.write(json.loads(Path(options.page).read_text(encoding="utf-8")))
        return
    is_small = options.quick or options.rehearse is not None
    found = measured(QUICK if options.quick else FULL, 1 if is_small else ROUNDS, 0.02 if is_small else 1.0)
    Path(options.keep).write_text(json.dumps(found), encoding="utf-8")
    say(f"{found['minutes']:.1f} minutes; the figures are in {options.keep}")
    if options.quick:
        print(page.quick(found))  # noqa: T201 - the answer
    else:
        page.write(found, Path(options.rehearse) if options.rehearse else page.DOCS)


def measured(settings: Settings, rounds: int, size: float) -> dict[str, Any]:
    """Every figure; `size` is the part of the jobs and rows that a full benchmark has."""
    began = time.monotonic()
    found: dict[str, Any] = {"machine": machine.described(), "load_before": machine.load()}
    with tempfile.TemporaryDirectory(prefix="restyle-bench-") as folder:
        with arena(Path(folder) / "duels") as here:
            found["duels"] = duels(here, settings, rounds, size)
            found["steps"] = scale.breakdown(here, max(100, int(600 * size)))
        # What is about the number of jobs has small pictures.
        with arena(Path(folder) / "sizes", input_kb=30, output_kb=20) as here:
            found |= sizes(here, rounds, size)
    found["minutes"] = (time.monotonic() - began) / 60
    return found


def duels(here: Arena, settings: Settings, rounds: int, size: float) -> list[dict[str, Any]]:
    """Every contender in every setting, round after round, so that what the machine does meanwhile hits all alike."""
    found: list[dict[str, Any]] = []
    for turn in range(rounds):
        for name, (setting, contenders) in settings.items():
            jobs = max(4 * setting.concurrency, int(setting.jobs * size))
            for contender in contenders:
                try:
                    figures = run(contender, replace(setting, jobs=jobs), here)
                except TimeoutError as error:
                    say(f"{name} {contender}: {error}")
                    continue
                told = asdict(figures)
                found.append({**told, "setting": name, "setting_of": told["setting"]})
                tell(turn, name, figures)
    return found


def sizes(here: Arena, rounds: int, size: float) -> dict[str, Any]:
    """What depends on how many jobs there are."""
    found: dict[str, Any] = {"commands": scale.commands(here, 5)}
    million, jobs = int(1_000_000 * size), int(100_000 * size)
    found["plan"] = {"1000000": asdict(scale.plan(here, million))}
    say(f"plan of {million:,} rows: {found['plan']['1000000']['cpu']:.1f} s of CPU")
    found["feed"] = [scale.feed(here, max(5000, int(60_000 * size))) for _ in range(rounds)]
    say(f"fed {found['feed'][0]['rate']:,.0f} jobs a second")
    # The memory of the largest plan, and bad lines, are looked at beside the soak: neither is about time.
    plans = scale.beside(lambda: (scale.plan(here, 5 * million), scale.plan(here, million, bad=100)))
    curve, found["soak"] = scale.soak(here, jobs)
    found["curve"] = curve.points
    say(f"{jobs:,} jobs in {found['soak']['wall']:.0f} s")
    large, bad = plans()
    found["bad_lines"] = len(set(re.findall(r"\.csv:(\d+):", bad.err)))
    found["plan"]["5000000"] = asdict(large)
    found["skip"] = scale.skip(here, jobs)
    say(f"skipped {jobs:,} jobs in {found['skip']['wall']:.0f} s")
    return found


def tell(turn: int, name: str, figures: Figures) -> None:
    """One run, as it ends."""
    say(
        f"{turn + 1}  {name:14} {figures.contender:14} {figures.cpu_ms:6.2f} ms/image  steady {figures.steady:.3f}"
        f"  {figures.images_a_second:6.1f} images/s  {figures.rss_mb:5.0f} MB"
    )


def say(text: str) -> None:
    """A line of talk."""
    print(text, flush=True)  # noqa: T201 - a script's own talk


if __name__ == "__main__":
    main()
