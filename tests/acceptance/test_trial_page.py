"""A trial's grid in a real browser, from disk: it fits, and is marked, sorted, compared and used by mouse and keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from config.settings import Settings
from producers.planning.jobs.resolved import Resolved
from producers.planning.make import make_plan
from producers.planning.request import PlanRequest, TrialRequest
from producers.runs.outcomes import Row
from reports.pages.grid import gathered, render
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind
from tests.acceptance.conftest import Alone, FleetOf
from tests.support.accessibility import grave_faults
from tests.support.browser import Complaints, keep, running_browser
from tests.support.catalog import picture, write_catalog
from tests.support.dashboard import running_dashboard
from tests.support.hands import Hand, Keys, Mouse
from tests.support.reports import a_run
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance

WORKSPACE = Workspace("s3://shop/team")
PROMPTS = (
    "a soft watercolor of {title} on cold-pressed paper", "studio photo of {title}, oak table, window light",
    "ink line drawing of {title} with flat colours", "photo of {title} by the sea, noon sun", "clay model of {title}",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_browser() as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The grid of 5 prompts x 3 strengths x 6 of 40 pictures; one failed, one looks wrong, one is pending."""
    rows = [{"id": f"mug-{place}", "image": f"s3://in/mug-{place}.jpg", "title": f"Mug {place}", "strength": "0.9"}
            for place in range(40)]  # fmt: skip
    Path("m.json").write_text(json.dumps(rows))
    request = PlanRequest("m.json", trial=TrialRequest(PROMPTS, axes=("strength=0.3,0.5,0.7",)))
    plan = make_plan(request, Settings(), workspace=WORKSPACE, store=None)
    jobs = [as_job(job) for job in plan.stream() if isinstance(job, Resolved)]
    ended: list[Row] = [(job, outcome_of(job, place)) for place, job in enumerate(jobs)]
    run = a_run(WORKSPACE, len(jobs), trial=True)
    assert plan.trial is not None
    grid = gathered(run, plan.trial, ended, WORKSPACE)
    data = base64.b64encode(picture("mug", 200)).decode()
    page = tmp_path / "grid.html"
    page.write_text(render(grid, dict.fromkeys(grid.pictures, f"data:image/jpeg;base64,{data}"), {"status": "running"}))
    return page


def as_job(job: Resolved) -> Job:
    """A job as its shard has it."""
    entry = job.entry
    return Job(
        id=entry.id, variant=job.variant, image=entry.image, params=job.params, output=job.output, meta=entry.meta
    )


def outcome_of(job: Job, place: int) -> Outcome | None:
    """How a job ended: later columns are slower."""
    if place == 89:
        return None
    if place == 4:
        return Outcome(outcome=OutcomeKind.FAILED, error="request_rejected", message="the prompt is not allowed")
    return Outcome(
        outcome=OutcomeKind.SUCCEEDED, credits=0.02, seconds=20 - place % 15, outputs=(job.output,), seed=7,
        suspect=("black",) if place == 5 else (),
    )  # fmt: skip


@contextmanager
def opened(browser: Browser, file: Path, *, width: int = 1440, height: int = 900, scheme: str = "light",
           scripts: bool = True) -> Iterator[Page]:  # fmt: skip
    """The page from disk; whatever it complains of, or asks another host for, fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light",
        accept_downloads=True, java_script_enabled=scripts,
    )  # fmt: skip
    page, complaints = context.new_page(), Complaints("")
    complaints.watch(page)
    try:
        page.goto(file.as_uri())
        yield page
        assert complaints.none
    finally:
        context.close()


def cell(page: Page, line: int, column: int) -> Locator:
    """A tile of the grid."""
    return page.locator("tbody tr").nth(line).locator(f"td[data-column='{column}']")


@pytest.mark.long
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900), (2560, 1440)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(browser: Browser, file: Path, width: int, height: int, scheme: str) -> None:
    """On a desktop all 90 pictures are in the window at once, on a phone it scrolls in its frame; axe finds nothing."""
    with opened(browser, file, width=width, height=height, scheme=scheme) as page:
        expect(page.locator("td .zoom")).to_have_count(90)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width >= 1440:
            box = cell(page, 5, 14).bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height - 50
            assert box["width"] >= 84
        keep(page, f"grid-{width}-{scheme}")
        assert grave_faults(page) == []
        cell(page, 0, 0).locator(".zoom").click()
        assert grave_faults(page) == []


@pytest.mark.long
def test_marks_and_columns_by_keys(browser: Browser, file: Path) -> None:
    """Arrows move, k and x mark, c chooses, h hides; a tally stands in each head, and the next visit has all of it."""
    with opened(browser, file) as page:
        page.keyboard.press("ArrowRight")
        for key in ("k", "x", "k", "ArrowDown", "c", "k"):
            page.keyboard.press(key)
        expect(page.locator("th.column").nth(0).locator("[data-tally]")).to_have_text("✓ 1")
        expect(page.locator("th.column").nth(1).locator("[data-tally]")).to_have_text("✗ 1")
        assert cell(page, 1, 3).get_attribute("data-marked") == "keep"
        expect(page.locator("#chosen")).to_contain_text("B · strength 0.3: the other 34 pictures")
        page.reload()
        assert cell(page, 1, 3).get_attribute("data-marked") == "keep"
        expect(page.locator("#pick-3")).to_be_checked()
        page.locator("#order").select_option("kept")
        assert page.locator("th.column").nth(0).get_attribute("data-column") == "0"
        assert page.locator("th.column").last.get_attribute("data-column") == "1"
        page.locator("#order").select_option("time")
        assert page.locator("th.column").nth(0).get_attribute("data-column") == "14"
        page.locator("#order").select_option("")
        cell(page, 0, 2).locator(".zoom").focus()
        page.keyboard.press("h")
        expect(page.locator("th.column:visible")).to_have_count(14)
        page.get_by_role("button", name="Show 1 hidden").click()
        expect(page.locator("th.column:visible")).to_have_count(15)


@pytest.mark.long
def test_two_columns_side_by_side(browser: Browser, file: Path) -> None:
    """Only what is chosen is shown, larger; and all of it again."""
    with opened(browser, file) as page:
        for place in (1, 7):
            page.locator(f"#pick-{place}").check()
        small = cell(page, 0, 1).bounding_box()
        page.get_by_role("button", name="Only chosen").click()
        expect(page.locator("th.column:visible")).to_have_count(2)
        large = cell(page, 0, 1).bounding_box()
        assert small is not None
        assert large is not None
        assert large["width"] > 3 * small["width"]
        page.get_by_role("button", name="Only chosen").click()
        expect(page.locator("th.column:visible")).to_have_count(15)


@pytest.mark.long
def test_zoom(browser: Browser, file: Path) -> None:
    """A tile opens large with the original under a slider, for keys and mouse; arrows go on, Escape leads back."""
    with opened(browser, file) as page:
        cell(page, 0, 3).locator(".zoom").click()
        zoomed = page.locator("#zoomed")
        expect(zoomed).to_be_visible()
        expect(page.locator("#zoom-how")).to_contain_text("oak table, window light · strength 0.3")
        cut = zoomed.locator(".cut")
        cut.focus()
        for _ in range(30):
            page.keyboard.press("ArrowRight")
        assert zoomed.locator(".stage").evaluate("stage => stage.style.getPropertyValue('--cut')") == "30%"
        box = cut.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        assert 60 <= int(cut.input_value()) <= 80
        assert grave_faults(page) == []
        zoomed.get_by_role("button", name="Keep").click()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#zoom-how")).to_contain_text("the prompt is not allowed")
        page.keyboard.press("Escape")
        expect(zoomed).to_be_hidden()
        assert cell(page, 0, 3).get_attribute("data-marked") == "keep"
        assert cell(page, 0, 4).evaluate("cell => cell.contains(document.activeElement)")


@pytest.mark.parametrize("hand", [Keys, Mouse], ids=["keys", "mouse"])
def test_use_these(browser: Browser, file: Path, hand: Callable[[Page], Hand]) -> None:
    """The variants file has what was chosen, the command runs it over all, and the estimate is for the rest."""
    with opened(browser, file) as page:
        here = hand(page)
        here.tick(page.locator("#pick-4"))
        told = page.locator("#chosen")
        expect(told).to_contain_text("34 calls, at most 0.68 credits ($0.68), about")
        command = page.locator("#command")
        expect(command).to_contain_text("restyle run m.json --set strength=0.5 --variants chosen-")
        here.tick(page.locator("#pick-7"))
        expect(told).to_contain_text("68 calls, at most 1.36 credits")
        expect(page.locator("#beaten")).to_contain_text("column strength of its own")
        with page.expect_download() as saving:
            here.press(page.get_by_role("button", name="Use these"))
        variants = json.loads(saving.value.path().read_text())
        assert [variant["strength"] for variant in variants] == [0.5, 0.5]
        assert [variant["prompt"] for variant in variants] == list(PROMPTS[1:3])
        assert str(command.text_content()).strip().endswith(saving.value.suggested_filename)


@pytest.mark.long
def test_without_scripts(browser: Browser, file: Path) -> None:
    """All of it can be read, and says how to go on."""
    with opened(browser, file, scripts=False) as page:
        expect(page.locator("td img:visible")).to_have_count(88)
        expect(page.locator(".use")).to_contain_text("restyle run m.json --variants FILE")
        expect(page.locator("#tools")).to_be_hidden()


@pytest.mark.long
def test_from_prompts_to_a_run(browser: Browser, alone: Alone, sandbox: SandboxServer) -> None:
    """By commands and the page alone: try, choose, and run what was chosen; only what was not tried is paid for."""
    write_catalog(alone.folder, 6)
    tried = alone.command(
        "try", "manifest.csv", "--prompt", "photo of {id} on oak", "--prompt", "photo of {id} by the sea",
        "--axis", "strength=0.3,0.6", "--entries", "2", "--yes",
    )  # fmt: skip
    assert sandbox.charged == 8
    assert "2 prompts x strength 0.3, 0.6: 4 columns, of 6 entries in all" in tried.err
    (grid,) = alone.bucket.glob("runs/*/grid.html")
    assert str(grid.relative_to(alone.folder)) in tried.err.replace("\n", "")
    assert not alone.outputs()
    with opened(browser, grid) as page:
        page.locator("#pick-1").check()
        with page.expect_download() as saving:
            page.get_by_role("button", name="Use these").click()
        name = saving.value.suggested_filename
        saving.value.save_as(alone.folder / name)
        words = str(page.locator("#command").text_content()).split()
    assert words[:2] == ["restyle", "run"]
    done = alone.command(*words[1:], "--yes", "--json").json
    assert (done["succeeded"], done["reused"]) == (4, 2)
    assert sandbox.charged == 12
    assert len(alone.outputs()) == 6
    wrong = alone.command("try", "manifest.csv", "--prompt", "x", "--axis", "strenght=0.3", expect=2)
    assert "did you mean strength?" in wrong.err


@pytest.mark.long
def test_a_trial_fills_on_the_dashboard(
    browser: Browser, fleet: FleetOf, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a fleet: the run's page leads to the grid, whose pictures come while one looks; marks stay meanwhile."""
    write_catalog(fleet.command.folder, 4)
    for name, value in fleet.command.env.items():
        monkeypatch.setenv(name, value)
    sandbox.control(latency=0.3)
    run_id = fleet.command(
        "try", "manifest.csv", "--prompt", "photo of {id}", "--axis", "strength=0.3,0.6", "--entries", "2", "--yes",
        "--detach",
    ).out.strip()  # fmt: skip
    with running_dashboard() as served:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        complaints = Complaints(urlsplit(served.url).netloc)
        page = complaints.watch(context.new_page())
        page.goto(f"{served.url}/runs/{run_id}")
        page.get_by_role("link", name="Grid").click()
        expect(page.locator('td[data-state="pending"]')).to_have_count(4)
        page.evaluate("window.loaded_once = true")
        with fleet.worker():
            expect(page.locator('td[data-state="succeeded"] img')).to_have_count(4, timeout=15_000)
            fleet.finished(run_id, within=20)
        assert page.evaluate("window.loaded_once") is True
        for img in page.locator("td img, th img").all():
            expect(img).to_have_js_property("complete", value=True)
            assert img.evaluate("img => img.naturalWidth") > 1
        # Marks are everybody's: another who looks has them, and the review room too.
        with page.expect_response(lambda answer: answer.url.endswith("/grid/marks")) as sending:
            page.locator("td[data-job] .zoom").first.focus()
            page.keyboard.press("k")
        assert sending.value.status == 204
        second = browser.new_page()
        second.goto(page.url)
        expect(second.locator('td[data-marked="keep"]')).to_have_count(1)
        second.goto(f"{served.url}/runs/{run_id}/jobs?mark=keep")
        expect(second.locator(".job")).to_have_count(1)
        second.close()
        keep(page, "grid-dashboard")
        assert grave_faults(page) == []
        expect(page.get_by_role("button", name="Plan a run of what is chosen")).to_be_disabled()
        page.locator("#pick-1").check()
        page.get_by_role("button", name="Plan a run of what is chosen").click()
        # The manifest lies on the machine of whoever began the trial: it is chosen here, and the rest is filled in.
        expect(page.get_by_role("alert")).to_contain_text("files of this machine are chosen, not named")
        complaints.console.clear()  # the browser tells of the answer of 422
        expect(page.locator("#variants")).to_have_value(re.compile(r"s3://.+/inputs/[0-9a-f]{64}\.json"))
        expect(page.locator("#manifest")).to_have_value("manifest.csv")
        assert complaints.none
        context.close()
