"""A real browser for tests: the system's Chromium, driven by Playwright; and what it complained about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.brought import brought

#: Where screenshots of the tests are kept; continuous integration keeps the folder as an artefact.
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@dataclass
class Complaints:
    """Whatever a page did that it should not: errors on the console, requests to other hosts."""

    host: str
    console: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        """Listens to a page."""
        page.on("console", lambda told: self.console.append(told.text) if told.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", lambda request: self._request(request.url))
        return page

    def _request(self, url: str) -> None:
        if urlsplit(url).netloc != self.host and not url.startswith(("data:", "about:")):
            self.elsewhere.append(url)

    @property
    def none(self) -> bool:
        """Whether the page behaved."""
        assert not self.console, self.console
        assert not self.elsewhere, self.elsewhere
        return True


def keep(page: Page, name: str) -> None:
    """Keeps a screenshot of the whole page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A headless Chromium."""
    command = brought("install-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=command, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
