"""A real browser for tests: the system's Chromium, driven by Playwright; and what it complained about."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

INSTALL = Path(__file__).with_name("install-browser")
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


def chromium() -> str:
    """The browser's command, installed where it is missing.

    The test is skipped where it cannot be; with CI set it fails instead.
    """
    done = subprocess.run([str(INSTALL)], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode == 0:
        return done.stdout.splitlines()[-1]
    why = f"no Chromium, and none could be installed: {done.stderr.strip()[-300:]}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A headless Chromium."""
    command = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=command, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
