"""`python -m bench` measures everything and writes docs/benchmarks.md; `--quick` measures a little and writes nothing.

`--page FILE` writes the page again from an earlier run's figures; with `--again PART ...` those are measured anew
first, where other work had made the machine busy. `--rehearse FOLDER` does everything in small, to see that it works,
and writes the page into that folder.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import machine, nights, page, scale
from bench.arena import Arena, arena
from bench.duel import Figures, Setting, run

Settings = dict[str, tuple[Setting, tuple[str, ...]]]

ROUNDS = 3
#: Name of a setting, the setting, who takes part.
#: Peers with the same checks of pictures, so that the rest of the work can be compared.
CHECKING = ("bare asyncio, pictures checked", "dramatiq, pictures checked")
PEERS = ("restyle", "restyle, no reuse", *CHECKING, "bare asyncio", "taskiq", "saq", "dramatiq", "celery tuned")
FULL = {
    "C64": (Setting(64, 1.0, 448), (*PEERS, "celery naive")),
    "C256": (Setting(256, 2.0, 1280), ("restyle", *CHECKING, "bare asyncio", "dramatiq", "celery tuned")),
    "L0": (Setting(16, 0.0, 400, processes=1), ("restyle", "bare asyncio", "dramatiq", "celery tuned")),
    "C64 S3 50 ms": (Setting(64, 1.0, 448, 0.05), ("restyle",)),
    "C256 S3 50 ms": (Setting(256, 2.0, 1280, 0.05), ("restyle",)),
}
QUICK = {
    "C64": (Setting(64, 1.0, 256), ("restyle", "bare asyncio", "dramatiq", "celery tuned")),
    "L0": (Setting(16, 0.0, 200, processes=1), ("restyle", "bare asyncio")),
}


def main() -> None:
    """Measures, and prints or writes the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under three minutes; writes no page")
    parser.add_argument("--rehearse", metavar="FOLDER", help="all of it in small, the page into this folder")
    parser.add_argument("--page", metavar="FILE", help="write the page from these figures")
    parser.add_argument("--again", metavar="PART", nargs="+", choices=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--keep", metavar="FILE", default=".bench.json", help="where the figures are kept")
    options = parser.parse_args()
    if options.page:
        kept = Path(options.page)
        figures = json.loads(kept.read_text(encoding="utf-8"))
        if options.again:
            again(figures, options.again)
            kept.write_text(json.dumps(figures), encoding="utf-8")
        page.write(figures)
        return
    is_small = options.quick or options.rehearse is not None
    figures = measured(QUICK if options.quick else FULL, 1 if is_small else ROUNDS, 0.02 if is_small else 1.0)
    Path(options.keep).write_text(json.dumps(figures), encoding="utf-8")
    say(f"{figures['minutes']:.1f} minutes; the figures are in {options.keep}")
    if options.quick:
        print(page.quick(figures))  # noqa: T201 - the answer
    else:
        page.write(figures, Path(options.rehearse) if options.rehearse else page.DOCS)


def measured(settings: Settings, rounds: int, size: float) -> dict[str, Any]:
    """Every figure; `size` is the share of the jobs and rows of a full benchmark."""
    began = time.monotonic()
    figures: dict[str, Any] = {"machine": machine.described(), "load_before": machine.load()}
    with tempfile.TemporaryDirectory(prefix="restyle-bench-") as folder:
        with arena(Path(folder) / "duels") as here:
            figures["duels"] = duels(here, settings, rounds, size)
            figures["steps"] = steps(here, size)
        # Measurements of many jobs use small pictures.
        with arena(Path(folder) / "sizes", input_kb=30, output_kb=20) as here:
            figures |= sizes(here, rounds, size)
    figures["minutes"] = (time.monotonic() - began) / 60
    return figures


def duels(here: Arena, settings: Settings, rounds: int, size: float) -> list[dict[str, Any]]:
    """Every contender in every setting, round after round, so that other load of the machine affects all alike."""
    rows: list[dict[str, Any]] = []
    for turn in range(rounds):
        for name, (setting, contenders) in settings.items():
            jobs = max(4 * setting.concurrency, int(setting.jobs * size))
            for contender in contenders:
                try:
                    figures = run(contender, replace(setting, jobs=jobs), here)
                except TimeoutError as error:
                    say(f"{name} {contender}: {error}")
                    continue
                fields = asdict(figures)
                rows.append({**fields, "setting": name, "setting_of": fields["setting"]})
                tell(turn, name, figures)
    return rows


def sizes(here: Arena, rounds: int, size: float) -> dict[str, Any]:
    """The figures that depend on the number of jobs."""
    figures: dict[str, Any] = {"commands": commands(here)}
    million, jobs = int(1_000_000 * size), int(100_000 * size)
    figures["plan"] = {"1000000": asdict(scale.plan(here, million))}
    say(f"plan of {million:,} rows: {figures['plan']['1000000']['cpu']:.1f} s of CPU")
    figures["feed"] = feed(here, size, rounds)
    say(f"fed {figures['feed'][0]['rate']:,.0f} jobs a second")
    # The memory of the largest plan, and its bad lines, are measured during the soak: neither is about time.
    plans = scale.beside(lambda: (scale.plan(here, 5 * million), scale.plan(here, million, bad=100)))
    curve, figures["soak"] = scale.soak(here, jobs)
    figures["curve"] = curve.points
    say(f"{jobs:,} jobs in {figures['soak']['wall']:.0f} s")
    large, bad = plans()
    figures["bad_lines"] = len(set(re.findall(r"\.csv:(\d+):", bad.err)))
    figures["plan"]["5000000"] = asdict(large)
    figures["skip"] = scale.skip(here, jobs)
    say(f"skipped {jobs:,} jobs in {figures['skip']['wall']:.0f} s")
    figures["night"] = night(here, size)
    return figures


def commands(here: Arena) -> dict[str, Any]:
    """What commands cost that do next to nothing."""
    return scale.commands(here, 5)


def feed(here: Arena, size: float = 1.0, rounds: int = ROUNDS) -> list[dict[str, float]]:
    """How fast jobs come onto the queue."""
    return [scale.feed(here, max(5000, int(60_000 * size))) for _ in range(rounds)]


def steps(here: Arena, size: float = 1.0) -> dict[str, float]:
    """The CPU of each step of a job."""
    return scale.breakdown(here, max(100, int(600 * size)))


def night(_: Arena, size: float = 1.0) -> dict[str, Any]:
    """A night in which one of a thousand has changed."""
    rows = max(2000, int(200_000 * size))
    figures = nights.night(rows, max(20, rows // 1000))
    say(f"a night of {rows:,} rows in {figures['wall']:.0f} s")
    return figures


#: What can be measured by itself, in full size. All but the steps use small pictures.
PARTS: dict[str, Callable[[Arena], Any]] = {"commands": commands, "feed": feed, "steps": steps, "night": night}


def again(figures: dict[str, Any], parts: list[str]) -> None:
    """Measures parts of earlier figures anew."""
    with tempfile.TemporaryDirectory(prefix="restyle-bench-") as folder:
        for part in parts:
            sizes_of = {} if part == "steps" else {"input_kb": 30, "output_kb": 20}
            load = machine.load()
            with arena(Path(folder) / part, **sizes_of) as here:
                figures[part] = PARTS[part](here)
            figures.setdefault("again", {})[part] = load


def tell(turn: int, name: str, figures: Figures) -> None:
    """Prints the figures of one run."""
    say(
        f"{turn + 1}  {name:14} {figures.contender:14} {figures.cpu_ms:6.2f} ms/image  steady {figures.steady:.3f}"
        f"  {figures.images_a_second:6.1f} images/s  {figures.rss_mb:5.0f} MB"
    )


def say(text: str) -> None:
    """Prints a line."""
    print(text, flush=True)  # noqa: T201 - a script's own output


if __name__ == "__main__":
    main()
