"""report.html: a run for people, before and after in one frame; it opens offline and loads nothing from elsewhere.

Everything that came from a manifest or from the API is escaped, and the page's own policy runs no script but ours.
With few pictures the page is one file, with more they lie in the folder `report/` beside it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from types import MappingProxyType
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined

from producers.runs import charts
from producers.runs.statistics import Statistics
from reports.pages.gallery import Gallery, Shot
from restyle.keys import split_uri
from restyle.models import Params

#: Pictures side by side; an entry with more variants has several lines of them.
_MAX_COLUMNS = 5
_LINK = re.compile(r'data-uri="([^"]*)"(?: href="[^"]*")?')


#: Parameters that a tile names where its entry's others have another value; prompts stand below each picture.
_SHOWN_PARAMS = tuple(name for name in Params.model_fields if name not in {"prompt", "negative_prompt", "seed"})


def render(
    summary: Mapping[str, object], statistics: Statistics, gallery: Gallery, pictures: Mapping[str, str], *, page: str,
    heading: str, sizes: Mapping[str, tuple[int, int]] = MappingProxyType({}),
) -> str:  # fmt: skip
    """The page.

    Args:
        summary: the content of report.json.
        statistics: what the charts are drawn from.
        gallery: what to show.
        pictures: addresses of the gallery's pictures by their s3:// URI; a missing one becomes a placeholder.
        page: the s3:// URI of the page itself, from which links to objects of its bucket lead.
        heading: what the run is called.
        sizes: width and height of pictures by their s3:// URI, so that each has a frame of its own shape.
    """
    one_file = all(address.startswith("data:") for address in pictures.values())
    environment = templates()
    environment.filters["link"] = lambda uri: relative(uri, page)
    return environment.get_template("report.html.j2").render(
        run=summary,
        gallery=gallery,
        pictures=pictures,
        one_file=one_file,
        columns=min(max(map(len, gallery.entries), default=1), _MAX_COLUMNS),
        kinds=_kinds(gallery),
        charts={
            "throughput": charts.throughput(statistics.timeline),
            "latency": charts.latency(statistics.seconds, statistics.percentile(50), statistics.percentile(95)),
        },
        heading=heading,
        sizes=sizes,
        titles=gallery.titles,
        differing=differing,
        rows={"header": gallery.header, "lines": [shot.line for shot in gallery.shots]},
        policy=policy(one_file=one_file),
        style=_style(),
        script=_script(),
    )


def _kinds(gallery: Gallery) -> list[tuple[str, str]]:
    """The outcomes that can be filtered by, and their words."""
    present = {shot.kind for shot in gallery.shots}
    kinds: list[tuple[str, str]] = [(kind, kind) for kind in ("succeeded", "skipped", "failed") if kind in present]
    if any(shot.outcome.suspect for shot in gallery.shots):
        kinds.append(("suspect", "looks wrong"))
    return kinds


def differing(shots: Sequence[Shot]) -> list[tuple[str, ...]]:
    """What tells the tiles of an entry apart, for each of them: `strength 0.3`; seeds where nothing else does."""
    params = [shot.job.params for shot in shots]

    def values(name: str) -> list[object]:
        return [shot.seed if name == "seed" else getattr(one, name) for shot, one in zip(shots, params, strict=True)]

    names = [name for name in _SHOWN_PARAMS if len(set(values(name))) > 1]
    prompts = {(one.prompt, one.negative_prompt) for one in params}
    if not names and len(prompts) == 1 and len(set(values("seed"))) > 1:
        names = ["seed"]
    columns = [[f"{name.replace('_', ' ')} {value}" for value in values(name)] for name in names]
    return [*zip(*columns, strict=True)] if columns else [() for _ in shots]


def relative(uri: str, page: str) -> str:
    """The way from the page to an object in the same bucket; empty where it is in another.

    It holds in S3 and in any copy of the bucket's folders, among them the embedded S3's.
    """
    try:
        (bucket, key), (own, place) = split_uri(uri), split_uri(page)
    except ValueError:
        return ""
    return quote(posixpath.relpath(f"/{key}", posixpath.dirname(f"/{place}"))) if bucket == own else ""


def relinked(page: str, link: Callable[[str], str]) -> str:
    """A page with other links to the pictures in full size.

    Args:
        page: as `render` made it.
        link: the address of an object by its s3:// URI; empty for none.
    """

    def other(match: re.Match[str]) -> str:
        address = link(html.unescape(match[1]))
        return f'data-uri="{match[1]}"' + (f' href="{html.escape(address)}"' if address else "")

    return _LINK.sub(other, page)


def objects_of(page: str) -> list[str]:
    """The s3:// URIs that a page links to, in the order in which `relinked` asks for them."""
    return [html.unescape(match[1]) for match in _LINK.finditer(page)]


def policy(*, one_file: bool = False) -> str:
    """What the page may load: this version's own style and script, named by their hashes, and its own pictures."""
    return policy_of(_style(), _script(), pictures="data:" if one_file else "data: 'self'")


def policy_of(style: str, script: str, *, pictures: str) -> str:
    """The policy of a page that loads this style, this script and these pictures, and nothing else."""

    def known(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src {pictures}; style-src {known(style)}; script-src {known(script)};"
        " base-uri 'none'; form-action 'none'"
    )


def _style() -> str:
    return asset("static/look.css") + asset("templates/report.css")


def _script() -> str:
    return asset("templates/report.js")


@cache
def asset(name: str) -> str:
    """A file of this package as text."""
    return (resources.files("reports") / name).read_text(encoding="utf-8")


def templates() -> Environment:
    """The templates of pages, with their filters."""
    environment = Environment(
        # Of a page of a thousand pictures the template's indents would be a fifth.
        loader=FunctionLoader(lambda name: re.sub(r"^ +", "", asset(f"templates/{name}"), flags=re.MULTILINE)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "when": _when, "number": _number, "name": posixpath.basename, "span": _span,
        "titled": lambda names, titles: [(name, titles.get(name, str(name).replace("_", " "))) for name in names],
        "zipped": lambda names: [(name, str(name).replace("_", " ")) for name in names],
    }  # fmt: skip
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
