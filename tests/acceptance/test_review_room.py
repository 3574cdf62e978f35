"""The review room in a real browser: marks by keys and mouse, two who review at once, and all of it without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, Route, expect

from restyle.models import RunStatus
from tests.integration.test_review import JOBS, RUN, add, is_read, job_of, place
from tests.support.accessibility import grave_faults
from tests.support.browser import Complaints, running_browser
from tests.support.catalog import picture
from tests.support.shown import Place
from tests.support.wait import wait_until

__all__ = ["place"]
pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_browser() as found:
        yield found


def reviewed(place: Place) -> str:
    """A run that has ended, with the pictures of its first jobs; the address of its jobs."""
    add(place, closed=3, status=RunStatus.FINISHED)
    for number in range(60):
        job = job_of(place, number)
        for uri in (job.image, job.output):
            place.store.put(uri, picture(uri, 300), content_type="image/jpeg")
    wait_until(lambda: is_read(place), timeout=20, description="the run to be read")
    return f"{place.served.url}/runs/{RUN}/jobs"


def opened(browser: Browser, url: str, *, width: int = 1440, scheme: str = "light", scripts: bool = True
           ) -> tuple[BrowserContext, Page, Complaints]:  # fmt: skip
    """A page of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
    )  # fmt: skip
    complaints = Complaints(urlsplit(url).netloc)
    page = complaints.watch(context.new_page())
    page.goto(url)
    return context, page, complaints


def test_marks_by_keys_and_by_two(browser: Browser, place: Place) -> None:
    """N moves, k, r and x mark, u takes back; another's marks are there at the next look, and nothing is lost."""
    url = reviewed(place)
    context, page, complaints = opened(browser, url)
    other, second, others = opened(browser, url)
    page.keyboard.press("n")
    page.keyboard.press("n")  # the first has failed
    for key in ("k", "x", "r"):
        page.keyboard.press(key)
    second.locator(".job").nth(30 + 1).get_by_role("button", name="reject").click()
    expect(second.locator(".job").nth(31).locator(".whose")).to_contain_text("reject by tester@here")
    expect(page.locator('.job[data-mark="keep"]')).to_have_count(1)
    expect(page.locator('.job[data-mark="redo"]')).to_have_count(1)
    page.locator("#mark").select_option("any")
    expect(page.locator(".job")).to_have_count(4)
    assert "mark=any" in page.url
    page.locator('.job[data-mark="keep"]').focus()
    page.keyboard.press("u")
    expect(page.locator('.job[data-mark="keep"]')).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("sku-012")
    page.locator("#mark").select_option("")
    expect(page.locator(".job")).to_have_count(2)
    expect(page.locator(".counted")).to_contain_text(f"2 of {JOBS} jobs")
    assert complaints.none
    assert others.none
    context.close()
    other.close()


@pytest.mark.parametrize("late", ["list", "mark"])
def test_a_mark_and_a_list_at_once(browser: Browser, place: Place, late: str) -> None:
    """A list that comes while a mark is on its way does not end it, and one that was asked for before hides none."""
    context, page, complaints = opened(browser, reviewed(place))
    held: list[tuple[Route, APIResponse | None]] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch() if late == "list" else None))

    page.route(re.compile(r"/jobs\?" if late == "list" else "/marks$"), hold)
    marked, keep = (
        page.locator('.job[data-mark="keep"]'),
        page.locator(".job").nth(1).get_by_role("button", name="keep"),
    )
    if late == "list":
        page.locator("#outcome").select_option("succeeded")
        wait_until(lambda: bool(page.title() and held), timeout=10, description="the list to be on its way")
        keep.click()
        expect(marked).to_have_count(1)
        held[0][0].fulfill(response=held[0][1])
    else:
        keep.click()
        wait_until(lambda: bool(page.title() and held), timeout=10, description="the mark to be on its way")
        with page.expect_response(re.compile(r"/jobs\?")):
            page.locator("#outcome").select_option("succeeded")
        held[0][0].continue_()
    expect(page.locator(".counted")).not_to_contain_text(f"{JOBS} of")
    expect(marked).to_have_count(1)
    assert complaints.none
    context.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        (1440, "light"),
        (2560, "dark"),
    ],
)
def test_how_it_looks(browser: Browser, place: Place, width: int, scheme: str) -> None:
    """Nothing is wider than the window, and axe finds nothing."""
    context, page, complaints = opened(browser, reviewed(place), width=width, scheme=scheme)
    page.locator(".job").nth(2).get_by_role("button", name="keep").click()
    expect(page.locator(".job").nth(2).locator(".whose")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert grave_faults(page) == []
    page.screenshot(path=_shot(f"review-{width}-{scheme}"))
    assert complaints.none
    context.close()


def _shot(name: str) -> str:
    from tests.support.browser import SCREENSHOTS

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return str(SCREENSHOTS / f"{name}.png")


@pytest.mark.long
def test_without_scripts(browser: Browser, place: Place) -> None:
    """Search, pages and marks are forms and links."""
    context, page, _ = opened(browser, reviewed(place), scripts=False)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".paging")).to_contain_text("Page 2 of 3")
    page.locator(".job").nth(3).get_by_role("button", name="keep").click()
    expect(page.locator(".paging")).to_contain_text("Page")
    page.locator("#q").fill("sku-026")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".job")).to_have_count(2)
    context.close()
