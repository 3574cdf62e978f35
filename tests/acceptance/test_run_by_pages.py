"""By the pages alone, in a real browser: plan, start, look, reject, redo; and what is wrong stands on the form."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

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
        page.get_by_role("button", name="Make 1 again").click()
        page.get_by_role("button", name="Plan the run").click()
        expect(page.locator(".estimate")).to_contain_text("at most 0.02 credits")
        page.get_by_role("button", name="Start").click()
        expect(page.locator(".status")).to_have_text("finished", timeout=SOON)
        assert sandbox.charged == 5
        assert complaints.none
        context.close()
