"""The dashboard in a real browser, over a real fleet: it goes live by itself, and its buttons do what they say."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import Alone, FleetOf
from tests.support.accessibility import grave_faults
from tests.support.browser import Complaints, keep, running_browser
from tests.support.catalog import write_catalog
from tests.support.command import Command
from tests.support.dashboard import running_dashboard
from tests.support.hands import Keys
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_valkey
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

TOKEN = "a-token-of-many-letters"
#: Milliseconds for what the fleet has to do first.
SOON = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_browser() as found:
        yield found


def said_at(process: subprocess.Popen[str]) -> str:
    """The page's address, as the command says it."""
    assert process.stderr is not None
    lines: list[str] = []
    while not (found := re.search(r"http://127\S+", lines[-1] if lines else "")):
        lines.append(process.stderr.readline())
        assert lines[-1], f"the command ended: {lines}"
    return found.group().rstrip("/")


@contextmanager
def dashboard(command: Command, *options: str) -> Iterator[str]:
    """A dashboard on a free port; it must end by itself on Ctrl-C."""
    with command.started("dashboard", "--port", "0", *options) as process:
        yield said_at(process)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(10) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("the dashboard did not end on Ctrl-C")


@pytest.fixture
def served(fleet: FleetOf, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A dashboard in this process, which is sooner there."""
    for name, value in fleet.command.env.items():
        monkeypatch.setenv(name, value)
    with running_dashboard() as found:
        yield found.url


@contextmanager
def page_of(
    browser: Browser, url: str, *, width: int = 1280, scheme: str = "light"
) -> Iterator[tuple[Page, Complaints]]:
    """A page of its own, and what there is to complain about."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    complaints = Complaints(urlsplit(url).netloc)
    try:
        yield complaints.watch(context.new_page()), complaints
    finally:
        context.close()


@pytest.mark.long
def test_a_run_goes_live_from_nothing_to_done(browser: Browser, fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Without a reload: a run appears, its pictures and failures come, it ends; then its failed job is done again."""
    write_catalog(fleet.command.folder, 8)
    sandbox.control(latency=0.3)
    sandbox.script("400", prompt_contains="item-003")
    with dashboard(fleet.command) as url, page_of(browser, url) as (page, complaints):
        page.goto(url)
        expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        look_over(browser, url, {"no-runs": "/", "no-workers": "/fleet", "no-schedules": "/schedules"}, at=(PHONE,))
        page.evaluate("window.loaded_once = true")
        with fleet.worker():
            run_id = fleet.submit()
            row = page.locator(f'[data-key="{run_id}"]')
            expect(row).to_be_visible(timeout=SOON)
            row.get_by_role("link").click()
            expect(page.get_by_role("heading", name="manifest.csv")).to_be_visible()
            page.evaluate("window.loaded_once = true")
            expect(page.locator(".pairs li")).to_have_count(7, timeout=SOON)
            expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
            expect(page.locator(".headway")).to_contain_text("8 of 8 jobs")
            expect(page.locator("ul.failures li")).to_contain_text("item-003")
            expect(page.locator("ul.failures li")).to_contain_text("request rejected")
            expect(page.locator(".part-events")).to_contain_text("submitted by")
            assert page.evaluate("window.loaded_once") is True
            for img in page.locator(".pairs img").all():
                img.scroll_into_view_if_needed()
                expect(img).to_have_js_property("complete", value=True)
                assert img.evaluate("img => img.naturalWidth") > 1
            with page.context.expect_page() as opened:
                page.locator(".pairs a").first.click()
            # The object itself, from S3, by a signed link.
            expect(opened.value.locator("img")).to_have_js_property("complete", value=True)
            assert "Signature=" in opened.value.url
            assert opened.value.locator("img").evaluate("img => img.naturalWidth") > 1
            opened.value.close()
            run = f"/runs/{run_id}"
            costs = {"costs": "/costs?by=run", "costs-by-day": "/costs?by=day"}
            look_over(browser, url, {"runs": "/", "run": run, "fleet": "/fleet", "question": f"{run}/retry", **costs})
            page.get_by_role("link", name="Retry", exact=True).click()
            expect(page.locator(".ask")).to_contain_text("1 job, about 0.02 credits")
            page.get_by_role("button", name="Retry", exact=True).click()
            expect(page.get_by_role("heading", name=f"Retry of {run_id}")).to_be_visible()
            expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
            expect(page.locator(".headway")).to_contain_text("1 of 1 jobs")
            assert (sandbox.charged, sandbox.paid_twice) == (8, {})
        assert complaints.none


@pytest.mark.long
def test_approve_by_keys(browser: Browser, fleet: FleetOf, served: str, sandbox: SandboxServer) -> None:
    """A sample waits with the buttons Approve and Reject; approved, the rest follows and nothing is done twice."""
    write_catalog(fleet.command.folder, 6)
    with page_of(browser, served) as (page, complaints), fleet.worker():
        run_id = fleet.submit("photo of {id}", "--sample", "2", "--then-ask")
        page.goto(f"{served}/runs/{run_id}")
        expect(page.locator(".status")).to_have_text("awaiting approval", timeout=SOON)
        expect(page.locator(".notice")).to_contain_text("then press Approve or Reject")
        expect(page.get_by_role("link", name="Reject")).to_be_visible()
        assert sandbox.calls == 2
        by_keys = Keys(page)
        by_keys.press(page.get_by_role("link", name="Approve"))
        by_keys.press(page.get_by_role("button", name="Approve"))
        expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
        expect(page.locator(".part-events")).to_contain_text("approved by tester@here (dashboard)")
        assert (sandbox.charged, sandbox.paid_twice) == (6, {})
        assert complaints.none


@pytest.mark.long
def test_redis_goes_away_and_comes_back_under_an_open_page(
    browser: Browser, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a reload the page says that Redis is out of reach, keeps what it showed, and goes on afterwards."""
    with running_valkey(tmp_path) as valkey:
        for name, value in {"RESTYLE_REDIS_URL": valkey.url, "RESTYLE_WORKSPACE": s3.workspace.uri, **s3.env}.items():
            monkeypatch.setenv(name, value)
        with running_dashboard() as found, page_of(browser, found.url) as (page, complaints):
            page.goto(f"{found.url}/fleet")
            expect(page.locator(".figures").first).to_be_visible()
            page.evaluate("window.loaded_once = true")
            valkey.kill()
            expect(page.locator(".notice")).to_contain_text("Out of reach", timeout=SOON)
            expect(page.locator(".figures").first).to_be_visible()
            valkey.start()
            expect(page.locator(".notice")).to_have_count(0, timeout=SOON)
            assert page.evaluate("window.loaded_once") is True
            assert complaints.none


@pytest.mark.long
def test_suspend_and_resume_by_clicking(browser: Browser, fleet: FleetOf, served: str, sandbox: SandboxServer) -> None:
    """Each button asks once, does it, and is written down with who did it; the banner says what to do."""
    write_catalog(fleet.command.folder, 160)
    sandbox.control(latency=0.5)
    sandbox.script("500")
    with page_of(browser, served) as (page, complaints), fleet.worker():
        run_id = fleet.submit()
        page.goto(f"{served}/runs/{run_id}")
        expect(page.locator(".pairs li").first).to_be_visible(timeout=SOON)
        page.get_by_role("link", name="Suspend").click()
        expect(page.get_by_role("heading", name="Suspend this run?")).to_be_visible()
        page.keyboard.press("Enter")  # the button has the focus
        expect(page.locator(".said")).to_contain_text("Suspended")
        expect(page.locator(".notice")).to_contain_text("by tester@here (dashboard)")
        expect(page.locator(".notice")).to_contain_text("press Resume when you are ready")
        look_over(browser, served, {"suspended": f"/runs/{run_id}"}, at=(PHONE,))
        wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=40, description="calls in flight to end")
        calls = sandbox.calls
        assert calls < 160
        page.goto(f"{served}/fleet")
        told = {name: page.locator(".figure").filter(has_text=name) for name in ("5xx", "429", "Latency")}
        expect(told["5xx"]).to_contain_text("1 call")
        expect(told["429"]).to_contain_text("0 calls")
        expect(told["Latency"]).to_contain_text(re.compile(r"[5-9]\d\d ms|\d\.\d s"))
        page.goto(f"{served}/runs/{run_id}")
        sandbox.control(latency=0.02)
        page.get_by_role("link", name="Resume").click()
        assert sandbox.calls == calls
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
        expect(page.locator(".notice")).to_have_count(0)
        log = page.locator(".part-events")
        for done in ("submitted", "suspended by tester@here", "resumed by tester@here", "finished"):
            expect(log).to_contain_text(done)
        assert (sandbox.charged, sandbox.paid_twice) == (160, {})
        assert complaints.none


DESK, PHONE = (1440, "light"), (390, "dark")


def look_over(
    browser: Browser, url: str, pages: dict[str, str], *, at: tuple[tuple[int, str], ...] = (DESK, PHONE)
) -> None:
    """Every page at desk and phone width, light and dark: nothing sticks out, and axe finds nothing grave."""
    for width, scheme in at:
        with page_of(browser, url, width=width, scheme=scheme) as (page, complaints):
            for name, path in pages.items():
                page.goto(url + path)
                expect(page.locator("h1").first).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
                assert grave_faults(page) == [], path
                keep(page, f"dashboard-{name}-{width}-{scheme}")
            assert complaints.none


def test_every_page_without_script(browser: Browser, fleet: FleetOf, served: str) -> None:
    """Without script all of it is there at phone width, and the buttons work; a form of another site's does not."""
    write_catalog(fleet.command.folder, 2)
    run_id = fleet.submit()
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    page, complaints = context.new_page(), Complaints(urlsplit(served).netloc)
    complaints.watch(page)
    for path in ("/", f"/runs/{run_id}", f"/runs/{run_id}/cancel", "/schedules", "/costs", "/fleet"):
        page.goto(served + path)
        expect(page.locator("h1").first).to_be_visible()
    for name, stands in (("Suspend the fleet", 1), ("Resume the fleet", 0)):
        page.get_by_role("link", name=name).click()
        page.get_by_role("button", name=name).click()
        expect(page.get_by_text("The fleet is suspended: a person stopped it.")).to_have_count(stands)
    assert complaints.none
    # A page of anybody else's, whose form would stop the fleet.
    page.goto("about:blank")
    action, button = f"{served}/fleet/api/suspend", '<button name="form_token" value="0">Win</button>'
    page.set_content(f'<form method="post" action="{action}">{button}</form>')
    page.get_by_role("button", name="Win").click()
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    expect(page.locator("main")).to_contain_text("came from another site")
    page.goto(f"{served}/fleet")
    expect(page.get_by_text("The fleet is suspended")).to_have_count(0)
    context.close()


@pytest.mark.long
def test_signing_in(browser: Browser, fleet: FleetOf, served: str) -> None:
    """With a token a wrong one is refused, the right one leads to the page asked for, and the name is written down."""
    write_catalog(fleet.command.folder, 1)
    run_id = fleet.submit()
    with running_dashboard(token=TOKEN, host="0.0.0.0") as guarded:  # noqa: S104 - as other machines reach it
        url = guarded.url
        look_over(browser, url, {"sign-in": "/sign-in"}, at=(DESK,))
        with page_of(browser, url) as (page, complaints):
            page.goto(f"{url}/runs/{run_id}")
            page.get_by_label("Your name").fill("Anna")
            page.get_by_label("Token").fill("a-wrong-token-of-letters")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_contain_text("That token is wrong")
            complaints.console.clear()  # of the 401
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Sign in").click()
            expect(page).to_have_url(f"{url}/runs/{run_id}")
            page.get_by_role("link", name="Cancel run").click()
            page.get_by_role("button", name="Cancel run").click()
            expect(page.locator(".part-events")).to_contain_text("cancelled by Anna (dashboard)")
            assert TOKEN not in page.content()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            assert complaints.none


@pytest.mark.long
def test_beside_the_embedded_stack(browser: Browser, alone: Alone) -> None:
    """It brings the embedded servers along, shows a run that another command makes on them, and leaves nothing."""
    write_catalog(alone.folder, 2)
    with dashboard(alone.command) as url, page_of(browser, url) as (page, complaints):
        page.goto(url)
        expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        alone.command("run", "manifest.csv", "--prompt", "photo of {id}", "--yes")
        expect(page.locator(".run-list .status")).to_have_text("finished", timeout=SOON)
        assert complaints.none


@pytest.mark.long
def test_beside_a_run(alone: Alone, sandbox: SandboxServer) -> None:
    """`restyle run --dashboard` says where the page is, serves it while the run lasts, and ends with the run."""
    write_catalog(alone.folder, 4)
    sandbox.control(latency=1.0)
    words = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--dashboard")
    with alone.command.started(*words) as process:
        url = said_at(process)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
            assert "<h1>Runs</h1>" in answer.read().decode()
        assert process.wait(60) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)
    assert sandbox.charged == 4
