"""The soak's figures and charts in docs/reliability.md, as the run that was last left them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypedDict

from bench.charts import lines

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reliability.md"
BEGIN, END = "<!-- written by `make soak` -->", "<!-- end of the soak -->"
#: Each chart: its file, its title, and its lines with the field of the samples that each shows.
CHARTS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("memory", "Memory of a worker that stays, MB", {"resident": "rss_mb"}),
    ("handles", "What that worker has open", {"files": "files", "sockets": "sockets", "threads": "threads"}),
    ("keys", "Keys in Redis", {"keys": "redis_keys"}),
    ("messages", "Messages on the queue", {"messages": "messages"}),
    ("redis", "Memory of Redis, MB", {"used": "redis_mb"}),
    ("requests", "Requests to S3 for each paid call", {"requests": "s3_a_job"}),
)


class Figures(TypedDict):
    """What a soak came to."""

    date: str
    minutes: float
    workers: int
    concurrency: int
    jobs: int
    """Distinct jobs that ended well."""
    runs: int
    nights: int
    paid: int
    excused: int
    """Calls that were out when their worker was killed."""
    failed: int
    in_doubt: int
    strikes: Mapping[str, int]
    versions: Sequence[str]
    load: float


def growth(values: Sequence[float]) -> tuple[float, float]:
    """The median around the first third, and that of the last tenth."""
    third, tenth = len(values) // 3, max(1, len(values) // 10)
    return median(values[max(0, third - tenth // 2) : third + tenth]), median(values[-tenth:])


def write(figures: Figures, samples: Sequence[Mapping[str, float]]) -> None:
    """Writes the charts and the block of the page."""
    xs = [sample["minutes"] for sample in samples]
    for name, title, series in CHARTS:
        drawn = {label: [sample[field] for sample in samples] for label, field in series.items()}
        (DOCS / "images" / f"soak-{name}.svg").write_text(lines(title, xs, drawn, x_unit="minutes"), encoding="utf-8")
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), figures, samples), encoding="utf-8")


def with_block(page: str, figures: Figures, samples: Sequence[Mapping[str, float]]) -> str:
    """The page with this soak in the place of the last one."""
    before, _, rest = page.partition(BEGIN)
    block = "\n".join(_block(figures, samples))
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{rest.partition(END)[2]}"


def _block(figures: Figures, samples: Sequence[Mapping[str, float]]) -> Iterator[str]:
    twice = figures["paid"] - figures["jobs"]
    rows = {
        "date, length, load of the machine": f"{figures['date']}, {figures['minutes']:.0f} min, {figures['load']:.0f}",
        "workers": f"{figures['workers']} with {figures['concurrency']} calls, of {' and '.join(figures['versions'])}",
        "runs": f"{figures['runs']}, of these {figures['nights']} nights",
        "jobs, paid calls": f"{figures['jobs']:,}, {figures['paid']:,}",
        "paid twice": f"{twice}, of {figures['excused']} calls that were out as their worker was killed",
        "failed, in doubt": f"{figures['failed']}, {figures['in_doubt']}",
        "strikes": ", ".join(f"{name}: {count}" for name, count in sorted(figures["strikes"].items())),
    }
    yield "| | |"
    yield "|---|---|"
    for label, value in rows.items():
        yield f"| {label} | {value} |"
    yield ""
    yield "| of a worker that stayed, and of Redis | after a third | at the end |"
    yield "|---|---|---|"
    for _, title, series in CHARTS:
        for label, field in series.items():
            first, last = growth([sample[field] for sample in samples])
            yield f"| {title}: {label} | {first:,.1f} | {last:,.1f} |"
    for name, title, _ in CHARTS:
        yield ""
        yield f"![{title}](images/soak-{name}.svg)"
