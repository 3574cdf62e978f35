"""Everything that the pages can do, by a keyboard alone, by a mouse, and without scripts; axe finds nothing on the way.

No fleet is at work here: what is pressed is there at once. What a fleet makes of it is looked at elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from apps.dashboard.access.identity import Access
from apps.dashboard.access.sharing import Shares
from restyle.models import Run, RunStatus
from tests.integration.test_dashboard_starts import catalog, place
from tests.integration.test_review import RUN, add, is_read
from tests.support.accessibility import grave_faults
from tests.support.browser import Complaints, keep, running_browser
from tests.support.dashboard import running_dashboard
from tests.support.hands import Hand, Keys, Mouse
from tests.support.shown import TOKEN, Place
from tests.support.wait import wait_until

__all__ = ["place"]
pytestmark = pytest.mark.acceptance
WAYS = ("keys", pytest.param("mouse", marks=pytest.mark.long), pytest.param("no scripts", marks=pytest.mark.long))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_browser() as found:
        yield found


@dataclass
class Walk:
    """Somebody in front of a page."""

    page: Page
    hand: Hand
    url: str
    way: str
    complaints: Complaints

    def to(self, path: str) -> None:
        """Opens a page by its address."""
        self.page.goto(self.url + path)

    def link(self, name: str) -> None:
        """Follows a link to another page."""
        with self.page.expect_navigation():
            self.hand.press(self.page.get_by_role("link", name=name, exact=True).first)

    def button(self, name: str) -> None:
        """Presses a button that leads to another page."""
        with self.page.expect_navigation():
            self.hand.press(self.page.get_by_role("button", name=name, exact=True).first)

    def field(self, label: str) -> Locator:
        """A control by its label."""
        return self.page.get_by_label(label, exact=True)

    def fill(self, **values: str) -> None:
        """Writes into fields, by their names."""
        for name, text in values.items():
            self.hand.write(self.page.locator(f"#{name}"), text)

    def act(self, name: str, said: str) -> None:
        """Follows a run's button to its question, and says yes."""
        self.link(name)
        self.look()
        self.button(name)
        expect(self.page.locator(".said")).to_contain_text(said)

    def look(self) -> None:
        """Has axe look over the page; it is a script."""
        if self.way != "no scripts":
            assert grave_faults(self.page) == [], self.page.url


@pytest.fixture(params=WAYS)
def walk(request: pytest.FixtureRequest, browser: Browser, place: Place) -> Iterator[Walk]:
    """One of the ways to use the dashboard."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, java_script_enabled=request.param != "no scripts"
    )
    complaints = Complaints(urlsplit(place.served.url).netloc)
    page = complaints.watch(context.new_page())
    hand = Keys(page) if request.param == "keys" else Mouse(page)
    try:
        yield Walk(page, hand, place.served.url, request.param, complaints)
        complaints.console = [line for line in complaints.console if "422" not in line and "404" not in line]
        assert complaints.none
    finally:
        context.close()


def run_of(place: Place, url: str) -> Run:
    """The run whose page this is."""
    run_id = urlsplit(url).path.split("/")[2]
    return Run.read(place.store.get(place.workspace.run(run_id)).data)


def test_begin_and_steer_a_run(walk: Walk, place: Place) -> None:
    """From a wrong file to a run that was typed for, steered by every button of a run."""
    styles, page = place.workspace.under("in", "styles.json"), walk.page
    place.store.put(styles, b'[{"name":"oak","prompt":"oak"},{"name":"sea","prompt":"sea"}]', content_type="text/plain")
    walk.to("/")
    walk.look()
    walk.link("New run")
    walk.fill(prompts="photo of {id}")
    walk.hand.attach(page.locator("#file"), "bad.csv", b"id,image,strength\na,s3://in/a.jpg,7\n")
    walk.button("Plan the run")
    expect(page.get_by_role("alert")).to_contain_text(":2: strength: 7.0 is out of range")
    walk.look()
    walk.fill(manifest=catalog(place, 6), prompts="", variants=styles, sample="4", budget="200", name="spring")
    walk.hand.tick(walk.field("Do the sample first, then wait for approval"))
    walk.button("Plan the run")
    expect(page.locator(".estimate")).to_contain_text("at most 120.00 credits")
    for typed in ("12", "120"):
        walk.fill(typed=typed)
        walk.look()
        walk.button("Start")
        expect(page.get_by_role("alert")).to_have_text("Type the cost, 120.00, to start it.")
    walk.fill(typed="120.00")
    walk.button("Start")
    expect(page.get_by_role("heading", level=1)).to_contain_text("spring")
    walk.look()
    walk.act("Suspend", "Suspended")
    walk.link("Resume")
    walk.fill(budget="250")
    walk.button("Resume")
    expect(page.locator(".said")).to_contain_text("Resumed")
    assert run_of(place, page.url).budget == 250
    place.progress.suspend(run_of(place, page.url).run_id, "awaiting_approval", "the sample is done", "dispatcher")
    approve_sea(walk, place)
    walk.act("Cancel run", "Cancelled")
    walk.link("Retry")
    walk.look()
    walk.hand.choose(walk.field("Which jobs"), "pending")
    walk.button("Retry")
    expect(page.locator(".said")).to_have_text("This is the new run.")
    run = run_of(place, page.url)
    place.progress.suspend(run.run_id, "awaiting_approval", "the sample is done", "dispatcher")
    reload(walk, "Reject")
    walk.act("Reject", "Rejected")
    assert run_of(place, page.url).status is RunStatus.CANCELLED


def reload(walk: Walk, button: str) -> None:
    """Opens the run's page until it has this button."""

    def has_it() -> bool:
        walk.page.goto(walk.page.url.partition("?")[0])
        return walk.page.get_by_role("link", name=button, exact=True).count() == 1

    wait_until(has_it, timeout=10, description=button)


def approve_sea(walk: Walk, place: Place) -> None:
    """Approves one variant of the run whose page is open."""
    before = run_of(place, walk.page.url)
    reload(walk, "Approve")
    walk.link("Approve")
    walk.look()
    walk.hand.choose(walk.field("What of it"), "sea")
    walk.button("Approve")
    expect(walk.page.locator(".part-about")).to_contain_text(f"Does the jobs of {before.run_id} again")
    assert run_of(place, walk.page.url).planned == 6
    assert Run.read(place.store.get(place.workspace.run(before.run_id)).data).status is RunStatus.CANCELLED


def test_fleet_schedules_and_costs(walk: Walk, place: Place) -> None:
    """The emergency stop and its end, a schedule that is fired, what runs have cost by another measure and as CSV."""
    page = walk.page
    add(place, closed=3, status=RunStatus.FINISHED)
    walk.to("/")
    walk.link("Fleet")
    walk.act("Suspend the fleet", "The fleet is suspended")
    expect(page.locator(".notice")).to_contain_text("by tester@here (dashboard)")
    walk.look()
    walk.act("Resume the fleet", "The fleet goes on")
    walk.link("Schedules")
    walk.look()
    walk.link("Start now")
    walk.look()
    walk.button("Start now")
    expect(page.locator(".last")).to_contain_text("waits to be planned")
    walk.link("Costs")
    walk.link("By run")
    walk.look()
    since = walk.field("From this day on")
    if isinstance(walk.hand, Keys):
        walk.hand.reach(since)
        page.keyboard.type("01312026")
    else:
        since.fill("2026-01-31")
    walk.button("Show")
    assert re.search(r"by=run.*since=2026-01-31", page.url)
    with page.expect_download() as saving:
        walk.hand.press(page.get_by_role("link", name="Download CSV"))
    assert saving.value.suggested_filename == "costs-by-run.csv"


def test_try_and_choose(walk: Walk, place: Place) -> None:
    """A trial of two prompts and an axis begins from the form, its grid is sorted, and a column of it is planned."""
    page = walk.page
    walk.to("/new")
    walk.fill(manifest=catalog(place, 3), prompts="oak {id}\nsea {id}", axes="strength=0.3,0.5", entries="2")
    walk.button("Plan a trial")
    walk.look()
    walk.button("Start")
    expect(page.locator('td[data-state="pending"]')).to_have_count(8)
    if walk.way != "no scripts":
        columns_and_marks(walk)
    else:
        for column in ("0", "3"):
            walk.hand.tick(page.locator(f"#pick-{column}"))
    walk.button("Plan a run of what is chosen")
    expect(page.locator(".estimate")).to_contain_text(re.compile(r"jobs\s*6"))
    expect(page.locator(".estimate")).to_contain_text("oak_strength0.3, sea_strength0.5")
    walk.link("Change it")
    expect(page.locator("#variants")).to_have_value(re.compile(r"s3://.+\.json"))


def columns_and_marks(walk: Walk) -> None:
    """Marks two tiles, hides a column, sorts, and looks at two of them side by side."""
    page, shown = walk.page, walk.page.locator("th.column:visible")
    walk.look()
    first = page.locator("td[data-job]").first
    if isinstance(walk.hand, Keys):
        walk.hand.reach(first.locator(".zoom"))
        for key in "kxp":
            page.keyboard.press(key)
        page.keyboard.press("h")
    else:
        first.hover()
        first.get_by_role("button", name="Keep").click()
        page.locator('td[data-column="1"]').first.get_by_role("button", name="Reject").click()
        page.locator('th[data-column="2"]').get_by_role("button", name="Hide this column").click()
    expect(page.locator('th[data-column="0"] [data-tally]')).to_have_text("✓ 1")
    expect(page.locator('th[data-column="1"] [data-tally]')).to_have_text("✗ 1")
    expect(shown).to_have_count(3)
    walk.hand.press(page.locator("#unhide"))
    expect(shown).to_have_count(4)
    walk.hand.choose(page.locator("#order"), "kept")
    expect(shown.last).to_have_attribute("data-column", "1")
    for column in ("0", "3"):
        walk.hand.tick(page.locator(f"#pick-{column}"))
    walk.hand.press(page.locator("#compare"))
    expect(shown).to_have_count(2)
    walk.look()
    walk.hand.press(page.locator("#compare"))
    expect(shown).to_have_count(4)


def show(walk: Walk) -> None:
    """Presses the button of the filters; with scripts they have followed each change already."""
    walk.hand.press(walk.page.get_by_role("button", name="Show", exact=True))


def test_review(walk: Walk, place: Place) -> None:
    """Pages, search, filters, marks with a note, publishing as marked, a manifest of marks, redo with a strength."""
    add(place, closed=3, status=RunStatus.FINISHED)
    wait_until(lambda: is_read(place), timeout=20, description="the run to be read")
    page, job = walk.page, walk.page.locator(".job")
    walk.to(f"/runs/{RUN}")
    walk.link("Review")
    walk.look()
    if walk.way == "keys":
        page.keyboard.press("ArrowRight")
    else:
        walk.link("Next")
    expect(page.locator(".paging")).to_contain_text("Page 2 of 3")
    walk.fill(q="sku-012")
    show(walk)
    expect(job).to_have_count(2)
    for number, word in ((0, "reject"), (1, "redo")):
        if word == "redo":
            walk.hand.write(job.nth(number).get_by_label("Note"), "the handle")
        walk.hand.press(job.nth(number).get_by_role("button", name=word, exact=True))
        expect(job.nth(number).locator(".whose")).to_contain_text(f"{word} by tester@here")
    walk.fill(q="")
    for name, value, count in (("outcome", "failed", 13), ("outcome", "suspect", 1), ("outcome", "", 50),
                               ("variant", "sea", 50), ("mark", "redo", 1)):  # fmt: skip
        walk.hand.choose(page.locator(f"#{name}"), value)
        show(walk)
        expect(job).to_have_count(count)
    expect(job.first.get_by_label("Note")).to_have_value("the handle")
    with page.expect_download() as saving:
        walk.hand.press(page.get_by_role("link", name="as a manifest"))
    assert saving.value.suggested_filename == f"marks-{RUN}.csv"
    walk.button("Publish as marked")
    expect(page.locator(".said")).to_have_text("Published as marked: 1 gone.")
    walk.look()
    walk.hand.press(page.get_by_text("or with another strength, seed or prompt"))
    walk.hand.write(walk.field("Strength"), "0.4")
    walk.button("Make 1 again …")
    expect(page.locator(".estimate")).to_contain_text("strength=0.4")
    walk.look()


def test_share(walk: Walk, place: Place) -> None:
    """A link is made by who acts; a guest looks at that run, presses nothing, and an ended link says that it has."""
    add(place, closed=3, status=RunStatus.FINISHED)
    page, secret = walk.page, Access("tester@here", TOKEN)
    with running_dashboard(access=secret, host="0.0.0.0") as guarded:  # noqa: S104 - as other machines reach it
        walk.url, walk.complaints.host = guarded.url, urlsplit(guarded.url).netloc
        walk.to(f"/runs/{RUN}/share")
        walk.hand.write(walk.field("Your name"), "Anna")
        walk.hand.write(walk.field("Token"), TOKEN)
        walk.button("Sign in")
        walk.look()
        walk.hand.choose(walk.field("It ends after"), "1")
        walk.button("Make the link")
        link = page.locator("#link").input_value()
        walk.look()
        context = page.context.browser.new_context(java_script_enabled=walk.way != "no scripts")  # type: ignore[union-attr] # it has one
        guest = context.new_page()
        hand = Keys(guest) if walk.way == "keys" else Mouse(guest)
        theirs = Walk(guest, hand, guarded.url, walk.way, walk.complaints)
        guest.goto(link)
        expect(guest.get_by_text("shared with you, to look at")).to_be_visible()
        theirs.look()
        theirs.fill(q="sku-012")
        show(theirs)
        expect(guest.locator(".job")).to_have_count(2)
        expect(guest.get_by_role("button")).to_have_count(1)
        theirs.to("/")
        expect(guest.get_by_role("heading", name="Sign in")).to_be_visible()
        theirs.to(f"/shared/{Shares(secret, place.workspace.uri, lambda: 0).made(RUN, 1)}")
        expect(guest.locator("main")).to_contain_text("This link has ended")
        theirs.look()
        keep(guest, "link-ended")
        context.close()


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=pytest.mark.long)])
def test_pressed_twice_and_gone_back(browser: Browser, place: Place, scripts: bool) -> None:
    """A double click does a thing once and shows that it did; back at an old page, the same press does nothing more."""
    runs = place.workspace.under("runs") + "/"
    context = browser.new_context(java_script_enabled=scripts)
    page, url = context.new_page(), place.served.url

    def twice(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).dblclick()

    page.goto(f"{url}/new")
    page.locator("#manifest").fill(catalog(place, 3))
    page.locator("#prompts").fill("photo of {id}")
    twice("Plan the run")
    expect(page.locator(".estimate")).to_contain_text("at most 30.00 credits")
    confirm = page.content()
    twice("Start")
    expect(page.locator(".status")).to_have_text("running")
    run_id = run_of(place, page.url).run_id
    page.go_back()
    if page.get_by_role("button", name="Start").count():
        page.get_by_role("button", name="Start").click()
        expect(page.locator(".status")).to_have_text("running")
    assert run_id in confirm
    for path, name in (("suspend", "Suspend"), ("resume", "Resume"), ("cancel", "Cancel run")):
        page.goto(f"{url}/runs/{run_id}/{path}")
        twice(name)
        ended = page.get_by_role("heading", name="Not now")  # the second answer, where no script holds it back
        expect(page.locator(".said") if scripts else page.locator(".said").or_(ended)).to_be_visible()
    page.goto(f"{url}/runs/{run_id}/retry")
    twice("Retry")
    expect(page.locator(".said")).to_have_text("This is the new run.")
    assert len(list(place.store.folders(runs))) == 2
    page.go_back()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".said")).to_have_text("This is the new run.")
    assert len(list(place.store.folders(runs))) == 2
    keep(page, "gone-back")
    context.close()
