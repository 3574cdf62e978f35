"""The review room over HTTP: every job by pages, search, filters, and marks that two people set."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator

import pytest

from producers.runs.outcomes import ResultLine
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus, utc_now
from tests.support.dashboard import running_dashboard
from tests.support.servers import S3
from tests.support.shown import Place, environment
from tests.support.wait import wait_until

RUN = "20260131T120000Z-ab12cd"
SHARD, JOBS = 50, 130


@pytest.fixture
def place(redis_url: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A workspace of its own, and its dashboard."""
    workspace = s3.workspace
    for name, value in environment(redis_url, s3, workspace).items():
        monkeypatch.setenv(name, value)
    state = State(redis_url, namespace=workspace.namespace, account="")
    with running_dashboard() as served:
        yield Place(served, s3.store, workspace, Progress(state))
    state.close()


def job_of(place: Place, number: int) -> Job:
    """One of the run's jobs: two variants an entry."""
    entry, variant = f"sku-{number // 2:03d}", ("oak", "sea")[number % 2]
    return Job(
        id=entry, variant=variant, image=place.workspace.under("in", f"{entry}.jpg"),
        meta={"title": f"Mug {number // 2}"},
        params=Params(prompt=f"photo on {variant}", seed=number), output=place.workspace.output(entry, variant),
    )  # fmt: skip


def outcome_of(job: Job, number: int) -> Outcome:
    """Every tenth failed, of two kinds; one looks wrong."""
    if number % 10 == 0:
        message = f"422: the prompt of {job.id} is not allowed" if number % 20 else "400: the picture is too dark"
        return Outcome(outcome=OutcomeKind.FAILED, error="request_rejected", http_status=422, message=message)
    suspect = ("black",) if number == 7 else ()
    return Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=(job.output,), ended=utc_now(), suspect=suspect)


def add(place: Place, *, closed: int, status: RunStatus = RunStatus.RUNNING) -> Run:
    """A run of three shards of which so many are closed; of the next one half is done, in Redis."""
    done = status is RunStatus.FINISHED
    run = Run(
        run_id=RUN, status=status, created=utc_now(), finished=utc_now() if done else None, shards=3, planned=JOBS,
        manifest=ManifestSource(uri="s3://shop/c.csv", sha256="0"), plan_digest="d", options=RunOptions(), by="me",
    )  # fmt: skip
    place.store.put(place.workspace.run(RUN), run.model_dump_json().encode(), content_type="application/json")
    place.progress.register(run)
    state = place.progress.state
    for shard in range(3):
        numbers = range(shard * SHARD, min(JOBS, (shard + 1) * SHARD))
        jobs = [job_of(place, number) for number in numbers]
        put(place, place.workspace.shard(RUN, shard), [job.model_dump_json() for job in jobs])
        ended = [outcome_of(job, number) for job, number in zip(jobs, numbers, strict=True)]
        if shard < closed:
            lines = [ResultLine(job=job, outcome=outcome) for job, outcome in zip(jobs, ended, strict=True)]
            put(place, place.workspace.results(RUN, shard), [line.model_dump_json() for line in lines])
        elif shard == closed:
            assert place.progress.open_shard(RUN, shard, len(jobs))
            for index, outcome in enumerate(ended[:25]):
                state.ask("HSET", state.key("run", RUN, "shard", str(shard)), f"o:{index}", outcome.model_dump_json())
    state.ask("HSET", state.key("run", RUN), "cursor", min(3, closed + 1))
    if done:
        place.progress.end(RUN, status)
    return run


def is_read(place: Place) -> bool:
    """Whether the review has read all of the run; a busy machine takes longer than a page waits."""
    text = place.ask(f"/runs/{RUN}/jobs").text
    return 'class="job"' in text and "are read so far" not in text


def put(place: Place, uri: str, lines: list[str]) -> None:
    """A shard."""
    place.store.put(uri, gzip.compress("\n".join(lines).encode()), content_type="application/gzip")


def listed(place: Place, query: str = "") -> list[str]:
    """The jobs on a page, by their numbers in the run."""
    text = place.ask(f"/runs/{RUN}/jobs?{query}").text
    return [str((int(found) >> 20) * SHARD + (int(found) & 0xFFFFF)) for found in re.findall(r'id="job-(\d+)"', text)]


def test_every_job_of_a_run_that_goes(place: Place) -> None:
    """By pages, in the plan's order, those that wait too; no page has a script of its own, and htmx gets the list."""
    add(place, closed=1)
    pages = [listed(place, f"page={page}") for page in (1, 2, 3)]
    assert [int(number) for page in pages for number in page] == list(range(JOBS))
    assert listed(place, "page=999") == pages[2]
    page = place.ask(f"/runs/{RUN}/jobs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=\"/static/)", page.text)
    assert "130 of 130 jobs" in page.text
    part = place.ask(f"/runs/{RUN}/jobs", hx_request="true").text
    assert "<html" not in part
    assert part.count('class="job"') == 50
    assert "Review" in place.ask(f"/runs/{RUN}").text


def test_the_page_of_the_run(place: Place) -> None:
    """Equal failures are one reason, the newest pictures are of many products, and without a report one reviews."""
    add(place, closed=1)
    state = place.progress.state
    state.ask("HSET", state.key("run", RUN), "failed", 8, "succeeded", 67)
    state.ask("HSET", state.key("run", RUN, "shard", "1"), "n", 25)
    page = place.ask(f"/runs/{RUN}").text
    failures, pictures = page.partition('id="failures"')[2], page.partition("Newest pictures")[2]
    assert re.findall(r"<h3>(\d+) \S ([^<]+)</h3>", failures) == [("4", "request rejected"), ("4", "request rejected")]
    assert "422: the prompt of … is not allowed" in failures
    shown = re.findall(r'data-key="\d+-\d+"><figure>.*?class="id">(sku-\d+)', pictures, re.DOTALL)
    assert len(shown) == len(set(shown)) == 24
    assert "Mug " in pictures
    answer = place.ask(f"/runs/{RUN}/report")
    assert (answer.status, answer.headers["location"]) == (303, f"/runs/{RUN}/jobs")


def test_search_and_filters(place: Place) -> None:
    """By the beginning of an id, by title, prompt and error; by outcome, variant and the reason of a failure."""
    add(place, closed=3, status=RunStatus.FINISHED)
    assert listed(place, "q=sku-012") == ["24", "25"]
    assert listed(place, "q=mug+12") == ["24", "25"]
    assert len(listed(place, "q=photo&variant=sea")) == 50
    assert listed(place, "q=too+dark") == [str(number) for number in range(0, JOBS, 20)]
    assert listed(place, "outcome=failed") == [str(number) for number in range(0, JOBS, 10)]
    assert listed(place, "outcome=suspect") == ["7"]
    assert listed(place, "q=nothing-such") == []
    text = place.ask(f"/runs/{RUN}/jobs").text
    reason = re.search(r'value="(\d+)">7 \S 400: the picture is too dark', text)
    assert reason is not None
    assert len(listed(place, f"reason={reason[1]}")) == 7
    for odd in ("page=x", "page=-3", "reason=x", "outcome=odd", "q=%22%29+OR+1", "mark=odd", "variant=none'"):
        assert place.ask(f"/runs/{RUN}/jobs?{odd}").status == 200


def test_what_ends_meanwhile(place: Place) -> None:
    """A page shows how jobs have ended since it was looked at last, and a failure that came then is found."""
    add(place, closed=0)
    assert listed(place, "outcome=pending&page=3")[-1] == "129"
    assert listed(place, "outcome=failed") == ["0", "10", "20"]
    state = place.progress.state
    failed = Outcome(outcome=OutcomeKind.FAILED, error="api_timeout", message="no answer in 180 s")
    state.ask("HSET", state.key("run", RUN, "shard", "0"), "o:30", failed.model_dump_json())

    def found() -> bool:
        return listed(place, "q=no+answer") == ["30"]

    wait_until(found, timeout=10, description="the failure")


def test_marks(place: Place) -> None:
    """A mark is written with a name, shown to the next, filtered by, taken back, and exported as a manifest."""
    add(place, closed=3, status=RunStatus.FINISHED)
    wait_until(lambda: is_read(place), timeout=20, description="the run to be read")
    page = place.ask(f"/runs/{RUN}/jobs")
    for number, word in ((1, "keep"), (2, "redo"), (55, "reject")):
        shard, index = divmod(number, SHARD)
        form = {"form_token": page.form_token, "place": str(shard << 20 | index), "mark": word, "back": "q=mug",
                "note": "the <b>handle</b>"}  # fmt: skip
        answer = place.ask(f"/runs/{RUN}/marks", form)
        assert (answer.status, answer.headers["location"]) == (303, f"/runs/{RUN}/jobs?q=mug#job-{shard << 20 | index}")
    assert listed(place, "mark=any") == ["1", "2", "55"]
    assert listed(place, "mark=redo") == ["2"]
    assert len(listed(place, "mark=none&page=3")) == 27
    text = place.ask(f"/runs/{RUN}/jobs?mark=redo").text
    assert "redo by tester@here" in text
    assert "the &lt;b&gt;handle&lt;/b&gt;" in text
    form |= {"place": "2", "mark": "", "note": ""}
    part = place.ask(f"/runs/{RUN}/marks", form, hx_request="true").text
    assert part.strip().startswith("<li")
    assert listed(place, "mark=any") == ["1", "55"]
    exported = place.ask(f"/runs/{RUN}/marks.csv").text.lstrip("\ufeff")
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert [(row["id"], row["variant"], row["mark"]) for row in rows] == [
        ("sku-000", "sea", "keep"), ("sku-027", "sea", "reject"),
    ]  # fmt: skip
    assert place.ask(f"/runs/{RUN}/marks", form | {"form_token": "x"}).status == 403
    assert place.ask(f"/runs/{RUN}/marks", form | {"mark": "odd"}).status == 400
    assert place.ask(f"/runs/{RUN}/marks", form | {"place": "99999999"}).status == 404
