"""report.html: one file that shows a run to a person, before and after side by side, and opens offline.

Used by `producers.report`. It shows the first pictures only, so its size does not grow with the run. Everything that
came from a manifest or from the API is escaped, and the page's own policy lets it load nothing from anywhere.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from restyle import images
from restyle.errors import RestyleError
from restyle.models import Job, Outcome, OutcomeKind
from restyle.store import Store

#: How many results, and how many failures, the page shows.
PAIRS = 200
FAILURES = 50
#: Longest side of a thumbnail, in pixels.
SIDE = 256
_THREADS = 8


@dataclass(frozen=True)
class Shot:
    """One job on the page."""

    job: Job
    outcome: Outcome

    @property
    def output(self) -> str:
        """The URI of the picture that is shown, the first sample; empty without one."""
        return self.outcome.outputs[0] if self.outcome.outputs else ""

    @property
    def seed(self) -> int:
        """The seed that made the picture: as the API told it, else as it was asked for."""
        return self.job.params.seed if self.outcome.seed is None else self.outcome.seed


class Gallery:
    """The part of a run's rows that the page shows: the first results, grouped by entry, and the first failures."""

    def __init__(self, pairs: int = PAIRS, failures: int = FAILURES) -> None:
        self._room = pairs
        self._failures_room = failures
        self._entries: dict[tuple[str, str], list[Shot]] = {}
        self.failures: list[Shot] = []

    def add(self, job: Job, outcome: Outcome | None) -> None:
        """Takes the row in while there is room for it."""
        if outcome is None:
            return
        if outcome.outcome is OutcomeKind.FAILED:
            if len(self.failures) < self._failures_room:
                self.failures.append(Shot(job, outcome))
        elif self._room:
            self._room -= 1
            self._entries.setdefault((job.id, job.image), []).append(Shot(job, outcome))

    @property
    def entries(self) -> list[list[Shot]]:
        """The results, one list an entry."""
        return list(self._entries.values())

    @property
    def pairs(self) -> int:
        """How many results are shown."""
        return sum(map(len, self._entries.values()))

    def uris(self) -> list[str]:
        """Every picture that the page shows, once each."""
        shots = [*self.failures, *(shot for shots in self.entries for shot in shots)]
        return list(dict.fromkeys(uri for shot in shots for uri in (shot.job.image, shot.output) if uri))


def thumbnails(store: Store, uris: Iterable[str]) -> dict[str, str]:
    """The pictures as small `data:` URIs; one that cannot be read or decoded is left out."""

    def read(uri: str) -> tuple[str, str] | None:
        try:
            small = images.thumbnail(store.get(uri, max_bytes=images.MAX_INPUT_BYTES).data, SIDE)
        except (RestyleError, ValueError):  # the report is worth more than one picture in it
            return None
        return uri, f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnail") as pool:
        return dict(found for found in pool.map(read, uris) if found)


def render(summary: Mapping[str, object], gallery: Gallery, pictures: Mapping[str, str]) -> str:
    """The page.

    Args:
        summary: the content of report.json.
        gallery: what to show.
        pictures: `data:` URIs of the gallery's pictures by their s3:// URI; a missing one becomes a placeholder.
    """
    # A failure has no picture beside its original, so it counts for nothing here.
    widest = max((len(shots) for shots in gallery.entries), default=1)
    return (
        _templates()
        .get_template("report.html.j2")
        .render(run=summary, gallery=gallery, pictures=pictures, columns=min(widest + 1, 5))
    )


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("producers"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"when": _when, "number": _number, "name": posixpath.basename, "span": _span}
    return environment


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return None


def _when(value: object) -> str:
    """A stored time for the eye, to the minute; anything else as it is."""
    time = _time(value)
    return f"{time.day} {time:%b %Y, %H:%M} UTC" if time else str(value or "")


def _span(start: object, end: object) -> str:
    """The time between two stored times in its two largest units; empty where one is missing."""
    first, last = _time(start), _time(end)
    if not first or not last or last < first:
        return ""
    minutes, seconds = divmod(round((last - first).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _number(value: object) -> str:
    """A count with its thousands set apart, an amount with as many decimals as it needs, from two on."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        whole, _, decimals = f"{value:,.4f}".partition(".")
        return f"{whole}.{decimals.rstrip('0'):0<2}"
    return str(value)
