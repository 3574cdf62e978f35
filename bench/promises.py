"""What was promised of speed and memory, judged by the figures of a benchmark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A promise, the measured value, and whether it is met."""

    promise: str
    seen: str
    met: bool

    @property
    def row(self) -> str:
        """A line of the table."""
        return f"| {self.promise} | {self.seen} | {'met' if self.met else '**not met**'} |"


class Results:
    """The figures, by setting and contender."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.all = results

    def values(self, setting: str, contender: str, figure: str) -> list[float]:
        """A figure of every run."""
        return [run[figure] for run in self.all["duels"] if run["setting"] == setting and run["contender"] == contender]

    def one(self, setting: str, contender: str, figure: str) -> float:
        """Its median."""
        return median(self.values(setting, contender, figure))

    def contenders(self, setting: str) -> list[str]:
        """The contenders of a setting, in the order of their CPU."""
        names = dict.fromkeys(run["contender"] for run in self.all["duels"] if run["setting"] == setting)
        return sorted(names, key=lambda name: self.one(setting, name, "cpu_ms"))

    def settings(self) -> list[str]:
        """In the order in which they were run."""
        return list(dict.fromkeys(run["setting"] for run in self.all["duels"]))


def bars(results: Results) -> Iterable[Bar]:
    """Each promise, judged by the medians."""
    figures = results.all
    for setting, what in (("C64", "C=64, L=1 s"), ("C256", "C=256, L=2 s")):
        ours = results.one(setting, "restyle", "cpu_ms")
        for peer, most in (("bare asyncio", 1.25), ("dramatiq", 0.75), ("celery tuned", 0.75), ("celery naive", 1 / 3)):
            if results.values(setting, peer, "cpu_ms"):
                theirs = results.one(setting, peer, "cpu_ms")
                yield Bar(
                    f"CPU an image at {what}: at most {most:.3g} of {peer}'s",
                    f"{ours / theirs:.2f} of {theirs:.2f} ms",
                    ours <= most * theirs,
                )
    for setting, least in (("C64", 0.98), ("C64 S3 50 ms", 0.98), ("C256", 0.97), ("C256 S3 50 ms", 0.97)):
        steady = results.one(setting, "restyle", "steady")
        yield Bar(f"Steady efficiency, {setting}: at least {least}", f"{steady:.3f}", steady >= least)
    if results.values("C64", "restyle, no reuse", "cpu_ms"):
        added = results.one("C64", "restyle", "cpu_ms") - results.one("C64", "restyle, no reuse", "cpu_ms")
        yield Bar("The index of results: at most 1.0 ms of CPU a job", f"{added:+.2f} ms at C64", added <= 1.0)
    # A process is one of `--processes N`: the supervisor's small memory counts, and earns no allowance.
    for setting, calls, processes in (("C64", 64, 2), ("C256", 256, 2), ("L0", 16, 1)):
        rss = results.one(setting, "restyle", "rss_mb")
        most = 90 * processes + 0.7 * calls
        measured = f"{rss:.0f} of {most:.0f} MB, --processes {processes}"
        yield Bar(f"Memory, {setting}: at most 90 MB a process + 0.7 MB a call", measured, rss <= most)
    million, five = figures["plan"]["1000000"], figures["plan"]["5000000"]
    measured = f"{million['cpu']:.0f} s of CPU, {million['rss_mb']:.0f} MB"
    yield Bar("Plan of 1,000,000 rows: 60 s, 250 MB", measured, million["cpu"] <= 60 and million["rss_mb"] <= 250)
    yield Bar("Plan of 5,000,000 rows: 350 MB", f"{five['rss_mb']:.0f} MB", five["rss_mb"] <= 350)
    bad = figures["bad_lines"]
    yield Bar("100 bad rows among 1,000,000: all reported", f"{bad} reported", bad == 100)
    rate = median(run["rate"] for run in figures["feed"])
    yield Bar("Feeding: 25,000 jobs a second and core", f"{rate:,.0f}", rate >= 25_000)
    redis = max(point["redis_mb"] for point in figures["curve"])
    yield Bar("Redis, through the soak: under 64 MB", f"{redis:.1f} MB at most", redis < 64)
    skip = figures["skip"]
    yield Bar("A job that is unchanged: at most 2.5 ms of CPU", f"{skip['cpu_ms']:.2f} ms", skip["cpu_ms"] <= 2.5)
    measured = f"{skip['wall']:.0f} s, {skip['calls']} calls"
    yield Bar("100,000 unchanged jobs: under 3 minutes", measured, skip["wall"] < 180 and not skip["calls"])
    if night := figures.get("night"):
        each = night["wall"] * 1000 / night["rows"]
        measured = (
            f"{each:.2f} ms, of which {night['planned_cpu'] * 1000 / night['rows']:.2f} ms of CPU to plan;"
            f" {night['calls']} calls, {night['pages']} pages of listings, {night['requests']:,} other requests to S3"
        )
        yield Bar(
            f"A night of {night['rows']:,} rows, {night['changed']} changed: at most 0.36 ms a row", measured,
            each <= 0.36 and night["calls"] == night["changed"],
        )  # fmt: skip
    for command, most in (("--help", 0.3), ("status", 0.6)):
        used = median(figures["commands"][command])
        yield Bar(f"`restyle {command}`: under {most} s of CPU", f"{used:.2f} s", used < most)
    grown = growth(figures["curve"])
    measured = ", ".join(f"{name} {value:+.0f}" for name, value in grown.items())
    flat = grown["MB"] <= 10 and grown["threads"] <= 2 and grown["sockets"] <= 4
    yield Bar("100,000 jobs in one process: nothing grows", f"from a third to the end: {measured}", flat)


def growth(curve: list[dict[str, float]]) -> dict[str, float]:
    """The growth during a soak: the medians of its last tenth, less those around its first third."""
    done = curve[-1]["jobs"]
    early = [point for point in curve if 0.3 * done <= point["jobs"] <= 0.4 * done] or curve[:1]
    late = [point for point in curve if point["jobs"] >= 0.9 * done]
    return {
        label: median(point[name] for point in late) - median(point[name] for point in early)
        for label, name in (("MB", "rss_mb"), ("threads", "threads"), ("sockets", "sockets"))
    }
