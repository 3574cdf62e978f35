"""Charts as SVG, for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 760
_STYLE = """<style>
text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-size:15px;font-weight:600;fill:#24292f}
.value{fill:#24292f;font-weight:600}.bar{fill:#8c959f}.ours{fill:#1f883d}.grid{stroke:#d0d7de}.line{fill:none;stroke-width:2}
@media (prefers-color-scheme:dark){text{fill:#8b949e}.title,.value{fill:#e6edf3}.bar{fill:#6e7681}.ours{fill:#3fb950}
.grid{stroke:#30363d}}
</style>"""
_COLOURS = ("#1f883d", "#0969da", "#bf8700", "#8250df")


def bars(title: str, values: Mapping[str, float], *, unit: str) -> str:
    """A bar for each name, the shortest first; restyle's in green."""
    rows = sorted(values.items(), key=lambda item: item[1])
    height, left, right = 64 + 30 * len(rows), 150, 90
    longest = max(values.values()) or 1.0
    scale = (WIDTH - left - right) / longest
    parts = [f'<text class="title" x="8" y="22">{escape(title)}</text>']
    for place, (name, value) in enumerate(rows):
        y, kind = 40 + 30 * place, "ours" if name.startswith("restyle") else "bar"
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{value * scale:.1f}" height="20" rx="3"/>')
        parts.append(f'<text class="value" x="{left + value * scale + 6:.1f}" y="{y + 15}">{value:.1f} {unit}</text>')
    return _svg(height, parts)


def lines(title: str, xs: Sequence[float], series: Mapping[str, Sequence[float]], *, x_unit: str) -> str:
    """A line for each name over the same x values."""
    height, left, right, top, bottom = 320, 60, 34, 64, 284
    highest = _round(max(max(values) for values in series.values()))
    last = max(xs) or 1.0
    parts = [f'<text class="title" x="8" y="22">{escape(title)}</text>']
    for step in range(5):
        y = bottom - (bottom - top) * step / 4
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{highest * step / 4:,.0f}</text>')
        x = left + (WIDTH - left - right) * step / 4
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{last * step / 4:,.0f}</text>')
    parts.append(f'<text x="{WIDTH - right}" y="{bottom + 35}" text-anchor="end">{escape(x_unit)}</text>')
    x = left
    for (name, values), colour in zip(series.items(), _COLOURS, strict=False):
        points = " ".join(
            f"{left + (WIDTH - left - right) * at / last:.1f},{bottom - (bottom - top) * value / highest:.1f}"
            for at, value in zip(xs, values, strict=True)
        )
        parts.append(f'<polyline class="line" stroke="{colour}" points="{points}"/>')
        parts.append(f'<rect x="{x}" y="36" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 20}" y="42">{escape(name)}</text>')
        x += 40 + 8 * len(name)
    return _svg(height, parts)


def _round(highest: float) -> float:
    """The next round number above, whose quarters are round too."""
    unit: float = 10 ** math.floor(math.log10(highest or 1.0))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10, 20) if step * unit >= highest)


def _svg(height: int, parts: Sequence[str]) -> str:
    view = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {view} role="img">{_STYLE}{"".join(parts)}</svg>\n'
