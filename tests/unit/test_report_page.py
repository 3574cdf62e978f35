"""The report's page: what it shows of a run and of how many jobs, what it escapes, where its links lead."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.runs.charts import Timeline, latency, throughput
from producers.runs.outcomes import Row
from producers.runs.statistics import Statistics
from reports.pages.gallery import Choice, Gallery, Shot
from reports.pages.page import differing, relative, relinked, render
from reports.report import ReportLinks, summarise
from restyle.models import Job, Outcome
from tests.support.reports import NOON
from tests.unit.test_report import a_job, a_run, failed, succeeded

PAGE = "s3://bucket/team/runs/r/report.html"


class Elements(HTMLParser):
    """Lists a page's elements, what they would load, and what is said in attributes that a strict policy forbids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.forbidden: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "srcset", "data", "action"}]
        if tag == "a":
            self.links += [value or "" for name, value in attrs if name == "href" and not (value or "").startswith("#")]
        self.forbidden += [name for name, _ in attrs if name == "style" or name.startswith("on")]


def page_of(
    rows: list[Row], pictures: dict[str, str] | None = None, choice: Choice | None = None, **snapshot: object
) -> str:
    """The page of these rows."""
    statistics, choice = Statistics(), choice or Choice()
    for row in rows:
        statistics.add(*row)
        choice.add(*row)
    gallery = Gallery(choice.entries, is_sample=choice.is_sample)
    for job, outcome in rows:
        gallery.add(job, outcome, f"r,{job.id}-{job.variant}")
    summary = summarise(a_run(), statistics, snapshot, ReportLinks("s3://r/report.csv", PAGE, "s3://r/report.json"))
    sizes = dict.fromkeys(pictures or {}, (400, 300))
    return render(summary, statistics, gallery, pictures or {}, page=PAGE, heading=a_run().heading, sizes=sizes)


def test_page_escapes_everything() -> None:
    """Nothing from a manifest, the API or a suspension becomes markup: not in text, attributes, links or scripts."""
    evil = '"></script><script>alert(1)</script><img src=x onerror=alert(2)>'
    job = a_job(evil, meta={"title": evil}, prompt=evil, negative_prompt=evil)
    bad = a_job(evil, "marble")
    page = page_of(
        [(job, succeeded(job, outputs=(evil,), warning=evil)), (bad, failed(error=evil, message=evil))],
        suspension={"reason": evil, "detail": evil, "since": evil, "next": evil},
    )
    elements = Elements(page)
    assert elements.tags.count("script") == Elements(page_of([(a_job(), succeeded(a_job()))])).tags.count("script") == 2
    assert "img" not in elements.tags
    assert page.count("&lt;script&gt;") >= 10


def test_page_loads_nothing_from_elsewhere() -> None:
    """A page is one file: its pictures are in it, its policy allows no other, and no style or script but its own."""
    job = a_job()
    page = page_of([(job, succeeded(job))], {job.image: "data:image/jpeg;base64,AA", job.output: "data:image/jpeg;,B"})
    assert sorted(Elements(page).loaded) == ["data:image/jpeg;,B", "data:image/jpeg;base64,AA"]
    assert Elements(page).forbidden == []
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-")
    assert "unsafe" not in policy


def test_an_original_is_in_a_page_once() -> None:
    """In a page that is one file an entry's original is not repeated for each variant; beside a folder it is named."""
    rows: list[Row] = [(job, succeeded(job)) for job in (a_job(variant=name) for name in ("oak", "sea", "marble"))]
    image = rows[0][0].image
    assert page_of(rows, {image: "data:image/jpeg;,original"}).count("data:image/jpeg;,original") == 1
    assert page_of(rows, {image: "report/original.jpg"}).count("report/original.jpg") == 3


def test_page_content() -> None:
    """The page shows pictures first, each entry's variants together, and a placeholder for a lost picture."""
    oak, marble, bad = a_job("a"), a_job("a", "marble", prompt="on marble"), a_job("b")
    page = page_of(
        [(oak, succeeded(oak)), (bad, failed(message="The file is damaged.")), (marble, succeeded(marble))],
        {oak.image: "data:image/jpeg;base64,AA"},
        suspension={"reason": "no_credits", "detail": "HTTP 406", "next": "restyle resume"},
    )
    told = ["Suspended: no credits", "HTTP 406", "restyle resume", "on oak", "on marble", "The file is damaged.",
            "by reason</small></h2>"]  # fmt: skip
    places = [page.index(text) for text in told]
    assert places == sorted(places)
    assert page.count("<article") == 2
    assert page.count("picture not found") == 2
    assert page.count("original not readable") == 1


def test_what_tells_tiles_apart() -> None:
    """Where an entry's tiles differ by a parameter, each says its value; a seed is said where nothing else differs."""
    weak, strong = a_job("a", "weak", strength=0.3), a_job("a", "strong", strength=0.7)
    page = page_of([(weak, succeeded(weak)), (strong, succeeded(strong))])
    assert page.index("strength 0.3</span>") < page.index("strength 0.7</span>")
    first, second = (Shot(a_job("a", seed=seed), succeeded(a_job("a", seed=seed), seed=seed), "") for seed in (1, 2))
    assert differing([first, second]) == [("seed 1",), ("seed 2",)]
    assert differing([first]) == [()]
    other = Shot(a_job("a", prompt="on sea", seed=2), succeeded(a_job("a", seed=2), seed=2), "")
    assert differing([first, other]) == [(), ()]


def test_a_frame_has_its_pictures_shape() -> None:
    """Each picture says its size, so that nothing moves as it loads and no bands lie beside it."""
    job = a_job()
    page = page_of([(job, succeeded(job))], {job.image: "a.jpg", job.output: "b.jpg"})
    assert page.count('width="400" height="300"') == 2


def test_what_a_run_is_called() -> None:
    """Its name, else its schedule's, else the last name of its manifest, be it a folder or a prefix."""
    run = a_run()
    for uri, heading in (("s3://shop/photos/", "photos"), ("s3://shop/new.csv", "new.csv"), ("s3://shop/", "shop")):
        manifest = run.manifest.model_copy(update={"uri": uri})
        assert run.model_copy(update={"manifest": manifest}).heading == heading
    assert run.model_copy(update={"retry_of": "r"}).heading == "Retry of r"
    assert run.model_copy(update={"retry_of": "r", "name": "spring"}).heading == "spring"


def test_a_run_of_which_all_failed_is_not_green() -> None:
    """Its status says so by its colour; that of a run of which some failed is no triumph either."""
    jobs = [a_job("a"), a_job("b")]
    for rows, kind in (
        ([(job, failed()) for job in jobs], "all-failed"),
        ([(jobs[0], succeeded(jobs[0])), (jobs[1], failed())], "some-failed"),
    ):
        page = page_of(list(rows), status="finished", planned=2)
        assert f'class="status finished {kind}"' in page
        assert ("finished, all failed" in page) is (kind == "all-failed")


def test_page_of_a_run_without_outcomes() -> None:
    """A report that is asked for before anything ended is a page too, and says how to get a newer one."""
    page = page_of([(a_job(), None)])
    assert "No picture yet." in page
    assert "restyle report 20260131T120000Z-ab12cd --open" in page


def test_page_without_anything() -> None:
    """A run without jobs has a page."""
    assert "No picture yet." in page_of([])


def test_samples() -> None:
    """Every sample of a job is on the page, each in full size behind a link."""
    job = a_job(samples=2)
    uris = ("s3://bucket/team/outputs/shoe/oak-0.jpg", "s3://bucket/team/outputs/shoe/oak-1.jpg")
    page = page_of([(job, succeeded(job, outputs=uris))], {uri: f"report/{n}.jpg" for n, uri in enumerate(uris)})
    assert page.count("data-src=") == 2
    assert Elements(page).links.count("../../outputs/shoe/oak-1.jpg") == 1


# -- a run that is too long ---------------------------------------------------------------------------------


def entries_of(choice: Choice, rows: list[Row]) -> set[str]:
    """The ids that are chosen of these rows."""
    for row in rows:
        choice.add(*row)
    return {entry for entry, _ in choice.entries}


def long_run(entries: int, bad: int = 0) -> list[Row]:
    """Two variants an entry; of the last entries the second failed."""
    jobs = [(a_job(f"e{n}", variant), n >= entries - bad and variant == "sea") for n in range(entries)
            for variant in ("oak", "sea")]  # fmt: skip
    return [(job, failed() if is_bad else succeeded(job)) for job, is_bad in jobs]


def test_a_sample_is_fair() -> None:
    """Beyond its room the page shows entries from all over the run, whole ones, the same each time, in their order."""
    rows = long_run(500)
    chosen = entries_of(Choice(pictures=100), rows)
    assert len(chosen) == 50
    assert chosen == entries_of(Choice(pictures=100), list(reversed(rows)))
    places = sorted(int(entry[1:]) for entry in chosen)
    assert sum(place < 250 for place in places) in range(15, 36)
    page = page_of(rows, choice=Choice(pictures=100))
    assert page.count("data-row=") == 100
    assert "a fair sample of 100 of 1,000 jobs; all are in report.csv" in page
    shown = [int(place) for place in re.findall(r'<h3 class="id">e(\d+)<', page)]
    assert shown == places


def test_failures_are_always_shown() -> None:
    """Entries with failures are shown beside the sample, whole, up to a bound of their own."""
    rows = long_run(300, bad=20)
    chosen = entries_of(Choice(pictures=20, failures=12), rows)
    assert {f"e{n}" for n in range(280, 292)} <= chosen
    assert page_of(rows, choice=Choice(pictures=20, failures=12)).count('data-outcome="failed"') >= 12


def test_what_looks_wrong_is_shown_first() -> None:
    """Entries with suspects come first, in a run that is larger than the page too."""
    rows = long_run(300, bad=0)
    job = a_job("e299")
    rows[-1] = (job, succeeded(job, suspect=("black",)))
    page = page_of(rows, choice=Choice(pictures=20))
    assert re.findall(r'<h3 class="id">(e\d+)<', page)[0] == "e299"


def test_a_run_that_fits_is_shown_whole() -> None:
    """No sample is taken where there is room for all, and none is spoken of."""
    rows = long_run(50, bad=3)
    assert len(entries_of(Choice(pictures=100), rows)) == 50
    assert "a fair sample" not in page_of(rows)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=200), st.integers(1, 30))
def test_any_choice(names: list[tuple[int, bool]], room: int) -> None:
    """Whatever comes in whatever order: no more than there is room for, unless one entry alone is larger."""
    choice = Choice(pictures=room, failures=0)
    rows: list[tuple[Job, Outcome]] = []
    for name, is_bad in names:
        job = a_job(f"e{name}")
        rows.append((job, failed() if is_bad else succeeded(job)))
        choice.add(*rows[-1])
    chosen = {entry for entry, _ in choice.entries}
    assert sum(job.id in chosen for job, _ in rows) <= room or len(chosen) == 1
    assert bool(rows) == bool(chosen)


# -- links --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("s3://bucket/team/outputs/shoe/oak.jpg", "../../outputs/shoe/oak.jpg"),
        ("s3://bucket/other/a b%3F.jpg", "../../../other/a%20b%253F.jpg"),
        ("s3://bucket/team/runs/r/javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("s3://elsewhere/team/outputs/oak.jpg", ""),
        ("not a uri", ""),
    ],
)
def test_links_within_a_bucket(uri: str, link: str) -> None:
    """What lies in the page's bucket is linked by the way from the page to it, wherever the bucket is looked at."""
    assert relative(uri, PAGE) == link


def test_other_links() -> None:
    """A server, or a copy elsewhere, gives every picture in full size an address of its own; nothing else changes."""
    job = a_job("a&b")
    page = page_of([(job, succeeded(job, outputs=("s3://elsewhere/x.jpg",)))])
    asked: list[str] = []

    def link(uri: str) -> str:
        asked.append(uri)
        return f"https://signed/{len(asked)}?a=1&b=2"

    other = relinked(page, link)
    assert asked == ["s3://bucket/in/a&b.jpg", "s3://elsewhere/x.jpg"]
    assert Elements(other).links == ["https://signed/1?a=1&b=2", "https://signed/2?a=1&b=2"]
    assert relinked(other, lambda uri: relative(uri, PAGE)) == page


# -- charts -------------------------------------------------------------------------------------------------


def test_the_timeline_is_bounded() -> None:
    """A second or a month, the timeline keeps a hundred spans at most and loses no job."""
    for step in (1, 60, 3600, 40_000):
        timeline = Timeline()
        for n in range(1000):
            timeline.add(NOON + timedelta(seconds=step * n), "failed" if n % 10 == 0 else "succeeded")
        assert len(timeline.counts) <= 100
        assert sum(counts["succeeded"] for counts in timeline.counts.values()) == 900
        chart = throughput(timeline)
        assert chart is not None
        assert all(0 <= part.y <= 100 and part.y + part.height <= 101.5 for bar in chart.bars for part in bar.parts)


def test_throughput_in_words() -> None:
    """The chart says what its height means."""
    timeline = Timeline()
    for n in range(600):
        timeline.add(NOON + timedelta(seconds=n), "succeeded")
    chart = throughput(timeline)
    assert chart is not None
    assert (chart.top, chart.summary) == ("15 in 15 seconds", "At most 15 in 15 seconds: 60 a minute")
    assert (chart.start, chart.end) == ("31 Jan, 12:00 UTC", "31 Jan, 12:10 UTC")


def test_latency_in_words() -> None:
    """Calls by their length; the few that took much longer share the last bar."""
    chart = latency({8.0: 50, 9.0: 45, 120.0: 5}, 8.0, 9.0)
    assert chart is not None
    assert chart.end == "16.0 s and more"
    assert chart.bars[-1].label == "over 15.5 s: 5 calls"
    assert latency({}, None, None) is None


def test_no_chart_of_a_moment() -> None:
    """Where there is nothing to see no chart is drawn."""
    timeline = Timeline()
    timeline.add(NOON, "succeeded")
    assert throughput(timeline) is None
