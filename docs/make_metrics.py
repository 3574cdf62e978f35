"""Writes docs/metrics.md, the reference of the metrics for Prometheus; `--check` fails where it is not current."""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from restyle.telemetry import metrics
from workers.gauges import FAMILIES

PAGE = Path(__file__).with_name("metrics.md")
HEAD = """\
# Metrics

The metrics of `/metrics` ([operating](guides/operating.md) says how to read them). This page is generated from the code
by `python docs/make_metrics.py`. The Prometheus client adds its usual `process_*` and `python_*`.

No label names a job, an entry or a key. `run` is there for unfinished runs and for ten minutes after their end.

## Of one process

Each worker counts its own work, from zero at its start: use `rate()` or `increase()`, and `sum` over workers.

"""
FLEET = """
## Of the fleet

Read from Redis at each scrape. Every worker and every beat gives the same figures: use `max`, not `sum`, over
instances. A beat gives them while no worker runs. A run's four outcomes and its planned jobs come from one read, so
they add up in every scrape: succeeded + skipped + failed + pending = planned.

"""


def text() -> str:
    """The page's content."""
    own = [value for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
    rows = []
    for metric in own:
        kind = type(metric).__name__.lower()
        name = metric._name + ("_total" if kind == "counter" else "")  # noqa: SLF001 - the library has no other way
        rows.append(_row(name, kind, metric._labelnames, metric._documentation))  # noqa: SLF001
    fleet = [_row(name, "gauge", labels, documentation) for name, (documentation, labels) in FAMILIES.items()]
    return HEAD + _table(rows) + FLEET + _table(fleet)


def _row(name: str, kind: str, labels: tuple[str, ...], documentation: str) -> str:
    return f"| `{name}` | {kind} | {' '.join(f'`{label}`' for label in labels)} | {documentation} |"


def _table(rows: list[str]) -> str:
    return "\n".join(["| name | type | labels | meaning |", "|---|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Writes the page, or checks it."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text():
        sys.exit(f"{PAGE} is not current; run: python docs/make_metrics.py")


if __name__ == "__main__":
    main()
