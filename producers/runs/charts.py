"""What a run's charts show: jobs over time, and how long calls took. The page draws them as SVG, 100 by 100 units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

#: Lengths of a bar in seconds; each is a multiple of the one before.
_SPANS = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_419_200)
_BARS = 96
_BINS = 32
_KINDS = ("succeeded", "skipped", "failed")


@dataclass
class Timeline:
    """How many jobs ended when; the spans grow until all fit, so that its size does not depend on their number."""

    counts: dict[int, Counter[str]] = field(default_factory=dict)
    _span: int = 0

    @property
    def span(self) -> int:
        """Seconds of one bar."""
        return _SPANS[self._span]

    def add(self, ended: datetime, kind: str) -> None:
        """Counts a job."""
        place = int(ended.timestamp()) // self.span
        if place in self.counts:
            self.counts[place][kind] += 1
            return
        self.counts[place] = Counter({kind: 1})
        while max(self.counts) - min(self.counts) >= _BARS and self._span + 1 < len(_SPANS):
            self._widen()

    def _widen(self) -> None:
        before, self._span = self.span, self._span + 1
        wider: dict[int, Counter[str]] = {}
        for place, counts in self.counts.items():
            wider.setdefault(place * before // self.span, Counter()).update(counts)
        self.counts = wider


@dataclass(frozen=True)
class Part:
    """A piece of a bar, from the top."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """A bar, and what it says when it is pointed at."""

    x: float
    width: float
    parts: tuple[Part, ...]
    label: str


@dataclass(frozen=True)
class Chart:
    """A chart as it is drawn."""

    bars: tuple[Bar, ...]
    top: str
    """What the full height means."""
    start: str
    end: str
    summary: str
    """The chart in one sentence."""
    rules: tuple[tuple[float, str], ...] = ()
    """Where upright lines are, and their names."""
    key: tuple[str, ...] = ()
    """The kinds that its colours tell apart."""


def throughput(timeline: Timeline) -> Chart | None:
    """Jobs that ended, over time; None where they all ended within one bar."""
    counts, span = timeline.counts, timeline.span
    if len(counts) < 2:
        return None
    first, last = min(counts), max(counts)
    most = max(counter.total() for counter in counts.values())
    width = 100 / (last - first + 1)
    bars = tuple(
        _bar((place - first) * width, width, counts[place], most, f"{_clock(place * span)}: {_words(counts[place])}")
        for place in sorted(counts)
    )
    a_minute = most * 60 / span
    return Chart(
        bars, f"{most:,} in {_span_words(span)}", _moment(first * span), _moment((last + 1) * span),
        f"At most {most:,} in {_span_words(span)}: {a_minute:,.0f} a minute",
        key=tuple(kind for kind in _KINDS if any(counter[kind] for counter in counts.values())),
    )  # fmt: skip


def latency(seconds: Mapping[float, int], p50: float | None, p95: float | None) -> Chart | None:
    """How many calls took how long; None without calls, or where all took the same time."""
    if p50 is None or p95 is None or len(seconds) < 2:
        return None
    # Few calls take very much longer: what is beyond has the last bar to itself.
    beyond = max(p95 * 1.5, p50 * 2)
    end = min(max(seconds), beyond)
    bins: Counter[int] = Counter()
    for value, count in seconds.items():
        bins[min(int(value / end * _BINS), _BINS - 1)] += count
    most, width, step = max(bins.values()), 100 / _BINS, end / _BINS
    bars = []
    for place in sorted(bins):
        open_end = place == _BINS - 1 and max(seconds) > end
        range_ = f"over {place * step:.1f} s" if open_end else f"{place * step:.1f} to {(place + 1) * step:.1f} s"
        bars.append(
            _bar(place * width, width, Counter(succeeded=bins[place]), most, f"{range_}: {bins[place]:,} calls")
        )
    over = f"{end:.1f} s and more" if max(seconds) > end else f"{end:.1f} s"
    return Chart(
        tuple(bars), f"{most:,} calls", "0 s", over,
        f"Half took {p50:.1f} s or less, 95 % {p95:.1f} s or less, the longest {max(seconds):.1f} s",
        ((min(p50 / end, 1) * 100, "half"), (min(p95 / end, 1) * 100, "95 %")),
    )  # fmt: skip


def _bar(x: float, width: float, counts: Counter[str], most: int, label: str) -> Bar:
    parts, y = [], 100.0
    for kind in _KINDS:
        if counts[kind]:
            # A lone failure among thousands is still to be seen.
            height = max(counts[kind] / most * 100, 1.5)
            y -= height
            parts.append(Part(kind, round(max(y, 0), 2), round(height, 2)))
    gap = width * 0.12
    return Bar(round(x + gap / 2, 3), round(width - gap, 3), tuple(parts), label)


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in _KINDS if counts.get(kind))


def _span_words(seconds: int) -> str:
    for size, word in ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            count = seconds // size
            return f"a {word}".replace("a hour", "an hour") if count == 1 else f"{count} {word}s"
    return f"{seconds} seconds"


def _clock(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"


def _moment(seconds: int) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time.day} {time:%b, %H:%M} UTC" if seconds % 60 == 0 else f"{time.day} {time:%b, %H:%M:%S} UTC"
