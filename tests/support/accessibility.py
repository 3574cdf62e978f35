"""What axe-core, Deque's checker of the web's accessibility rules, finds wrong with a page in a real browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

#: axe's own words for what keeps people from using a page.
GRAVE = frozenset({"serious", "critical"})


def grave_faults(page: Page, *, context: str | None = None) -> list[str]:
    """The faults that axe calls serious or critical, a line each; of a part of the page where a selector is given.

    It is run from outside, so that no Content-Security-Policy stands in its way.
    """
    found = Axe().run(page, context=context).response["violations"]
    return [
        f"{fault['impact']}: {fault['help']} ({fault['id']}): {node['html'][:200]} {node['failureSummary'][:300]}"
        for fault in found
        if fault["impact"] in GRAVE
        for node in fault["nodes"][:5]
    ]
