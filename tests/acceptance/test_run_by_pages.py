"""By the pages alone, in a real browser: plan, start, look, reject, redo; and what is wrong stands on the form."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import FleetOf
from tests.support.accessibility import grave_faults
from tests.support.browser import Complaints, keep, running_browser
from tests.support.catalog import picture
from tests.support.dashboard import running_dashboard
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance
SOON = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_browser() as found:
        yield found


def test_from_nothing_to_a_redone_picture(
    browser: Browser, fleet: FleetOf, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong form first, then a run of four pictures; one is rejected, one is made again, and paid for once more."""
    names = [f"mug-{number}" for number in range(4)]
    for name in names:
        fleet.store.put(fleet.workspace.under("in", f"{name}.jpg"), picture(name), content_type="image/jpeg")
    rows = "".join(f"{name},{fleet.workspace.under('in', f'{name}.jpg')}\n" for name in names)
    for name, value in fleet.command.env.items():
        monkeypatch.setenv(name, value)
    with running_dashboard() as served, fleet.worker():
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        complaints = Complaints(urlsplit(served.url).netloc)
        page = complaints.watch(context.new_page())
        page.goto(served.url)
        page.get_by_role("link", name="New run").click()
        keep(page, "new-run")
        assert grave_faults(page) == []
        page.get_by_label("Prompt").fill("photo of {title}")
        page.get_by_label("… or choose a file").first.set_input_files(
            {"name": "shop.csv", "mimeType": "text/csv", "buffer": f"id,image\n{rows}".encode()}
        )
        page.get_by_role("button", name="Plan the run").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing was spent")
        expect(page.get_by_role("alert")).to_contain_text("{title}")
        assert grave_faults(page) == []
        complaints.console.clear()  # the browser tells of each answer of 422
        page.get_by_label("Prompt").fill("photo of {id}")
        page.get_by_role("button", name="Plan the run").click()
        expect(page.locator(".estimate")).to_contain_text("at most 0.08 credits")
        keep(page, "new-run-confirm")
        assert grave_faults(page) == []
        page.get_by_role("button", name="Start").dblclick()
        expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
        assert sandbox.charged == 4
        page.get_by_role("link", name="Review").click()
        for number, word in ((0, "reject"), (1, "redo")):
            page.locator(".job").nth(number).get_by_role("button", name=word).click()
            expect(page.locator(".job").nth(number).locator(".whose")).to_contain_text(word)
        withdrawn(page, fleet, rows)
        assert sandbox.charged == 4
        page.get_by_text("or with another strength").click()
        assert grave_faults(page) == []
        page.get_by_label("Strength").fill("0.4")
        page.get_by_role("button", name="Make 1 again").click()
        expect(page.locator(".estimate")).to_contain_text("at most 0.02 credits")
        page.get_by_role("button", name="Start").click()
        expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
        assert sandbox.charged == 5
        assert b'"strength": 0.4' in fleet.store.get(fleet.workspace.record("mug-1", "default")).data
        assert complaints.none
        context.close()


def withdrawn(page: Page, fleet: FleetOf, rows: str) -> None:
    """What is rejected leaves what is published, by the page and by the command, and no later run brings it back."""
    published, run_id = fleet.workspace.output("mug-0", "default"), page.url.split("/")[4]
    expect(page.locator(".withdrawn")).to_have_text(["rejected, and still published"])
    page.get_by_role("button", name="Publish as marked").click()
    expect(page.locator(".withdrawn")).to_have_text(["withdrawn: not published any more"])
    expect(page.locator(".said")).to_have_text("Published as marked: 1 withdrawn.")
    assert grave_faults(page) == []
    assert fleet.store.head(published) is None
    assert fleet.store.head(fleet.workspace.suspect("mug-0", "default")) is not None
    expect(page.locator(".job").first.locator("img").nth(1)).not_to_have_js_property("naturalWidth", 0)
    fleet.command.folder.joinpath("shop.csv").write_text(f"id,image\n{rows}")
    exported = fleet.command("export", run_id, "--manifest", "shop.csv").out
    assert published not in exported
    assert "/mug-2/" in exported
    assert fleet.command("withdraw", run_id, "--json").json["unchanged"] == 1
    fleet.command("run", "shop.csv", "--prompt", "photo of {id}", "--yes", expect=1)  # it looks wrong to somebody
    assert fleet.store.head(published) is None
